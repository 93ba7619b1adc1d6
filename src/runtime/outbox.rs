//! What a gateway has to tell an object's leader of its own clients: who is present, and signals.
//!
//! Who is present is kept as it is now, not as a list of changes: however long the leader is not reached, what waits
//! is at most everybody here. Signals wait for no leader: while none is reached they are lost, as they may be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::room::{Announcement, Member, Movement, Signal};
use crate::limits::{PRESENT_MAX, SIGNALS_WAITING_MAX, SIGNALS_WAITING_MAX_BYTES};

/// What there is to tell, for one object.
#[derive(Debug, Default)]
pub struct Outbox {
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Who is present through this gateway, and which of its clients says so.
    here: BTreeMap<Arc<str>, (u64, Member)>,
    /// Whose coming, changing or going the leader has not been told.
    untold: BTreeSet<Arc<str>>,
    signals: VecDeque<Signal>,
    signals_bytes: usize,
}

/// More than a gateway passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Outbox {
    /// Somebody is present, or shows something else; `owner` is the client that says so.
    ///
    /// # Errors
    /// [`Full`] if too many are.
    pub fn enter(&self, owner: u64, member: Member) -> Result<(), Full> {
        let mut inner = self.inner.lock();
        if inner.here.len() >= PRESENT_MAX && !inner.here.contains_key(&member.id) {
            return Err(Full);
        }
        inner.untold.insert(member.id.clone());
        inner.here.insert(member.id.clone(), (owner, member));
        drop(inner);
        self.filled.notify_one();
        Ok(())
    }

    /// Somebody left, unless another client of this gateway has told of it since.
    pub fn leave(&self, owner: u64, id: &Arc<str>) {
        let mut inner = self.inner.lock();
        if !matches!(inner.here.get(id), Some((owned_by, _)) if *owned_by == owner) {
            return;
        }
        inner.here.remove(id);
        inner.untold.insert(id.clone());
        drop(inner);
        self.filled.notify_one();
    }

    /// Somebody tells all others something.
    ///
    /// # Errors
    /// [`Full`] if too much waits.
    pub fn signal(&self, signal: Signal) -> Result<(), Full> {
        let mut inner = self.inner.lock();
        let bytes = signal.data.len();
        if inner.signals.len() >= SIGNALS_WAITING_MAX
            || inner.signals_bytes + bytes > SIGNALS_WAITING_MAX_BYTES
        {
            return Err(Full);
        }
        inner.signals_bytes += bytes;
        inner.signals.push_back(signal);
        drop(inner);
        self.filled.notify_one();
        Ok(())
    }

    /// What a leader that knows nothing yet is told; none if nobody is here.
    pub(super) fn everything(&self) -> Option<Announcement> {
        let mut inner = self.inner.lock();
        inner.untold.clear();
        // They were for those who watched then.
        inner.signals = VecDeque::new();
        inner.signals_bytes = 0;
        let entered: Vec<Member> = inner.here.values().map(|(_, member)| member.clone()).collect();
        let movement = Movement { entered, left: Vec::new() };
        (!movement.is_empty()).then_some(Announcement { all: true, movement, signals: Vec::new() })
    }

    /// What has gathered since. Cancel safe.
    pub(super) async fn next(&self) -> Announcement {
        loop {
            if let Some(announcement) = self.take() {
                return announcement;
            }
            self.filled.notified().await;
        }
    }

    fn take(&self) -> Option<Announcement> {
        let mut inner = self.inner.lock();
        if inner.untold.is_empty() && inner.signals.is_empty() {
            return None;
        }
        let mut movement = Movement::default();
        for id in std::mem::take(&mut inner.untold) {
            match inner.here.get(&id) {
                Some((_, member)) => movement.entered.push(member.clone()),
                None => movement.left.push(id),
            }
        }
        inner.signals_bytes = 0;
        let signals = std::mem::take(&mut inner.signals).into();
        Some(Announcement { all: false, movement, signals })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Value;

    fn member(id: &str, data: i64) -> Member {
        Member { id: id.into(), data: Value::from(data), clock: 0 }
    }

    #[tokio::test]
    async fn what_changed_is_told_once_and_as_it_is_now() {
        let outbox = Outbox::default();
        assert_eq!(outbox.everything(), None);
        outbox.enter(1, member("a", 1)).expect("there is room");
        outbox.enter(1, member("a", 2)).expect("there is room");
        outbox.enter(1, member("b", 1)).expect("there is room");
        outbox.leave(1, &"b".into());
        outbox.signal(Signal { from: "a".into(), data: Value::null() }).expect("there is room");
        let told = outbox.next().await;
        assert_eq!(told.movement, Movement { entered: vec![member("a", 2)], left: vec!["b".into()] });
        assert_eq!((told.all, told.signals.len()), (false, 1));
        assert_eq!(outbox.take(), None);
        // The next leader hears of those who are here, and of nothing else.
        outbox.signal(Signal { from: "a".into(), data: Value::null() }).expect("there is room");
        let all = outbox.everything().expect("somebody is here");
        assert_eq!((all.all, all.movement.entered, all.signals), (true, vec![member("a", 2)], Vec::new()));
        assert_eq!(outbox.take(), None);
    }

    #[test]
    fn an_older_client_does_not_take_away_what_a_newer_one_told() {
        let outbox = Outbox::default();
        outbox.enter(1, member("a", 1)).expect("there is room");
        outbox.enter(2, member("a", 1)).expect("there is room");
        outbox.leave(1, &"a".into());
        assert!(outbox.everything().is_some());
        outbox.leave(2, &"a".into());
        assert_eq!(outbox.everything(), None);
    }

    #[test]
    fn what_waits_is_bounded() {
        let outbox = Outbox::default();
        let signal =
            |bytes: usize| Signal { from: "a".into(), data: Value::from("x".repeat(bytes).as_str()) };
        for _ in 0..SIGNALS_WAITING_MAX {
            outbox.signal(signal(1)).expect("there is room");
        }
        assert_eq!(outbox.signal(signal(1)), Err(Full));
        let outbox = Outbox::default();
        assert_eq!(outbox.signal(signal(SIGNALS_WAITING_MAX_BYTES)), Err(Full));
        for id in 0..PRESENT_MAX {
            outbox.enter(1, member(&id.to_string(), 1)).expect("there is room");
        }
        assert_eq!(outbox.enter(1, member("more", 1)), Err(Full));
        outbox.enter(1, member("0", 2)).expect("it is here already");
    }
}
