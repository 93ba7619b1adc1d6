//! `stead mcp`: a server's MCP over standard input and output, for clients that want a command.
//!
//! It knows nothing of tools: each line of the input is posted to `/mcp`, and each message that comes back is a line of
//! the output (`exchange`). What opens a session and what needs no answer is sent in order; requests go side by side, as
//! they may, so that a slow one holds up no other.

mod exchange;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::task::{AbortHandle, JoinSet};

use super::failure::Failure;
use crate::limits::{BODY_MAX_BYTES, MCP_STDIO_REQUESTS_MAX};
use exchange::Exchange;

/// Serve the server's MCP over standard input and output, one JSON-RPC message a line
///
/// For MCP clients that start a command: in their configuration, the command is `stead` and its arguments are `mcp`,
/// `--server` and the server's address.
#[derive(Debug, clap::Args)]
pub(super) struct Mcp {}

impl Mcp {
    pub(super) async fn run(&self, server: &str, timeout: Duration) -> Result<(), Failure> {
        let exchange = Arc::new(Exchange::new(server, timeout)?);
        let mut lines = BufReader::new(tokio::io::stdin());
        let mut running = Running::default();
        let mut line = Vec::new();
        loop {
            // Whoever is done makes room for the next.
            if running.is_full() {
                running.one_ends().await;
            }
            let read = read_line(&mut lines, &mut line).await;
            if !read.map_err(|problem| Failure::failed(format!("cannot read the input: {problem}")))? {
                break;
            }
            if line.len() > BODY_MAX_BYTES {
                exchange
                    .complain(None, -32600, format!("a message has at most {BODY_MAX_BYTES} bytes"))
                    .await?;
                continue;
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            match serde_json::from_slice::<Value>(text) {
                Ok(message) => running.take(&exchange, message).await?,
                Err(problem) => {
                    exchange.complain(None, -32700, format!("this is no JSON: {problem}")).await?;
                }
            }
        }
        running.finish(timeout).await;
        exchange.end().await;
        Ok(())
    }
}

/// Reads one line, of which no more than a byte beyond the bound is kept; false at the end of the input.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    loop {
        let buffered = input.fill_buf().await?;
        if buffered.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = buffered.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(buffered.len(), |end| end + 1);
        let room = (BODY_MAX_BYTES + 1).saturating_sub(line.len());
        line.extend(buffered.iter().take(taken.min(room)));
        input.consume(taken);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// The requests that are on their way.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    /// By the text of their ids.
    ids: HashMap<String, AbortHandle>,
}

impl Running {
    /// Sends one message; of a request, the answer comes when it comes.
    async fn take(&mut self, exchange: &Arc<Exchange>, message: Value) -> Result<(), Failure> {
        let method = message.get("method").and_then(Value::as_str);
        match (method, message.get("id")) {
            (Some("notifications/cancelled"), _) if exchange.is_stateless() => {
                // Over HTTP such a request is cancelled by nobody reading its answer.
                let id = message.pointer("/params/requestId").map(Value::to_string);
                if let Some(task) = id.and_then(|id| self.ids.remove(&id)) {
                    task.abort();
                }
            }
            (Some("initialize") | None, _) | (_, None) => exchange.send(message).await?,
            (Some(_), Some(id)) => {
                let (id, exchange) = (id.to_string(), exchange.clone());
                let task = self.tasks.spawn(async move {
                    // The reader of the output has gone away: nothing is left to do.
                    drop(exchange.send(message).await);
                });
                self.ids.insert(id, task);
            }
        }
        while self.tasks.try_join_next().is_some() {}
        self.ids.retain(|_, task| !task.is_finished());
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.tasks.len() >= MCP_STDIO_REQUESTS_MAX
    }

    async fn one_ends(&mut self) {
        self.tasks.join_next().await;
    }

    /// The input is over: what is on its way is waited for, but for streams that never end.
    async fn finish(&mut self, longest: Duration) {
        let done = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(longest, done).await.is_err() {
            self.tasks.abort_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_too_long_is_cut_and_the_next_one_is_whole() {
        let text = [vec![b'x'; BODY_MAX_BYTES + 5], b"\n{}\nlast".to_vec()].concat();
        let (mut input, mut line) = (text.as_slice(), Vec::new());
        let mut lengths = Vec::new();
        while read_line(&mut input, &mut line).await.expect("memory can be read") {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [BODY_MAX_BYTES + 1, 3, 4]);
    }
}
