//! The query string: strict, each name at most once. Pure, for the fuzzer.

use std::borrow::Cow;

use super::path::{self, Undecodable};
use crate::error::{Code, Error};
use crate::limits::{PAGE_DEFAULT, PAGE_MAX};
use crate::object::Version;

/// The parameters of a query.
#[derive(Debug, Default)]
pub(super) struct Query<'text>(Vec<(Cow<'text, str>, Cow<'text, str>)>);

/// The parameters of a page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) prefix: String,
    pub(super) limit: usize,
    pub(super) cursor: Option<String>,
}

impl<'text> Query<'text> {
    /// Parses what stands behind the `?`.
    pub(super) fn parse(text: Option<&'text str>) -> Result<Self, Error> {
        let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let malformed =
                |why: Undecodable| Error::new(Code::InvalidRequest, format!("in the query: {why}"));
            let (name, value) = (decode(name).map_err(malformed)?, decode(value).map_err(malformed)?);
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Error::new(Code::InvalidRequest, format!("the query has {name} more than once")));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// One parameter, as it is given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// `prefix`, `limit` and `cursor`.
    pub(super) fn page(&self) -> Result<Page, Error> {
        Ok(Page {
            prefix: self.get("prefix").unwrap_or_default().to_owned(),
            limit: self.limit()?,
            // An empty cursor is none, as an empty prefix is none.
            cursor: self.get("cursor").filter(|cursor| !cursor.is_empty()).map(str::to_owned),
        })
    }

    /// `true` or `false`; absent is `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Error::new(Code::InvalidRequest, format!("{name} is true or false"))),
        }
    }

    /// `limit`: 1 to 1,000.
    pub(super) fn limit(&self) -> Result<usize, Error> {
        let Some(text) = self.get("limit") else { return Ok(PAGE_DEFAULT) };
        whole(text)
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|limit| (1..=PAGE_MAX).contains(limit))
            .ok_or_else(|| {
                Error::new(Code::InvalidRequest, format!("limit is a whole number from 1 to {PAGE_MAX}"))
            })
    }

    /// `since`: a version.
    pub(super) fn since(&self) -> Result<Option<Version>, Error> {
        self.get("since").map(|text| version(text, "since")).transpose()
    }
}

/// A version as text: digits and nothing else.
pub(super) fn version(text: &str, what: &str) -> Result<Version, Error> {
    let wrong = || Error::new(Code::InvalidRequest, format!("{what} is a version, a whole number from 0"));
    whole(text).map(Version).ok_or_else(wrong)
}

fn whole(text: &str) -> Option<u64> {
    // `u64::from_str` would take a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn decode(text: &str) -> Result<Cow<'_, str>, Undecodable> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return path::decode(&spaced).map(|decoded| Cow::Owned(decoded.into_owned()));
    }
    path::decode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, usize, Option<&str>)>) {
        let page = Query::parse(Some(text)).and_then(|query| query.page()).ok();
        let page = page.as_ref().map(|page| (page.prefix.as_str(), page.limit, page.cursor.as_deref()));
        assert_eq!(page, expected, "{text}");
    }

    #[test]
    fn pages() {
        check("", Some(("", 100, None)));
        check("prefix=a%2Fb&limit=1", Some(("a/b", 1, None)));
        check("prefix=a+b&limit=1000&cursor=xyz", Some(("a b", 1000, Some("xyz"))));
        check("other=1&&prefix&cursor=", Some(("", 100, None)));
        for wrong in [
            "limit=0",
            "limit=1001",
            "limit=",
            "limit=x",
            "limit=-1",
            "limit=+1",
            "limit=1.0",
            "prefix=%",
            "prefix=%ff",
            "limit=1&limit=2",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn versions() {
        let since = |text| Query::parse(Some(text)).and_then(|query| query.since()).ok();
        assert_eq!(since(""), Some(None));
        assert_eq!(since("since=0"), Some(Some(Version(0))));
        assert_eq!(since("since=18446744073709551615"), Some(Some(Version(u64::MAX))));
        for wrong in ["since=", "since=-1", "since=18446744073709551616", "since=1e3", "since=\"1\""] {
            assert_eq!(since(wrong), None, "{wrong}");
        }
    }
}
