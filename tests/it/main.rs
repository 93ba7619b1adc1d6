//! Black-box tests: the real `stead` binary, on a port of its own, over HTTP and WebSocket.
//!
//! One integration binary, one file a behaviour. What the server promises is in the project's
//! contract; these tests know nothing of its insides, but for [`imports`], which reads the sources.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test reports to a person, and a wrong index is a failed test"
)]

mod harness;

mod alarms;
mod bad_input;
mod changes;
mod cli;
mod cluster;
mod cluster_calls;
mod console;
mod crash;
mod cuts;
mod deploy;
mod disks;
mod editors;
mod encrypted;
mod flush;
mod golden;
mod hostile;
mod imports;
mod limits;
mod live;
mod logs;
mod mcp;
mod mcp_cluster;
mod mcp_fixtures;
mod model;
mod operating;
mod order;
mod page;
mod readme;
mod resume;
mod shutdown;
mod snapshots;
mod sockets;
mod torn;
mod workload;
