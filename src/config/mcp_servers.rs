//! Other MCP servers to route to, in the shape that MCP clients' own configuration has.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Longest name of a server, in characters: it stands before every name of its tools.
const NAME_MAX: usize = 48;
/// Longest that a call may be given, in milliseconds: an hour.
const TIMEOUT_MAX_MS: u64 = 60 * 60 * 1_000;

/// A server: a command that speaks MCP over its standard input and output, or the URL of one that speaks it over HTTP.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct McpServer {
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment, beside `HOME`, `LANG`, `LOGNAME`, `PATH`, `SHELL`, `TERM`, `TMPDIR` and `USER`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The endpoint of a server over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Headers of every request to it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Leave it out for now.
    pub disabled: bool,
    /// The tools that are shown; all where none is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Tools that are annotated as needing no confirmation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub auto_approve: Vec<String>,
    /// Longest that one call may take, in milliseconds.
    #[serde(rename = "timeout_ms")]
    pub timeout_ms: u64,
}

impl Default for McpServer {
    fn default() -> Self {
        Self {
            command: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            url: None,
            headers: BTreeMap::new(),
            disabled: false,
            tools: Vec::new(),
            auto_approve: Vec::new(),
            timeout_ms: 60_000,
        }
    }
}

/// What may be a secret is not shown: environment and headers.
impl std::fmt::Debug for McpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpServer")
            .field("command", &self.command)
            .field("url", &self.url)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// Complaints about the servers, each with what to do.
pub(super) fn check(servers: &BTreeMap<String, McpServer>, problems: &mut Vec<String>) {
    for (name, server) in servers {
        let mut complain = |what: &str| problems.push(format!("mcpServers.{name}{what}"));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_name) || name.contains("__") {
            complain(&format!(
                " is no name of a server: choose 1 to {NAME_MAX} letters, digits, `-`, `.` and `_`, not `__`"
            ));
        }
        match (&server.command, &server.url) {
            (Some(_), Some(_)) => complain(" has both command and url: give one of them"),
            (None, None) => complain(" has neither command nor url: give one of them"),
            (Some(command), None) if command.is_empty() => complain(".command is empty: name a program"),
            (None, Some(url)) if !is_endpoint(url) => {
                complain(".url is no endpoint: give http://… or https://…");
            }
            _ => {}
        }
        if server.command.is_none() && !(server.args.is_empty() && server.env.is_empty()) {
            complain(" has args or env, and no command to give them to: leave them out");
        }
        if server.url.is_none() && !server.headers.is_empty() {
            complain(" has headers, and no url to send them to: leave them out");
        }
        for (header, value) in &server.headers {
            if http::HeaderName::try_from(header).is_err() || http::HeaderValue::try_from(value).is_err() {
                complain(&format!(".headers.{header} can not be sent: give a header's name and its value"));
            }
        }
        if !(1..=TIMEOUT_MAX_MS).contains(&server.timeout_ms) {
            complain(&format!(".timeout_ms is {}: choose 1 to {TIMEOUT_MAX_MS}", server.timeout_ms));
        }
    }
}

fn is_endpoint(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
}

/// The servers as the end of a configuration file. The values of environment and headers are not shown.
pub(super) fn render(servers: &BTreeMap<String, McpServer>, text: &mut String) {
    const TAKES_TEXT: &str = "a string takes all text";
    text.push_str(
        "\n# Other MCP servers, whose tools appear as NAME__TOOL: command, args and env, or url and headers; disabled,\n\
         # tools (those shown; all by default), autoApprove, timeout_ms (60000).\n",
    );
    if servers.is_empty() {
        text.push_str("# [mcpServers.everything]\n# command = \"npx\"\n# args = [\"-y\", \"@modelcontextprotocol/server-everything\"]\n");
    }
    for (name, server) in servers {
        let hide = |values: &BTreeMap<String, String>| {
            values.keys().map(|key| (key.clone(), "…".to_owned())).collect()
        };
        let shown = McpServer { env: hide(&server.env), headers: hide(&server.headers), ..server.clone() };
        let table = toml::to_string(&shown).expect("a server is a TOML table");
        // Tables within it need their whole name.
        let name = toml::Value::String(name.clone()).to_string();
        let table = table.replace("\n[", &format!("\n[mcpServers.{name}."));
        write!(text, "\n[mcpServers.{name}]\n{table}").expect(TAKES_TEXT);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: Expect) {
        let servers: BTreeMap<String, McpServer> = toml::from_str(text).expect("it is TOML");
        let mut problems = Vec::new();
        super::check(&servers, &mut problems);
        expected.assert_eq(&problems.join("\n"));
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        check(
            "[files]\ncommand = \"npx\"\nargs = [\"-y\", \"x\"]\nautoApprove = [\"read\"]\n[far]\nurl = \"https://a/mcp\"\nheaders.Authorization = \"Bearer x\"",
            expect![""],
        );
        check(
            "[a__b]\ncommand = \"x\"\n[both]\ncommand = \"x\"\nurl = \"http://a\"\n[none]\ndisabled = true\n[bad]\nurl = \"ftp://a\"\nargs = [\"x\"]\ntimeout_ms = 0",
            expect![[r"
                mcpServers.a__b is no name of a server: choose 1 to 48 letters, digits, `-`, `.` and `_`, not `__`
                mcpServers.bad.url is no endpoint: give http://… or https://…
                mcpServers.bad has args or env, and no command to give them to: leave them out
                mcpServers.bad.timeout_ms is 0: choose 1 to 3600000
                mcpServers.both has both command and url: give one of them
                mcpServers.none has neither command nor url: give one of them"]],
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = "[a]\ncommand = \"x\"\nenv.TOKEN = \"secret\"\n[b]\nurl = \"http://b\"\nheaders.Authorization = \"secret\"";
        let servers: BTreeMap<String, McpServer> = toml::from_str(text).expect("it is TOML");
        let mut shown = String::new();
        render(&servers, &mut shown);
        assert!(!shown.contains("secret") && !format!("{servers:?}").contains("secret"), "{shown}");
        let again: toml::Table = toml::from_str(&shown).expect("what is shown is TOML");
        let env = again.get("mcpServers").and_then(|servers| servers.get("a")?.get("env")?.get("TOKEN"));
        assert_eq!(env.and_then(toml::Value::as_str), Some("…"), "{shown}");
    }
}
