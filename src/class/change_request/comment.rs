//! `comment`: somebody says something, in any state.

use serde_json::{Value as Json, json};

use crate::class::Parameters;
use crate::limits::CHANGE_TEXT_MAX_BYTES;
use crate::object::{Refusal, Turn};

use super::Event;
use super::arguments::{name, require, text, there};
use super::desk::{Desk, Given, Note};

pub(super) fn run(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    require(parameters, "changeId, comment", &["comment"])?;
    let given = Given::read(turn)?;
    let comment = there(text(parameters, "comment", CHANGE_TEXT_MAX_BYTES)?, "comment")?;
    let author = name(parameters, "author")?;
    let mut desk = Desk::open(turn, &given)?;
    let author = author.unwrap_or_else(|| desk.subject());
    desk.change.comment_count += 1;
    let id = format!("{:010}", desk.change.comment_count);
    let comment = json!({ "id": id, "author": author, "text": comment, "timestamp": desk.now() });
    desk.turn.put(&format!("comments/{id}"), &comment)?;
    desk.record(Note::of(Event::CommentAdded).by(&author).with("commentId", id))?;
    let result = json!({ "success": true, "changeId": desk.id(), "comment": comment });
    desk.close()?;
    Ok(result)
}
