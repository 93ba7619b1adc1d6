//! What a node remembers of the sessions that it has served lately: their clients, which do not change.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;

use crate::mcp::exchange::Client;

/// A session that was used within this time counts as active.
const ACTIVE: Duration = Duration::from_mins(15);
/// Sessions whose clients a node remembers.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");

/// The sessions that this node has served lately, and their clients, which do not change.
pub(in crate::mcp) struct Known(Mutex<LruCache<String, (Arc<Client>, Instant)>>);

impl Default for Known {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KNOWN_MAX)))
    }
}

impl Known {
    /// How many are active.
    pub(in crate::mcp) fn active(&self) -> usize {
        let now = Instant::now();
        let known = self.0.lock();
        known.iter().take_while(|(_, (_, used))| now.duration_since(*used) < ACTIVE).count()
    }

    /// The client of a session, which is used herewith.
    pub(super) fn client(&self, id: &str) -> Option<Arc<Client>> {
        let mut known = self.0.lock();
        let (client, used) = known.get_mut(id)?;
        *used = Instant::now();
        Some(client.clone())
    }

    pub(super) fn learn(&self, id: &str, client: &Arc<Client>) {
        self.0.lock().put(id.to_owned(), (client.clone(), Instant::now()));
    }

    pub(in crate::mcp) fn forget(&self, id: &str) {
        self.0.lock().pop(id);
    }
}
