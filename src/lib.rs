//! Stead: durable objects on your own machines.
//!
//! The library's front. Read it as a table of contents, from the bottom up:
//!
//! - [`error`], [`limits`], [`caller`], [`clock`] — the few words everyone shares;
//! - [`config`], [`telemetry`]: what the operator decides, and what the server says about itself;
//! - [`object`] — what an object is (address, turn, commit, update, history), pure;
//! - [`class`] — what each class does in a turn, pure;
//! - [`runtime`] — the objects alive on this node;
//! - [`live`] — subscribers;
//! - [`changeflow`] — change management over the class `change-request`;
//! - [`api`] — HTTP and WebSocket;
//! - [`mcp`] — tools, resources and prompts for MCP clients;
//! - [`server`] — the only place that builds the parts and joins them.

pub mod api;
pub mod caller;
pub mod changeflow;
pub mod class;
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
mod incoming;
pub mod limits;
pub mod live;
pub mod mcp;
pub mod object;
pub mod operate;
mod outgoing;
pub mod runtime;
pub mod server;
pub mod telemetry;
