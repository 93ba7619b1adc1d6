//! Whether the process at the other end has surely ended: the one proof on which a leader's lease is broken.
//!
//! It has, when all of this holds:
//!
//! - it closed an established connection itself: the end of the stream or a reset came from there, it was not this
//!   side that gave up;
//! - a handshake had shown that the address dialled is that very process's own socket: it saw the same two
//!   addresses as this side, so nothing stood between;
//! - connecting to that address is refused right afterwards.
//!
//! A process keeps its port as long as it lives, or until its network was stopped, which is done once it answers and
//! confirms nothing more. A timeout, silence, an unreachable host or a port that accepts proves nothing.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::layout::NodeId;
use crate::network::tcp::Shared;

/// Tries to connect to the port of a process that has closed its connection, and the pause between them: the port
/// of a process that dies may close a moment after the connection.
const PROBES: u32 = 20;
const PROBE_EVERY: Duration = Duration::from_millis(5);
/// How long one such try may take.
const PROBE_WITHIN: Duration = Duration::from_millis(100);

/// A socket of which a handshake has shown that it is a process's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnSocket {
    pub(super) address: SocketAddr,
    pub(super) epoch: u64,
}

impl Shared {
    /// A process of a peer has closed a connection: finds out whether it has ended, and tells if so.
    pub(super) async fn may_have_ended(&self, node: NodeId, epoch: u64) {
        let own_socket = self.peer(node).and_then(|peer| *peer.own_socket.lock());
        let Some(own_socket) = own_socket.filter(|shown| shown.epoch == epoch) else { return };
        if is_refused(own_socket.address).await {
            self.presence.has_ended(node, epoch);
        }
    }
}

/// Whether nothing listens at an address any more. Only a refusal says so: a timeout, or any other error, does not.
async fn is_refused(address: SocketAddr) -> bool {
    for _ in 0..PROBES {
        match timeout(PROBE_WITHIN, TcpStream::connect(address)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return true,
            Ok(Ok(_)) => sleep(PROBE_EVERY).await,
            Ok(Err(_)) | Err(_) => return false,
        }
    }
    false
}
