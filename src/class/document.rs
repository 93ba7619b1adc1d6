//! The class `document`: text that editors share, a Yjs document whose text is `content`.
//!
//! The Yjs document is kept as private keys and decoded in memory beside them; the visible keys `version`
//! and `last_modified` are put in every change, and `content` is read from the text. So `changes` has no
//! `content`: an update carries the `delta` that leads from one text to the next.

mod delta;
mod past;
mod screen;
mod shared;
mod size;
mod text;
mod undo;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use crate::limits::DOCUMENT_VERSIONS_MAX;
use crate::object::{Key, Page, Refusal, Turn, Value, Version};

use super::parameters::{integer, optional, text as text_of};
use super::{Class, Difference, Parameters, parse_key};
use shared::Shared;
use text::{Edit, Editing};
use undo::Step;

const CONTENT: &str = "content";
const VERSION: &str = "version";
const LAST_MODIFIED: &str = "last_modified";

/// Edits in one call of `edit`: each may walk the whole text.
const EDITS_MAX: usize = 1_000;

/// A Yjs document; the methods and any Yjs editor change the same text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Document;

impl Class for Document {
    fn call(&self, turn: &mut Turn<'_>, method: &str, parameters: Parameters) -> Result<Json, Refusal> {
        match method {
            "get" => read(turn),
            "update" => update(turn, &parameters),
            "insert" | "delete" | "replace" => change(turn, &[parse_edit(method, &parameters)?]),
            "edit" => change(turn, &parse_edits(&parameters)?),
            _ => Err(Refusal::MethodNotFound { method: method.to_owned() }),
        }
    }

    fn initialize(&self, turn: &mut Turn<'_>, keys: Parameters) -> Result<(), Refusal> {
        if keys.is_empty() && !turn.exists() {
            return change(turn, &[]).map(drop);
        }
        for (key, value) in keys {
            self.put(turn, &parse_key(&key)?, value)?;
        }
        Ok(())
    }

    fn put(&self, turn: &mut Turn<'_>, key: &Key, value: Json) -> Result<(), Refusal> {
        if key.as_str() != CONTENT {
            return Err(Refusal::invalid(format!("of a document only the key {CONTENT:?} can be put")));
        }
        let Json::String(content) = value else {
            return Err(Refusal::invalid(format!("{CONTENT:?} must be a text")));
        };
        change(turn, &[Edit::Set { content: &content }]).map(drop)
    }

    fn delete(&self, turn: &mut Turn<'_>, key: &Key) -> Result<(), Refusal> {
        match self.get(turn, key)? {
            Some(_) => Err(Refusal::invalid(
                "the keys of a document cannot be deleted; delete the document or its text",
            )),
            None => Err(Refusal::KeyNotFound { key: key.clone() }),
        }
    }

    fn edit(&self, turn: &mut Turn<'_>, updates: &[Bytes]) -> Result<(), Refusal> {
        let shared = Shared::take(turn)?;
        if let Some(outcome) = shared.apply_updates(updates)? {
            return finish(turn, shared, outcome);
        }
        turn.set_decoded(shared);
        Ok(())
    }

    fn difference(&self, turn: &mut Turn<'_>, known: Option<&[u8]>) -> Result<Difference, Refusal> {
        shared(turn, |shared| shared.difference(known))?
    }

    fn farewell(&self, turn: &mut Turn<'_>) -> Result<Option<Bytes>, Refusal> {
        Ok(Shared::take(turn)?.emptied())
    }

    fn ask(&self, turn: &mut Turn<'_>, question: &str, parameters: &Parameters) -> Result<Json, Refusal> {
        match question {
            "versions" => {
                let before =
                    optional(parameters, "before").map(|_| number(parameters, "before")).transpose()?;
                let limit = number(parameters, "limit")?.min(DOCUMENT_VERSIONS_MAX);
                past::list(turn, usize::try_from(limit).unwrap_or(usize::MAX), before)
            }
            "version" => {
                let version = number(parameters, VERSION)?;
                let units = shared(turn, Shared::units)?;
                match past::content(turn, units, version)? {
                    Some(content) => Ok(json!({ VERSION: version, CONTENT: content })),
                    None => Err(Refusal::NotFound { detail: format!("version {version} is not kept") }),
                }
            }
            _ => Err(Refusal::MethodNotFound { method: question.to_owned() }),
        }
    }

    fn get(&self, turn: &mut Turn<'_>, key: &Key) -> Result<Option<Value>, Refusal> {
        if key.as_str() != CONTENT {
            return turn.get(key.as_str());
        }
        if exists(turn) { Ok(Some(Value::from(content(turn)?.as_str()))) } else { Ok(None) }
    }

    fn entries(
        &self,
        turn: &mut Turn<'_>,
        prefix: &str,
        after: Option<&str>,
        page: Page,
    ) -> Result<Vec<(Key, Value)>, Refusal> {
        // `content` comes before the other keys, so it is a page of its own.
        let is_asked = CONTENT.starts_with(prefix) && after.is_none_or(|after| after < CONTENT);
        if is_asked && exists(turn) {
            return Ok(vec![(parse_key(CONTENT)?, Value::from(content(turn)?.as_str()))]);
        }
        turn.list(prefix, after, page)
    }
}

