//! JSON written around values that are JSON text already, so that none of them is read to be written again.

use super::value::write_string;

/// Bytes of most answers, at most.
const USUAL_BYTES: usize = 256;

/// A JSON object under construction.
pub(crate) struct Fields(String);

impl Fields {
    pub(crate) fn new() -> Self {
        // Room for most answers, which thus are written without moving them.
        let mut text = String::with_capacity(USUAL_BYTES);
        text.push('{');
        Self(text)
    }

    /// A field whose value is JSON text already.
    pub(crate) fn raw(mut self, name: &str, json: &str) -> Self {
        self.name(name);
        self.0.push_str(json);
        self
    }

    /// A field that is a text.
    pub(crate) fn text(mut self, name: &str, text: &str) -> Self {
        self.name(name);
        write_string(text, &mut self.0);
        self
    }

    /// A field that is a number, a boolean, or anything else that writes itself as JSON does.
    pub(crate) fn number(mut self, name: &str, number: impl std::fmt::Display) -> Self {
        use std::fmt::Write as _;
        self.name(name);
        write!(self.0, "{number}").expect("writing to a string does not fail");
        self
    }

    /// A field that is a text or `null`.
    pub(crate) fn text_or_null(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self.raw(name, "null"),
        }
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        // The names are ours: words that need no escapes.
        self.0.push_str(name);
        self.0.push_str("\":");
    }
}

/// A JSON array of texts that are JSON already.
pub(crate) fn array(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut text = String::from("[");
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(item.as_ref());
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_json() {
        let text =
            Fields::new().text("a", "x\"\n").number("b", 3).raw("c", "[1]").text_or_null("d", None).end();
        assert_eq!(text, r#"{"a":"x\"\n","b":3,"c":[1],"d":null}"#);
        assert_eq!(Fields::new().end(), "{}");
        assert_eq!(array(["1", "{}"]), "[1,{}]");
    }
}
