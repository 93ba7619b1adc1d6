//! Objects as resources: `stead://CLASS/NAME`, the name percent-encoded, whose content is the JSON of the state.

use futures_util::StreamExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rmcp::model::{
    CompleteRequestParams, CompletionInfo, ReadResourceResult, Reference, Resource, ResourceContents,
    ResourceTemplate,
};

use super::{Objects, address_of, classes, tenant_of};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::limits::{COMPLETIONS_MAX, PAGE_DEFAULT};
use crate::live::{Event, Opening};
use crate::mcp::catalog::{Followed, ResourcePage};
use crate::mcp::{Exchange, Failure};
use crate::object::value::object_text;
use crate::object::{ClassName, ObjectAddress, ObjectName, Version};
use crate::runtime::{ListQuery, Outcome, Runtime};

/// What the addresses of objects begin with.
const SCHEME: &str = "stead://";
const JSON: &str = "application/json";
/// What stands in an address as it is: what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The address of an object as a resource.
fn uri_of(class: &str, name: &str) -> String {
    format!("{SCHEME}{class}/{}", utf8_percent_encode(name, ENCODED))
}

/// The object of an address; none if it is another's, an error if it is none of an object.
fn parse_uri(caller: &Caller, uri: &str) -> Option<Result<ObjectAddress, Error>> {
    let (class, name) = uri.strip_prefix(SCHEME)?.split_once('/')?;
    let name = percent_decode_str(name).decode_utf8();
    Some(match name {
        Ok(name) => address_of(caller, class, &name),
        Err(_) => Err(Error::new(Code::InvalidRequest, "the name in the address is not UTF-8")),
    })
}

/// A template for all classes, and one for each.
pub(super) fn templates(runtime: &Runtime) -> Vec<ResourceTemplate> {
    let any = ResourceTemplate::new(format!("{SCHEME}{{class}}/{{name}}"), "object")
        .with_title("An object")
        .with_description("The state of an object of any class, as JSON.")
        .with_mime_type(JSON);
    let of = |class: std::sync::Arc<str>| {
        ResourceTemplate::new(format!("{SCHEME}{class}/{{name}}"), &*class)
            .with_title(format!("An object of class {class}"))
            .with_description(format!("The state of an object of class {class}, as JSON."))
            .with_mime_type(JSON)
    };
    std::iter::once(any).chain(classes(runtime).into_iter().map(of)).collect()
}

impl Objects {
    /// A page of the objects of all classes, one class after the other. A cursor is a class and a cursor within it.
    pub(super) async fn list_resources(
        &self,
        exchange: &Exchange,
        cursor: Option<&str>,
    ) -> Result<ResourcePage, Error> {
        let caller = exchange.caller();
        let classes = self.runtime.classes(&tenant_of(caller)?);
        let (first, mut within) = match cursor {
            Some(cursor) => {
                let (class, within) = cursor.split_once(':').ok_or_else(no_cursor)?;
                (class, Some(within).filter(|within| !within.is_empty()))
            }
            None => ("", None),
        };
        let mut page = ResourcePage::default();
        for class in classes.iter().filter(|class| &***class >= first) {
            let room = PAGE_DEFAULT - page.resources.len();
            if room == 0 {
                page.cursor = Some(format!("{class}:"));
                break;
            }
            let name = ClassName::parse(class).expect("a class that there is has a name");
            let cursor = within.take().filter(|_| &**class == first).map(str::to_owned);
            let query = ListQuery { prefix: String::new(), limit: room, cursor };
            let found = self.runtime.list(caller, &name, query).await?;
            page.resources.extend(found.objects.iter().map(|object| {
                Resource::new(uri_of(class, &object.name), format!("{class}/{}", object.name))
                    .with_mime_type(JSON)
            }));
            if let Some(cursor) = found.cursor {
                page.cursor = Some(format!("{class}:{cursor}"));
                break;
            }
        }
        Ok(page)
    }

    /// Reads an object; none if the address is not one of an object.
    pub(super) async fn read_resource(
        &self,
        exchange: &Exchange,
        uri: &str,
    ) -> Result<Option<ReadResourceResult>, Failure> {
        let Some(address) = parse_uri(exchange.caller(), uri) else { return Ok(None) };
        let address = address.map_err(|error| missing(&error, uri))?;
        let answer = self.state(exchange, &address).await.map_err(|error| missing(&error, uri))?;
        let Outcome::State { exists, entries, .. } = answer.outcome else {
            unreachable!("a state is answered by a state")
        };
        if !exists {
            return Err(Failure::no_resource(uri));
        }
        let state = object_text(entries.iter().map(|(key, value)| (key, value)));
        let contents = ResourceContents::text(state, uri).with_mime_type(JSON);
        Ok(Some(ReadResourceResult::new(vec![contents])))
    }

