//! MCP: every object is a tool and a resource, for clients of all revisions of the protocol, on one address.
//!
//! What is offered comes from [`Source`]s, joined in a [`Catalog`]; what a running request may do with its client is
//! an [`Exchange`]. The types of the protocol are `rmcp`'s. Its HTTP and its sessions are not: they live in one process,
//! ours in objects.

mod catalog;
mod changes;
mod exchange;
mod failure;
mod objects;
mod prompts;
pub mod upstream;

pub use catalog::{Arguments, Catalog, Followed, Generations, ResourcePage, Source, Tasks, Tool, ToolAnswer};
pub use changes::Changes;
pub use exchange::{Client, Era, Exchange, Question, Reporter};
pub use failure::Failure;
pub use objects::Objects;
pub use prompts::Prompts;
