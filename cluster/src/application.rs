//! What the application on one node asks of the application on another.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::layout::NodeId;

/// The application's side of the way between nodes: it answers what [`crate::Cluster::ask`] and
/// [`crate::Cluster::stream`] ask on other nodes.
pub trait Application: Send + Sync + 'static {
    /// Answers a question. An answer always comes; what went wrong is in it. It is dropped when the asking
    /// node gives up or is gone, so what must run to its end has to run elsewhere.
    fn answer(&self, from: NodeId, request: Bytes) -> BoxFuture<'static, Bytes>;

    /// Opens a stream of messages. It is dropped when its reader is gone; its end reaches the reader. A reader
    /// that does not keep up loses the stream, never a single message of it.
    fn stream(&self, from: NodeId, request: Bytes) -> BoxStream<'static, Bytes>;
}
