//! What a server offers, under names that say whose it is. Pure.
//!
//! A tool or prompt `search` of the server `github` is `github__search`. Its resource `file:///a` is
//! `stead-mcp:github/file:///a`: the scheme's own part is taken as it stands, so that a template stays one and what a
//! client makes of it needs no decoding.

use rmcp::model::{
    CallToolResult, ContentBlock, Prompt, ReadResourceResult, Resource, ResourceContents, ResourceTemplate,
    Tool,
};
use serde_json::Value as Json;

use super::UpstreamOptions;

/// Between the server and what is its own.
const BETWEEN: &str = "__";
/// What the addresses of other servers' resources begin with.
const SCHEME: &str = "stead-mcp:";
/// Says in a tool's `_meta` that its operator wants no confirmation.
const AUTO_APPROVE: &str = "stead/auto-approve";

/// What one server offers.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Offer {
    pub(super) tools: Vec<Tool>,
    pub(super) resources: Vec<Resource>,
    pub(super) templates: Vec<ResourceTemplate>,
    pub(super) prompts: Vec<Prompt>,
}

impl Offer {
    /// What is shown of a server: the tools that the operator shows, everything under its name, in the order of names.
    pub(super) fn of(
        server: &str,
        options: &UpstreamOptions,
        tools: Vec<Tool>,
        (resources, templates): (Vec<Resource>, Vec<ResourceTemplate>),
        prompts: Vec<Prompt>,
    ) -> Self {
        let is_shown =
            |tool: &Tool| options.tools.is_empty() || options.tools.iter().any(|shown| *shown == tool.name);
        let tool = |mut tool: Tool| {
            if options.auto_approve.iter().any(|approved| *approved == tool.name) {
                approve(&mut tool);
            }
            tool.name = join_name(server, &tool.name).into();
            tool
        };
        let resource = |mut resource: Resource| {
            resource.uri = join_uri(server, &resource.uri);
            resource.name = join_name(server, &resource.name);
            resource
        };
        let template = |mut template: ResourceTemplate| {
            template.uri_template = join_uri(server, &template.uri_template);
            template.name = join_name(server, &template.name);
            template
        };
        let prompt = |mut prompt: Prompt| {
            prompt.name = join_name(server, &prompt.name);
            prompt
        };
        let mut offer = Self {
            tools: tools.into_iter().filter(is_shown).map(tool).collect(),
            resources: resources.into_iter().map(resource).collect(),
            templates: templates.into_iter().map(template).collect(),
            prompts: prompts.into_iter().map(prompt).collect(),
        };
        offer.tools.sort_by(|left, right| left.name.cmp(&right.name));
        offer.resources.sort_by(|left, right| left.uri.cmp(&right.uri));
        offer.templates.sort_by(|left, right| left.uri_template.cmp(&right.uri_template));
        offer.prompts.sort_by(|left, right| left.name.cmp(&right.name));
        offer
    }
}

/// The operator says that a tool needs no confirmation.
fn approve(tool: &mut Tool) {
    let mut meta = tool.meta.take().unwrap_or_default();
    meta.insert(AUTO_APPROVE.to_owned(), Json::Bool(true));
    tool.meta = Some(meta);
    let annotations = tool.annotations.take().unwrap_or_default();
    tool.annotations = Some(annotations.destructive(false));
}

/// The name of a server's tool or prompt here.
fn join_name(server: &str, own: &str) -> String {
    format!("{server}{BETWEEN}{own}")
}

/// The address of a server's resource here.
fn join_uri(server: &str, own: &str) -> String {
    format!("{SCHEME}{server}/{own}")
}

/// The server and its own name for a tool or prompt. A server's name has no `__` in it.
pub(super) fn split_name(name: &str) -> Option<(&str, &str)> {
    name.split_once(BETWEEN).filter(|(server, own)| !server.is_empty() && !own.is_empty())
}

/// The server and its own address for a resource.
pub(super) fn split_uri(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix(SCHEME)?.split_once('/').filter(|(server, own)| !server.is_empty() && !own.is_empty())
}

