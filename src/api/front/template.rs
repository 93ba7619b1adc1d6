//! The route's template of a path, for metrics and log lines: a label has few values.

/// The template that a path fits, `other` if none does.
pub(super) fn of(path: &str) -> &'static str {
    if path.strip_prefix("/v1/yjs/").is_some_and(|name| !name.is_empty()) {
        return "/v1/yjs/{name}";
    }
    let mut parts = [""; 7];
    let mut count = 0;
    for part in path.split('/').skip(1) {
        match parts.get_mut(count) {
            Some(place) => *place = part,
            None => return deep(path),
        }
        count += 1;
    }
    match parts.get(..count).unwrap_or_default() {
        ["v1", "objects", "document", _, "versions"] => "/v1/objects/document/{name}/versions",
        ["v1", "objects", "document", _, "versions", _] => "/v1/objects/document/{name}/versions/{version}",
        ["v1", "objects", rest @ ..] => object(rest),
        ["v1", "changes", rest @ ..] => change(rest),
        ["v1", "live"] => "/v1/live",
        ["socket", "websocket"] => "/socket/websocket",
        ["v1", "cluster"] => "/v1/cluster",
        ["v1", "nodes"] => "/v1/nodes",
        ["v1", "nodes", _] => "/v1/nodes/{id}",
        ["v1", "nodes", _, "drain"] => "/v1/nodes/{id}/drain",
        ["v1", "nodes", _, "undrain"] => "/v1/nodes/{id}/undrain",
        ["v1", "shards"] => "/v1/shards",
        ["v1", "shards", "rebalance"] => "/v1/shards/rebalance",
        ["v1", "shards", _] => "/v1/shards/{id}",
        ["v1", "shards", _, "move"] => "/v1/shards/{id}/move",
        ["v1", "shards", _, "transfer"] => "/v1/shards/{id}/transfer",
        ["v1", "operations", _] => "/v1/operations/{id}",
        ["v1", "snapshots"] => "/v1/snapshots",
        ["mcp", ..] => "/mcp",
        [""] => "/",
        ["health"] => "/health",
        ["ready"] => "/ready",
        ["livez"] => "/livez",
        ["metrics"] => "/metrics",
        ["stats"] => "/stats",
        ["openapi.json"] => "/openapi.json",
        _ => deep(path),
    }
}

fn object(rest: &[&str]) -> &'static str {
    match rest {
        [_] => "/v1/objects/{class}",
        [_, _] => "/v1/objects/{class}/{name}",
        [_, _, "methods", _] => "/v1/objects/{class}/{name}/methods/{method}",
        [_, _, "state"] => "/v1/objects/{class}/{name}/state",
        [_, _, "state", _] => "/v1/objects/{class}/{name}/state/{key}",
        [_, _, "updates"] => "/v1/objects/{class}/{name}/updates",
        [_, _, "live"] => "/v1/objects/{class}/{name}/live",
        [_, _, "location"] => "/v1/objects/{class}/{name}/location",
        _ => "other",
    }
}

fn change(rest: &[&str]) -> &'static str {
    match rest {
        [] => "/v1/changes",
        ["report"] => "/v1/changes/report",
        ["dashboard"] => "/v1/changes/dashboard",
        ["policy"] => "/v1/changes/policy",
        ["policy", "history"] => "/v1/changes/policy/history",
        [_] => "/v1/changes/{id}",
        [_, "decisions"] => "/v1/changes/{id}/decisions",
        [_, "assessments"] => "/v1/changes/{id}/assessments",
        [_, "schedule"] => "/v1/changes/{id}/schedule",
        [_, "transitions"] => "/v1/changes/{id}/transitions",
        [_, "override"] => "/v1/changes/{id}/override",
        [_, "comments"] => "/v1/changes/{id}/comments",
        [_, "audit"] => "/v1/changes/{id}/audit",
        _ => "other",
    }
}

/// The paths of the worker-compatible API may have any number of parts.
fn deep(path: &str) -> &'static str {
    use crate::api::path::Compatible;
    match Compatible::parse(path) {
        Some(Compatible::Initialize { .. }) => "/initialize/{id}",
        Some(Compatible::State { .. }) => "/object/{id}/state",
        Some(Compatible::Key { .. }) => "/object/{id}/state/{key}",
        Some(Compatible::Method { .. }) => "/object/{id}/method/{method}",
        Some(Compatible::Socket { .. }) => "/object/{id}/websocket",
        Some(Compatible::Namespace { .. }) => "/namespace/{namespace}/id/{name}",
        None => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn every_documented_path_is_its_own_template() {
        for path in crate::api::openapi().paths.paths.keys() {
            assert_eq!(of(path), path);
        }
    }

    #[test]
    fn paths_fit_templates() {
        assert_eq!(
            of("/v1/objects/counter/a%2Fb/methods/increment"),
            "/v1/objects/{class}/{name}/methods/{method}"
        );
        assert_eq!(of("/v1/yjs/a/b/c/d/e/f/g/h"), "/v1/yjs/{name}");
        assert_eq!(of("/initialize/a/b/c/d/e/f/g/h/i"), "/initialize/{id}");
        assert_eq!(of("/object/a/state/b/c/d/e/f/g/h"), "/object/{id}/state/{key}");
        for other in ["", "/a", "/v1", "/v1/objects", "/v1/objects/a/b/c", "/a/b/c/d/e/f/g/h/i", "*"] {
            assert_eq!(of(other), "other", "{other}");
        }
    }
}
