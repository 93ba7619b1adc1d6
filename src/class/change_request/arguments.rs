//! What the tools' arguments hold: parsed once, each with one wording for what is wrong.
//!
//! `null` counts as not given, and so does an empty text where a text may be missing.

use serde_json::Value as Json;

use crate::class::Parameters;
use crate::class::parameters::optional;
use crate::limits::{CHANGE_ENTRY_MAX_BYTES, CHANGE_LIST_MAX, CHANGE_NAME_MAX_BYTES};
use crate::object::{Refusal, Timestamp};

use super::Word;

/// Refuses a call in which one of these is missing; the refusal names all.
pub(super) fn require(parameters: &Parameters, shown: &str, names: &[&str]) -> Result<(), Refusal> {
    let is_there = |name: &&str| match optional(parameters, name) {
        Some(Json::String(text)) => !text.trim().is_empty(),
        other => other.is_some(),
    };
    if names.iter().all(is_there) {
        return Ok(());
    }
    Err(Refusal::invalid(format!("Missing required parameters: {shown}")))
}

/// A text as it was given; nothing if it is absent or blank.
pub(super) fn text(parameters: &Parameters, name: &str, max_bytes: usize) -> Result<Option<String>, Refusal> {
    let Some(value) = optional(parameters, name) else { return Ok(None) };
    let text = value.as_str().ok_or_else(|| Refusal::invalid(format!("{name} must be a text")))?;
    ensure_text(name, text, max_bytes)?;
    Ok(if text.trim().is_empty() { None } else { Some(text.to_owned()) })
}

/// A name, without the spaces around it; nothing if it is absent or blank.
pub(super) fn name(parameters: &Parameters, name: &str) -> Result<Option<String>, Refusal> {
    let text = text(parameters, name, CHANGE_NAME_MAX_BYTES)?;
    Ok(text.map(|text| text.trim().to_owned()))
}

/// What has to be there; whoever calls has [`require`]d it.
pub(super) fn there(found: Option<String>, name: &str) -> Result<String, Refusal> {
    found.ok_or_else(|| Refusal::invalid(format!("Missing required parameters: {name}")))
}

/// A list of names.
pub(super) fn list(parameters: &Parameters, name: &str) -> Result<Option<Vec<String>>, Refusal> {
    let Some(value) = optional(parameters, name) else { return Ok(None) };
    let wrong = || Refusal::invalid(format!("{name} must be a list of texts"));
    let entries = value.as_array().ok_or_else(wrong)?;
    if entries.len() > CHANGE_LIST_MAX {
        return Err(Refusal::invalid(format!("{name} has at most {CHANGE_LIST_MAX} entries")));
    }
    let mut found = Vec::with_capacity(entries.len());
    for entry in entries {
        let text = entry.as_str().ok_or_else(wrong)?.trim();
        ensure_text(name, text, CHANGE_ENTRY_MAX_BYTES)?;
        if text.is_empty() {
            return Err(Refusal::invalid(format!("{name} has an empty entry: leave it out")));
        }
        found.push(text.to_owned());
    }
    Ok(Some(found))
}

/// One of a few words.
pub(super) fn word<W: Word>(parameters: &Parameters, name: &str) -> Result<Option<W>, Refusal> {
    optional(parameters, name).map(|value| W::read(name, value)).transpose()
}

/// A moment.
pub(super) fn moment(parameters: &Parameters, name: &str) -> Result<Option<Timestamp>, Refusal> {
    let Some(value) = optional(parameters, name) else { return Ok(None) };
    let wrong =
        || Refusal::invalid(format!("{name}: a time is written like 2026-11-21T02:11:36Z, with its offset"));
    value.as_str().and_then(|text| Timestamp::parse(text.trim()).ok()).map(Some).ok_or_else(wrong)
}

/// Yes or no; no if it is absent.
pub(super) fn flag(parameters: &Parameters, name: &str) -> Result<bool, Refusal> {
    let Some(value) = optional(parameters, name) else { return Ok(false) };
    value.as_bool().ok_or_else(|| Refusal::invalid(format!("{name} must be true or false")))
}

fn ensure_text(name: &str, text: &str, max_bytes: usize) -> Result<(), Refusal> {
    if text.len() > max_bytes {
        return Err(Refusal::invalid(format!(
            "{name} has at most {max_bytes} bytes; this has {}",
            text.len()
        )));
    }
    // They would grow sixfold where they are escaped, and nobody means them.
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Refusal::invalid(format!("{name} has control characters: leave them out")));
    }
    Ok(())
}
