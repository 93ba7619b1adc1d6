//! Lists and reads: one change, its trail, and many of them.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value as Json, json};

use super::arguments::{AuditTrail, List};
use super::objects::{Class, Fields, Objects, fields, nothing, refused, step, text};
use super::vocabulary::Word;
use super::{Inner, Refused};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::limits;
use crate::runtime::ObjectSummary;

impl Inner {
    /// `get_change_status`.
    pub(super) async fn status(&self, caller: &Caller, id: &str) -> Result<Json, Refused> {
        self.ask_change(caller, id, "status", nothing()).await
    }

    /// `get_audit_trail`.
    pub(super) async fn audit(&self, caller: &Caller, asked: AuditTrail) -> Result<Json, Refused> {
        let AuditTrail { change_id: id, limit, cursor } = asked;
        let after_seq = match cursor.as_deref().filter(|cursor| !cursor.is_empty()) {
            None => 0,
            Some(cursor) => cursor.parse::<u64>().map_err(|_| bad_cursor("get_audit_trail"))?,
        };
        let params =
            fields(json!({ "limit": limit.unwrap_or(limits::PAGE_DEFAULT), "after_seq": after_seq }));
        let page = self.ask_change(caller, &id, "audit", params).await?;
        let records = page.get("audit").cloned().unwrap_or_else(|| json!([]));
        let has_more = page.get("more").and_then(Json::as_bool).unwrap_or(false);
        let last = records.as_array().and_then(|records| records.last()?.get("seq")?.as_u64());
        let cursor = last.filter(|_| has_more).map(|seq| seq.to_string());
        Ok(json!({ "success": true, "changeId": id, "audit": records, "cursor": cursor }))
    }

    /// `list_changes`. Reads a bounded number of changes, so a page may be short although more follow.
    pub(super) async fn list(&self, caller: &Caller, asked: List) -> Result<Json, Refused> {
        let wanted = asked.limit.unwrap_or(limits::PAGE_DEFAULT);
        let mut cursor = asked.cursor.clone().filter(|cursor| !cursor.is_empty());
        let (mut rows, mut read) = (Vec::new(), 0);
        loop {
            // As many as are still wanted, so that the page's end is where the next one begins.
            let page = self.objects.list(caller, Class::Request, (wanted - rows.len(), cursor.take())).await;
            let page = page.map_err(|error| match error.code {
                Code::InvalidRequest => bad_cursor("list_changes"),
                _ => Refused::Failed(error),
            })?;
            read += page.objects.len();
            cursor = page.cursor;
            let found: Vec<Option<Json>> = stream::iter(page.objects)
                .map(|row| async move { self.summary(caller, &row.name).await })
                .buffered(limits::CHANGES_ASKED_AT_ONCE)
                .try_collect()
                .await?;
            rows.extend(found.into_iter().flatten().filter(|row| matches(row, &asked)).map(shown));
            if cursor.is_none() || rows.len() >= wanted || read >= limits::LIST_READS_MAX {
                return Ok(json!({ "success": true, "changes": rows, "cursor": cursor }));
            }
        }
    }

    /// A change in a few words; nothing if there is none.
    pub(super) async fn summary(&self, caller: &Caller, id: &str) -> Result<Option<Json>, Error> {
        match self.objects.ask(caller, (Class::Request, id), "summary", nothing()).await {
            Ok((row, _)) => Ok(Some(row)),
            Err(error) if matches!(error.code, Code::ObjectNotFound | Code::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks a change something that a client wants to know.
    pub(super) async fn ask_change(
        &self,
        caller: &Caller,
        id: &str,
        question: &str,
        params: Fields,
    ) -> Result<Json, Refused> {
        let asked = self.objects.ask(caller, (Class::Request, id), question, params).await;
        asked.map(|(answer, _)| answer).map_err(|error| refused(id, error))
    }
}

/// Pages of all changes, in the order of their ids.
pub(super) struct Pages<'a> {
    objects: &'a Objects,
    caller: &'a Caller,
    cursor: Option<String>,
    is_over: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(objects: &'a Objects, caller: &'a Caller) -> Self {
        Self { objects, caller, cursor: None, is_over: false }
    }

    /// The next page; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<ObjectSummary>>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let part = (limits::PAGE_MAX, self.cursor.take());
        let page = self.objects.list(&step(self.caller), Class::Request, part).await?;
        self.is_over = page.cursor.is_none();
        self.cursor = page.cursor;
        Ok(Some(page.objects))
    }
}

fn bad_cursor(tool: &str) -> Refused {
    let error = format!("cursor must be one that an answer of {tool} gave; leave it out to begin");
    Refused::Refusal { body: json!({ "success": false, "error": error }), code: Code::InvalidRequest }
}

fn matches(row: &Json, asked: &List) -> bool {
    let is = |name: &str, wanted: Option<&str>| wanted.is_none_or(|wanted| text(row, name) == Some(wanted));
    is("status", asked.status.map(Word::text))
        && is("type", asked.kind.map(Word::text))
        && is("riskLevel", asked.risk.map(Word::text))
        && is("requestor", asked.requestor.as_deref())
}

/// A row as a list shows it.
fn shown(row: Json) -> Json {
    const SHOWN: [&str; 8] =
        ["changeId", "title", "status", "type", "priority", "riskScore", "riskLevel", "createdAt"];
    let Json::Object(mut row) = row else { return row };
    row.retain(|name, _| SHOWN.contains(&name.as_str()) || name == "requestor");
    Json::Object(row)
}
