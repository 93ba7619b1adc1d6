//! One subscriber's view of one class: every update once and, of each object, in order, each with a cursor.

use std::collections::VecDeque;
use std::sync::Arc;

use super::catch_up::{self, CatchUp, Caught};
use super::cursor::{self, ClusterTag};
use super::member::Member;
use super::shared::Item;
use super::update::FeedUpdate;
use crate::caller::Caller;
use crate::error::Error;
use crate::live::hub::{Hub, Seat, stopping};
use crate::live::queue::Taken;
use crate::object::ClassName;

/// How a subscription of a feed begins, or begins again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedOpening {
    /// What to come back with for everything from here on.
    pub cursor: String,
    /// Whether nothing is missing. If not, what happened before is not known: list the class.
    pub is_complete: bool,
}

/// What a subscriber of a feed is told.
#[derive(Debug, Clone)]
pub enum FeedEvent {
    /// The next update; also that an object was deleted, see [`crate::object::Update::deleted_object`].
    Update(Arc<FeedUpdate>),
    /// The logs did not reach back far enough: it begins again here.
    Lost(FeedOpening),
    /// The subscriber did not keep up. Nothing follows; it may come back with its last cursor.
    TooSlow,
    /// The server stops. Nothing follows; any node goes on from its last cursor.
    GoingAway,
}

/// One subscriber's view of a class. Dropping it ends it.
pub struct FeedSubscription {
    // In this order: the seat is free when the member has left.
    member: Member,
    seat: Seat,
    opening: FeedOpening,
    /// What it missed is being read; none once it goes on with the others.
    catch_up: Option<CatchUp>,
    missed: VecDeque<Arc<FeedUpdate>>,
    cursor: String,
    over: Option<FeedEvent>,
}

impl Hub {
    /// Subscribes to all objects of a class, from a cursor on if one is given, else from now on.
    ///
    /// # Errors
    ///
    /// Those of reading the class; `invalid_request` for a cursor that is none, `overloaded` beyond the subscribers
    /// that a node takes, `unavailable` when the shards' leaders do not answer within the caller's deadline.
    pub async fn feed(
        &self,
        caller: &Caller,
        class: &ClassName,
        cursor: Option<&str>,
    ) -> Result<FeedSubscription, Error> {
        let feed = self.runtime().feed(caller, class)?;
        let cursor = cursor.map(cursor::decode).transpose()?;
        let seat = Seat::take(self)?;
        let member = Member::enter(self, caller, class, &feed)?;
        let (cluster, is_new) = (ClusterTag::of(feed.cluster()), cursor.is_none());
        // An index of another cluster's log means nothing here.
        let own = cursor.filter(|cursor| cursor.cluster == cluster && cursor.reached.len() == feed.shards());
        let asked = own.as_ref().map(catch_up::needed).unwrap_or_default();
        let passed = tokio::select! {
            biased;
            () = self.closed() => return Err(stopping()),
            passed = member.shared.wait(&asked, caller.deadline) => passed?,
        };
        let catch_up = match own {
            Some(cursor) => CatchUp::begin(feed, cursor, passed, caller.deadline).await?,
            None => None,
        };
        let mut subscription = FeedSubscription {
            member,
            seat,
            opening: FeedOpening { cursor: String::new(), is_complete: false },
            catch_up,
            missed: VecDeque::new(),
            cursor: String::new(),
            over: None,
        };
        subscription.opening = match &subscription.catch_up {
            Some(catch_up) => FeedOpening { cursor: catch_up.cursor(), is_complete: true },
            None => FeedOpening { is_complete: is_new, ..subscription.join_now() },
        };
        subscription.cursor.clone_from(&subscription.opening.cursor);
        Ok(subscription)
    }
}

impl FeedSubscription {
    /// How it begins.
    pub fn take_opening(&mut self) -> FeedOpening {
        let left = FeedOpening { cursor: String::new(), is_complete: self.opening.is_complete };
        std::mem::replace(&mut self.opening, left)
    }

    /// What to come back with for everything behind what was given.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The next event. Cancel safe. After [`FeedEvent::TooSlow`] and [`FeedEvent::GoingAway`] it repeats itself.
    pub async fn next(&mut self) -> FeedEvent {
        loop {
            if let Some(over) = &self.over {
                return over.clone();
            }
            if let Some(update) = self.missed.pop_front() {
                return self.give(update);
            }
            let hub = self.seat.hub().clone();
            if let Some(catch_up) = &mut self.catch_up {
                let caught = tokio::select! {
                    biased;
                    () = hub.closed() => Err(None),
                    caught = catch_up.next(&self.member) => caught.map_err(Some),
                };
                if let Some(event) = self.take_up(caught) {
                    return event;
                }
                continue;
            }
            let taken = tokio::select! {
                biased;
                taken = self.member.queue.take() => taken,
                () = hub.closed() => Taken::Closed,
            };
            match taken {
                Taken::Item(Item::Update(update)) => return self.give(update),
                Taken::Item(Item::Lost(reached)) => return self.lost(&reached),
                Taken::TooSlow => {
                    hub.metrics().slow_closes.inc();
                    self.over = Some(FeedEvent::TooSlow);
                }
                Taken::Closed => self.over = Some(FeedEvent::GoingAway),
            }
        }
    }

    fn give(&mut self, update: Arc<FeedUpdate>) -> FeedEvent {
        update.cursor().clone_into(&mut self.cursor);
        FeedEvent::Update(update)
    }

    /// Goes on with what was caught up with.
    fn take_up(&mut self, caught: Result<Caught, Option<Error>>) -> Option<FeedEvent> {
        match caught {
            Ok(Caught::Updates(updates)) => self.missed = updates.into(),
            Ok(Caught::Up) => self.catch_up = None,
            Ok(Caught::Lost) => {
                if let Some(reached) = self.catch_up.take().and_then(CatchUp::joined_at) {
                    return Some(self.lost(&reached));
                }
                let opening = self.join_now();
                self.cursor.clone_from(&opening.cursor);
                return Some(FeedEvent::Lost(opening));
            }
            Err(error) => {
                if let Some(error) = error {
                    tracing::warn!(%error, "a subscription of a feed cannot go on; its client comes back");
                }
                self.over = Some(FeedEvent::GoingAway);
            }
        }
        None
    }

    fn lost(&mut self, reached: &[u64]) -> FeedEvent {
        self.cursor = cursor::encode(self.member.shared.cluster, reached, None);
        FeedEvent::Lost(FeedOpening { cursor: self.cursor.clone(), is_complete: false })
    }

    /// Begins with what happens from this moment on.
    fn join_now(&self) -> FeedOpening {
        let shared = &self.member.shared;
        let reached = shared.join(&self.member.queue).expect("where a feed is stays known");
        FeedOpening { cursor: cursor::encode(shared.cluster, &reached, None), is_complete: false }
    }
}