    /// Follows an object, be it there or not: each commit of it, wherever it is made.
    pub(super) async fn follow_resource(
        &self,
        caller: &Caller,
        uri: &str,
        since: Option<u64>,
    ) -> Result<Option<Followed>, Failure> {
        let Some(address) = parse_uri(caller, uri) else { return Ok(None) };
        let address = address.map_err(|error| missing(&error, uri))?;
        let subscribed = self.hub.subscribe(caller, &address, since.map(Version)).await;
        let mut subscription = subscribed.map_err(|error| missing(&error, uri))?;
        let version = match subscription.take_opening() {
            Opening::Init { version, .. } | Opening::Resumed { version, .. } => version,
        };
        // What the history could not tell is one change.
        let unseen = since.filter(|since| subscription.version() == version && *since < version.0);
        let first = unseen.map(|_| version.0);
        let later = futures_util::stream::unfold(subscription, |mut subscription| async move {
            loop {
                match subscription.next().await {
                    Event::Update(update) => return Some((update.version.0, subscription)),
                    Event::Reset(Opening::Init { version, .. } | Opening::Resumed { version, .. }) => {
                        return Some((version.0, subscription));
                    }
                    Event::Presence(_) | Event::Signal(_) => {}
                    Event::TooSlow { .. } | Event::GoingAway { .. } => return None,
                }
            }
        });
        let version = since.unwrap_or(version.0);
        Ok(Some(Followed { version, changes: futures_util::stream::iter(first).chain(later).boxed() }))
    }

    /// Values for an argument of one of our templates.
    pub(super) async fn complete_argument(
        &self,
        exchange: &Exchange,
        asked: &CompleteRequestParams,
    ) -> Result<Option<CompletionInfo>, Error> {
        let Reference::Resource(template) = &asked.r#ref else { return Ok(None) };
        let Some((class, name)) = template.uri.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/'))
        else {
            return Ok(None);
        };
        let begun = &*asked.argument.value;
        let given = asked.context.as_ref().and_then(|context| context.arguments.as_ref());
        let class = match class {
            "{class}" => given.and_then(|given| given.get("class")).map(String::as_str),
            class => Some(class),
        };
        let (values, has_more) = match (&*asked.argument.name, class, name) {
            ("class", ..) => {
                let classes = self.runtime.classes(&tenant_of(exchange.caller())?);
                let begins = classes.iter().filter(|class| class.starts_with(begun));
                (begins.map(ToString::to_string).collect(), false)
            }
            ("name", Some(class), "{name}") => self.names(exchange, class, begun).await?,
            // Of which class is not known.
            _ => (Vec::new(), false),
        };
        let total = (!has_more).then(|| u32::try_from(values.len()).unwrap_or(u32::MAX));
        Ok(CompletionInfo::with_pagination(values, total, has_more).ok())
    }

    /// Names of a class that begin so, and whether there are more.
    async fn names(
        &self,
        exchange: &Exchange,
        class: &str,
        begun: &str,
    ) -> Result<(Vec<String>, bool), Error> {
        let class =
            ClassName::parse(class).map_err(|error| Error::new(Code::InvalidRequest, error.to_string()))?;
        if !begun.is_empty() && ObjectName::parse(begun).is_err() {
            return Ok((Vec::new(), false));
        }
        let query = ListQuery { prefix: begun.to_owned(), limit: COMPLETIONS_MAX, cursor: None };
        let page = self.runtime.list(exchange.caller(), &class, query).await?;
        let names = page.objects.iter().map(|object| object.name.to_string()).collect();
        Ok((names, page.cursor.is_some()))
    }
}

/// Of what is not there, the protocol has an error of its own.
fn missing(error: &Error, uri: &str) -> Failure {
    match error.code {
        Code::ClassNotFound | Code::ObjectNotFound | Code::InvalidRequest => Failure::no_resource(uri),
        _ => error.clone().into(),
    }
}

fn no_cursor() -> Error {
    Error::new(Code::InvalidRequest, "the cursor is not one of this list: begin without one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        let caller = crate::class::Rehearsal::new(crate::class::Counter).caller().clone();
        for (class, name, uri) in [
            ("counter", "visits", "stead://counter/visits"),
            ("object", "a/b c", "stead://object/a%2Fb%20c"),
            ("document", "é%", "stead://document/%C3%A9%25"),
        ] {
            assert_eq!(uri_of(class, name), uri);
            let address = parse_uri(&caller, uri).expect("it is ours").expect("it is an object's");
            assert_eq!((address.class().as_str(), address.name().as_str()), (class, name));
        }
        // A slash that is not encoded is part of the name too.
        let address =
            parse_uri(&caller, "stead://object/a/b").expect("it is ours").expect("it is an object's");
        assert_eq!(address.name().as_str(), "a/b");
        assert!(parse_uri(&caller, "file:///a").is_none());
        for none in ["stead://object/", "stead://Bad/a", "stead://object/%FF"] {
            assert!(parse_uri(&caller, none).expect("it is ours").is_err(), "{none}");
        }
    }
}
