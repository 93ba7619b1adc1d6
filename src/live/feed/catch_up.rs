//! A subscriber of a feed that comes back reads what it missed from the logs, at its own pace.
//!
//! It reads up to where the gateway's feed is, and when it is there the feed has gone on; so it does that again until
//! little is missing. Then its queue begins to fill, and it reads the rest: from there on the queue has everything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, try_join_all};

use super::cursor::{self, Cursor, Within};
use super::member::Member;
use super::update::{FeedUpdate, lay_out};
use crate::error::{Error, Retry};
use crate::limits;
use crate::runtime::{Feed, Part};

/// How long one page is waited for before it is asked for again.
const PAGE_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries to read on, while nobody answers.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What a subscriber is doing that catches up.
pub(super) struct CatchUp {
    feed: Feed,
    /// How far it is; within the next entry of one shard, some commands were given before.
    at: Cursor,
    /// How far it reads before it looks again how far the others are.
    to: Vec<u64>,
    /// Its queue fills with what is behind `to`.
    is_joined: bool,
    rounds: u32,
    /// Parts that are read and not given.
    parts: Vec<Part>,
    /// A part that is being read. Kept here, for whoever waits for the next event may turn to something else meanwhile.
    reading: Option<BoxFuture<'static, Result<Part, Error>>>,
}

/// What came of one step.
pub(super) enum Caught {
    /// The next updates; there may be none.
    Updates(Vec<Arc<FeedUpdate>>),
    /// Everything up to what is in the queue was given.
    Up,
    /// The logs do not reach back so far any more.
    Lost,
}

/// How far a gateway's feed has to be for a cursor: where it stands within an entry, that entry is behind the feed.
pub(super) fn needed(cursor: &Cursor) -> Vec<u64> {
    let within = |shard| u64::from(cursor.within.is_some_and(|within| within.shard == shard));
    let needed = cursor.reached.iter().enumerate();
    needed.map(|(shard, index)| index.saturating_add(within(shard))).collect()
}

impl CatchUp {
    /// Begins at a cursor that is nowhere ahead of `passed`. None where the logs do not reach back so far: whether
    /// they do is known when the first page of each shard is there.
    pub(super) async fn begin(
        feed: Feed,
        at: Cursor,
        passed: Vec<u64>,
        deadline: Instant,
    ) -> Result<Option<Self>, Error> {
        let missing = missing(&at.reached, &passed);
        let parts = missing.into_iter().map(|(shard, range)| feed.read(shard, range, deadline));
        let parts = try_join_all(parts).await?;
        if parts.iter().any(|part| part.is_lost) {
            return Ok(None);
        }
        Ok(Some(Self { feed, at, to: passed, is_joined: false, rounds: 0, parts, reading: None }))
    }

    /// What to come back with for everything that was not given.
    pub(super) fn cursor(&self) -> String {
        cursor::encode(self.at.cluster, &self.at.reached, self.at.within)
    }

    /// From where on the queue is filled, if it is.
    pub(super) fn joined_at(self) -> Option<Vec<u64>> {
        self.is_joined.then_some(self.to)
    }

    /// The next step. Cancel safe.
    pub(super) async fn next(&mut self, member: &Member) -> Result<Caught, Error> {
        if let Some(part) = self.parts.pop() {
            return Ok(self.give(part));
        }
        if self.reading.is_none() {
            let next = missing(&self.at.reached, &self.to).into_iter().next();
            let Some((shard, range)) = next else { return Ok(self.look_again(member)) };
            self.reading = Some(read(self.feed.clone(), shard, range).boxed());
        }
        let Some(reading) = &mut self.reading else { return Ok(Caught::Updates(Vec::new())) };
        let part = reading.await;
        self.reading = None;
        Ok(self.give(part?))
    }

    fn give(&mut self, mut part: Part) -> Caught {
        if part.is_lost {
            return Caught::Lost;
        }
        if let Some(Within { commands, .. }) = self.at.within.take_if(|within| within.shard == part.shard) {
            let next = self.at.reached.get(part.shard).map(|reached| reached + 1);
            part.updates.retain(|update| Some(update.index) != next || update.nth > commands);
        }
        Caught::Updates(lay_out(self.at.cluster, part, &mut self.at.reached))
    }

    /// It is where the others were; they have gone on.
    fn look_again(&mut self, member: &Member) -> Caught {
        if self.is_joined {
            return Caught::Up;
        }
        self.rounds += 1;
        let far = member.shared.passed().is_none_or(|passed| {
            let missing = missing(&self.at.reached, &passed).into_iter();
            missing.map(|(_, (after, until))| until - after).sum::<u64>() > limits::FEED_JOIN_ENTRIES
        });
        self.is_joined = !far || self.rounds >= limits::FEED_JOIN_ROUNDS;
        let passed = if self.is_joined { member.shared.join(&member.queue) } else { member.shared.passed() };
        self.to = passed.expect("where a feed is stays known");
        Caught::Updates(Vec::new())
    }
}

/// The shards in which something is missing, and between which indices.
fn missing(at: &[u64], to: &[u64]) -> Vec<(usize, (u64, u64))> {
    let ranges = at.iter().copied().zip(to.iter().copied()).enumerate();
    ranges.filter(|(_, (after, until))| after < until).collect()
}

/// Reads a page, until somebody answers.
async fn read(feed: Feed, shard: usize, range: (u64, u64)) -> Result<Part, Error> {
    loop {
        match feed.read(shard, range, Instant::now() + PAGE_WITHIN).await {
            // No leader yet: the socket stays, and its client notices nothing but the silence.
            Err(error) if error.retry == Retry::Safe => tokio::time::sleep(AGAIN_AFTER).await,
            read => return read,
        }
    }
}