/// A resource's contents under its address here.
pub(super) fn rename_contents(server: &str, mut result: ReadResourceResult) -> ReadResourceResult {
    result.contents.iter_mut().for_each(|contents| rename_content(server, contents));
    result
}

/// A tool's result, with the addresses of resources in it as they are here.
pub(super) fn rename_links(server: &str, mut result: CallToolResult) -> CallToolResult {
    for block in &mut result.content {
        match block {
            ContentBlock::Resource(embedded) => rename_content(server, &mut embedded.resource),
            ContentBlock::ResourceLink(link) => link.uri = join_uri(server, &link.uri),
            _ => {}
        }
    }
    result
}

fn rename_content(server: &str, contents: &mut ResourceContents) {
    match contents {
        ResourceContents::TextResourceContents { uri, .. }
        | ResourceContents::BlobResourceContents { uri, .. } => *uri = join_uri(server, uri),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::mcp::upstream::Way;

    fn options(tools: &[&str], auto_approve: &[&str]) -> UpstreamOptions {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        UpstreamOptions {
            way: Way::Url { url: String::new(), headers: BTreeMap::new() },
            tools: owned(tools),
            auto_approve: owned(auto_approve),
            timeout: Duration::from_secs(1),
        }
    }

    fn tool(name: &'static str) -> Tool {
        Tool::new(name, "does something", Arc::default())
    }

    fn is_approved(tool: &Tool) -> bool {
        let said = tool.meta.as_ref().and_then(|meta| meta.get(AUTO_APPROVE));
        let hint = tool.annotations.as_ref().and_then(|annotations| annotations.destructive_hint);
        said == Some(&Json::Bool(true)) && hint == Some(false)
    }

    #[test]
    fn names_say_whose_they_are() {
        let offer = Offer::of(
            "github",
            &options(&[], &["read"]),
            vec![tool("write"), tool("read")],
            (vec![Resource::new("file:///a", "a")], vec![ResourceTemplate::new("file:///{path}", "files")]),
            vec![Prompt::new("review", Some("reviews"), None)],
        );
        let tools: Vec<_> = offer.tools.iter().map(|tool| (&*tool.name, is_approved(tool))).collect();
        assert_eq!(tools, [("github__read", true), ("github__write", false)]);
        let resources: Vec<_> = offer.resources.iter().map(|one| (&*one.uri, &*one.name)).collect();
        assert_eq!(resources, [("stead-mcp:github/file:///a", "github__a")]);
        assert_eq!(
            offer.templates.first().map(|one| &*one.uri_template),
            Some("stead-mcp:github/file:///{path}")
        );
        assert_eq!(offer.prompts.first().map(|one| &*one.name), Some("github__review"));
    }

    #[test]
    fn only_what_the_operator_shows_is_shown() {
        let offer = Offer::of(
            "s",
            &options(&["b"], &[]),
            vec![tool("a"), tool("b")],
            (Vec::new(), Vec::new()),
            Vec::new(),
        );
        assert_eq!(offer.tools.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["s__b"]);
    }

    #[test]
    fn names_come_apart_again() {
        for (name, split) in [
            ("github__search", Some(("github", "search"))),
            ("a_b__c__d", Some(("a_b", "c__d"))),
            ("create_change_request", None),
            ("__x", None),
            ("x__", None),
        ] {
            assert_eq!(split_name(name), split, "{name}");
        }
        for (uri, split) in [
            ("stead-mcp:github/file:///a%20b", Some(("github", "file:///a%20b"))),
            ("stead://counter/a", None),
            ("stead-mcp:github", None),
            ("stead-mcp:/file:///a", None),
        ] {
            assert_eq!(split_uri(uri), split, "{uri}");
        }
    }

    #[test]
    fn addresses_in_results_are_those_here() {
        let link = ContentBlock::resource_link(Resource::new("file:///a", "a"));
        let inside = ContentBlock::resource(ResourceContents::text("hello", "file:///b"));
        let renamed = rename_links("s", CallToolResult::success(vec![link, inside]));
        let text = serde_json::to_string(&renamed.content).expect("it has a form in JSON");
        assert!(
            text.contains("\"stead-mcp:s/file:///a\"") && text.contains("\"stead-mcp:s/file:///b\""),
            "{text}"
        );
    }
}
