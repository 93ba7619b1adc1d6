//! Who subscribes to a class's feed on this gateway: the first one begins it, the last one ends it.

use std::sync::Arc;

use super::shared::{Item, Shared, carry};
use crate::caller::Caller;
use crate::error::Error;
use crate::live::hub::{Hub, stopping};
use crate::live::queue::Queue;
use crate::object::ClassName;
use crate::runtime::Feed;

/// One of the subscribers of a class's feed; while there is any, the feed goes on.
pub(super) struct Member {
    hub: Hub,
    key: (Arc<str>, ClassName),
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue<Item>>,
}

impl Member {
    /// Enters the class's feed; the first one begins it.
    pub(super) fn enter(hub: &Hub, caller: &Caller, class: &ClassName, feed: &Feed) -> Result<Self, Error> {
        if hub.is_closing() {
            return Err(stopping());
        }
        let key = (caller.tenant.clone(), class.clone());
        let mut feeds = hub.feeds().lock();
        let (shared, members) = feeds.entry(key.clone()).or_insert_with(|| (begin(hub, feed), 0));
        *members += 1;
        let shared = shared.clone();
        Ok(Self { hub: hub.clone(), key, shared, queue: Arc::default() })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.leave(&self.queue);
        let mut feeds = self.hub.feeds().lock();
        let is_last = feeds.get_mut(&self.key).is_some_and(|(_, members)| {
            *members -= 1;
            *members == 0
        });
        if is_last {
            feeds.remove(&self.key);
            self.shared.end();
        }
    }
}

fn begin(hub: &Hub, feed: &Feed) -> Arc<Shared> {
    let shared = Arc::new(Shared::new(feed));
    hub.spawn(carry(shared.clone(), feed.follow(), hub.metrics().clone()));
    shared
}
