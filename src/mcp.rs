//! MCP: every object is a tool and a resource, for clients of all revisions of the protocol, on one address.
//!
//! What is offered comes from [`Source`]s, joined in a [`Catalog`]; what a running request may do with its client is
//! an [`Exchange`]. Read in the order of a request: `http` takes it and finds its era, `modern` and `legacy` check what their
//! revisions ask for, `running` runs it, `dispatch` finds what answers. Below them lie the words they share: `ask` and
//! `response` of HTTP, `message` and `reply` of JSON-RPC, `work` and `done` of what a request wants and comes to;
//! `handle` is what all of them stand on. What outlives a request is an object: a `session`, a `task`, the key of `state`.
//!
//! The types of the protocol are `rmcp`'s. Its HTTP and its sessions are not: they live in one process,
//! ours in objects.

mod ask;
mod catalog;
mod changes;
mod detached;
mod dispatch;
mod done;
mod events;
mod exchange;
mod failure;
mod handle;
mod headers;
mod http;
mod introduction;
mod legacy;
mod listen;
mod message;
mod modern;
mod objects;
mod params;
mod pending;
mod prompts;
mod record;
mod reply;
mod response;
mod revision;
mod running;
mod session;
mod state;
mod stream;
mod task;
pub mod upstream;
mod work;

pub use catalog::{Arguments, Catalog, Followed, Generations, ResourcePage, Source, Tasks, Tool, ToolAnswer};
pub use changes::Changes;
pub use exchange::{Client, Exchange, Level, Question, Reporter};
pub use failure::Failure;
pub use handle::{Mcp, Parts};
pub use objects::Objects;
pub use prompts::Prompts;
pub use revision::Era;
