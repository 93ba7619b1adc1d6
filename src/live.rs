//! Subscribers: who watches which object through this node.
//!
//! A gateway holds at most one stream an object, whatever the number of its subscribers, and fans out
//! here: each update is shared by all of them, and each frame of it is encoded once. There are no
//! sockets in here; `api` takes events from a [`Subscription`] and writes them in its dialect.
//!
//! What a subscriber is promised: after the opening, each version once, in order. A subscriber that
//! does not keep up is told its last version and let go; it never delays anyone. A subscriber of a
//! class (`feed`) is promised the same of every object of it, with cursors in the place of versions.

mod feed;
mod hub;
mod presence;
mod queue;
mod sockets;
mod subscription;
mod update;

pub use feed::{FeedEvent, FeedOpening, FeedSubscription, FeedUpdate};
pub use hub::Hub;
pub use presence::{LivePresence, LiveSignal, write_members};
pub use sockets::{Place, Sockets};
pub use subscription::{Event, Opening, Subscription};
pub use update::LiveUpdate;
