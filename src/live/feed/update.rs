//! An update of a feed on its way to subscribers: the update, the cursor behind it, and its frame, encoded once.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::cursor::{self, ClusterTag, Within};
use crate::live::update::native;
use crate::object::{ObjectAddress, Update};
use crate::runtime::{Logged, Part};

/// An update shared by all subscribers of a feed.
#[derive(Debug)]
pub struct FeedUpdate {
    address: ObjectAddress,
    update: Arc<Update>,
    cursor: Box<str>,
    native: OnceLock<Bytes>,
}

impl FeedUpdate {
    /// The object it is of.
    #[must_use]
    pub fn address(&self) -> &ObjectAddress {
        &self.address
    }

    /// What to come back with for everything behind this update.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The native frame without `ref`, as UTF-8 text: type `update`, or `deleted`.
    pub fn native(&self) -> &Bytes {
        self.native.get_or_init(|| native(&self.address, &self.update, Some(&self.cursor)))
    }
}

impl Deref for FeedUpdate {
    type Target = Update;

    fn deref(&self) -> &Update {
        &self.update
    }
}

/// The updates of a part, each with the cursor behind it for one who has come as far as `reached`; who has them all
/// has come as far as `reached` says then.
pub(super) fn lay_out(cluster: ClusterTag, part: Part, reached: &mut [u64]) -> Vec<Arc<FeedUpdate>> {
    let shard = part.shard;
    let mut updates = part.updates.into_iter().peekable();
    let mut laid_out = Vec::with_capacity(updates.len());
    while let Some(Logged { index, nth, address, update }) = updates.next() {
        let is_last = updates.peek().is_none_or(|next| next.index != index);
        let (up_to, within) = if is_last {
            (index, None)
        } else {
            // More of its entry follows: it is not given as a whole yet.
            (index.saturating_sub(1), Some(Within { shard, commands: nth }))
        };
        advance(reached, shard, up_to);
        let cursor = cursor::encode(cluster, reached, within).into();
        laid_out.push(Arc::new(FeedUpdate { address, update, cursor, native: OnceLock::new() }));
    }
    advance(reached, shard, part.reached);
    laid_out
}

fn advance(reached: &mut [u64], shard: usize, index: u64) {
    if let Some(now) = reached.get_mut(shard) {
        *now = index.max(*now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::cursor::{Cursor, decode};
    use super::*;
    use crate::object::{Timestamp, Version};

    fn logged(index: u64, nth: u32, deleted_object: bool) -> Logged {
        let update = Update {
            version: Version(7),
            changes: Vec::new(),
            deleted: Vec::new(),
            cleared: false,
            deleted_object,
            too_large: false,
            method: "increment".into(),
            by: "local".into(),
            timestamp: Timestamp(1_795_227_096_224),
            delta: None,
            binary: None,
        };
        let address = ObjectAddress::parse("default", "counter", "a\"b").expect("an address");
        Logged { index, nth, address, update: Arc::new(update) }
    }

    #[test]
    fn each_cursor_stands_exactly_behind_its_update() {
        let cluster = ClusterTag::of([7; 16]);
        let updates = vec![logged(11, 2, false), logged(11, 5, false), logged(14, 1, true)];
        let part = Part { shard: 1, is_lost: false, updates, reached: 20 };
        let mut reached = vec![3, 9, 4];
        let laid_out = lay_out(cluster, part, &mut reached);
        assert_eq!(reached, [3, 20, 4]);
        let cursors = laid_out.iter().map(|update| decode(update.cursor()).expect("a cursor"));
        let cursor = |index, within| Cursor { cluster, reached: vec![3, index, 4], within };
        let within = Some(Within { shard: 1, commands: 2 });
        let expected = [cursor(10, within), cursor(11, None), cursor(14, None)];
        assert_eq!(cursors.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn frames_carry_the_cursor() {
        let updates = vec![logged(1, 1, false), logged(2, 1, true)];
        let part = Part { shard: 0, is_lost: false, updates, reached: 2 };
        let laid_out = lay_out(ClusterTag::of([7; 16]), part, &mut [0]);
        let frames = laid_out.iter().map(|update| std::str::from_utf8(update.native()).expect("text"));
        assert_eq!(
            frames.collect::<Vec<_>>(),
            [
                r#"{"type":"update","object":"counter/a\"b","cursor":"AQcHBwcHBwcHAQE","version":7,"changes":{},"deleted":[],"method":"increment","by":"local","timestamp":"2026-11-21T02:11:36.224Z"}"#,
                r#"{"type":"deleted","object":"counter/a\"b","cursor":"AQcHBwcHBwcHAQI","version":7}"#,
            ]
        );
    }
}