/// What a change of the Yjs document came to.
struct Outcome {
    /// The change in Yjs's encoding, if there is any.
    update: Option<Bytes>,
    /// How the text changed, in Quill's form.
    delta: Json,
    /// How the text before is found again; none if it is not.
    way_back: Option<Vec<Step>>,
}

fn read(turn: &mut Turn<'_>) -> Result<Json, Refusal> {
    let content = content(turn)?;
    answer(turn, &content, turn.version())
}

fn update(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let content = text_of(parameters, CONTENT)?;
    if optional(parameters, VERSION).is_some() {
        let next = turn.next_version();
        let wanted = u64::try_from(integer(parameters, VERSION, 0)?).ok();
        if wanted != Some(next.0) {
            let current = turn.version();
            return Err(Refusal::Conflict {
                detail: format!("the document is at version {current}; send version {next} to replace it"),
            });
        }
    }
    change(turn, &[Edit::Set { content }])
}

fn change(turn: &mut Turn<'_>, edits: &[Edit<'_>]) -> Result<Json, Refusal> {
    let shared = Shared::take(turn)?;
    let deletes = edits.iter().any(|edit| !matches!(edit, Edit::Insert { .. }));
    let outcome = shared.edit(deletes, |editing: &mut Editing<'_, '_>| {
        edits.iter().try_for_each(|edit| editing.apply(edit))
    })?;
    let content = shared.content();
    finish(turn, shared, outcome)?;
    answer(turn, &content, turn.next_version())
}

fn finish(turn: &mut Turn<'_>, mut shared: Box<Shared>, outcome: Outcome) -> Result<(), Refusal> {
    if let Some(update) = outcome.update {
        shared.keep(turn, update.clone())?;
        turn.attach(update);
    }
    past::record(turn, || shared.units(), outcome.way_back)?;
    let version = turn.next_version();
    turn.put_value(&parse_key(VERSION)?, Value::from(version.0))?;
    turn.put(LAST_MODIFIED, &turn.now())?;
    turn.delta(Value::from_json(outcome.delta));
    turn.set_decoded(shared);
    Ok(())
}

fn answer(turn: &Turn<'_>, content: &str, version: Version) -> Result<Json, Refusal> {
    let last_modified = turn.get(LAST_MODIFIED)?.map_or(Json::Null, |value| value.to_json());
    Ok(json!({ CONTENT: content, VERSION: version, LAST_MODIFIED: last_modified }))
}

/// The text; that of an empty document if there is none.
fn content(turn: &mut Turn<'_>) -> Result<String, Refusal> {
    shared(turn, Shared::content)
}

/// Looks at the Yjs document; loads it if it is not in memory.
fn shared<T>(turn: &mut Turn<'_>, look: impl FnOnce(&Shared) -> T) -> Result<T, Refusal> {
    if let Some(shared) = turn.decoded::<Shared>() {
        return Ok(look(shared));
    }
    let shared = Shared::load(turn)?;
    let seen = look(&shared);
    turn.set_decoded(shared);
    Ok(seen)
}

fn exists(turn: &Turn<'_>) -> bool {
    turn.exists() || turn.has_written()
}

fn parse_edits(parameters: &Parameters) -> Result<Vec<Edit<'_>>, Refusal> {
    let Some(Json::Array(edits)) = parameters.get("edits") else {
        return Err(Refusal::invalid("parameter \"edits\" must be an array"));
    };
    if edits.len() > EDITS_MAX {
        return Err(Refusal::invalid(format!("at most {EDITS_MAX} edits fit into one call")));
    }
    edits.iter().map(parse_tagged_edit).collect()
}

fn parse_tagged_edit(edit: &Json) -> Result<Edit<'_>, Refusal> {
    let only = edit.as_object().filter(|edit| edit.len() == 1).and_then(|edit| edit.iter().next());
    match only {
        Some((method, Json::Object(parameters))) => parse_edit(method, parameters),
        _ => Err(Refusal::invalid("an edit is an object with one key: insert, delete or replace")),
    }
}

fn parse_edit<'p>(method: &str, parameters: &'p Parameters) -> Result<Edit<'p>, Refusal> {
    match method {
        "insert" => {
            Ok(Edit::Insert { index: position(parameters, "index")?, text: text_of(parameters, "text")? })
        }
        "delete" => Ok(Edit::Delete {
            index: position(parameters, "index")?,
            length: position(parameters, "length")?,
        }),
        "replace" => {
            Ok(Edit::Replace { find: text_of(parameters, "find")?, text: text_of(parameters, "text")? })
        }
        _ => Err(Refusal::invalid("an edit is insert, delete or replace")),
    }
}

/// A whole number from 0.
fn number(parameters: &Parameters, name: &str) -> Result<u64, Refusal> {
    let number = super::parameters::required(parameters, name)?;
    number
        .as_u64()
        .ok_or_else(|| Refusal::invalid(format!("parameter {name:?} must be a whole number from 0")))
}

/// A count of UTF-16 units. One beyond the machine's numbers is past the end of any text.
fn position(parameters: &Parameters, name: &str) -> Result<usize, Refusal> {
    Ok(usize::try_from(number(parameters, name)?).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
