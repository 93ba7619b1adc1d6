//! Reports and figures over all changes: read page by page, kept as digests, added up.
//!
//! A report reads every change anew. The dashboard remembers the digest of a change with its version, and asks only
//! those that have moved on since.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value as Json, json};

use super::arguments::{Dashboard, Period, Report};
use super::digest::Digest;
use super::facts::{Facts, Record, policy_versions};
use super::lists::Pages;
use super::objects::{Class, fields, nothing, step};
use super::report::{Between, Sums};
use super::vocabulary::Framework;
use super::{CallOptions, Inner, Progress, Refused};
use crate::caller::Caller;
use crate::class::change_request::calendar;
use crate::error::{Code, Error};
use crate::limits;
use crate::object::{Timestamp, Version};
use crate::runtime::ObjectSummary;

/// A long look at all changes is not begun again before so many times its length have passed.
const PAUSE_FACTOR: u32 = 10;
/// A look this short may be taken at every call.
const SHORT_LOOK: Duration = Duration::from_millis(500);

/// What the dashboard remembers.
#[derive(Default)]
pub(super) struct Remembered {
    digests: HashMap<Arc<str>, (Version, Digest)>,
    /// When the last look began, and how long it took.
    looked: Option<(Instant, Duration)>,
    /// What the dashboard of now came to, and when.
    shown: Option<(Instant, Json)>,
}

impl Remembered {
    /// Whether what is remembered is to be used as it is: looking is long, and was done not long ago.
    fn is_fresh(&self, now: Instant) -> bool {
        self.looked
            .is_some_and(|(at, took)| took > SHORT_LOOK && now.duration_since(at) < took * PAUSE_FACTOR)
    }
}

impl Inner {
    /// `compliance_report`.
    pub(super) async fn report(
        self: &Arc<Self>,
        caller: &Caller,
        asked: Report,
        options: &CallOptions,
    ) -> Result<Json, Refused> {
        let between = between(asked.period.as_ref())?;
        let mut sums = Sums::default();
        let mut pages = Pages::new(&self.objects, caller);
        let (mut read, mut last, mut is_cut) = (0_u64, None, false);
        while let Some(page) = pages.next().await? {
            if read >= limits::REPORT_CHANGES_MAX {
                is_cut = true;
                break;
            }
            let mut digests = self.digests(caller, &page);
            while let Some(digest) = digests.try_next().await? {
                if let Some(digest) = digest.filter(|digest| between.holds(digest.created)) {
                    sums.add(&digest);
                }
            }
            read += page.len() as u64;
            last = page.last().map(|row| row.name.to_string()).or(last);
            tell(options, read);
        }
        let stopped_at = last.as_deref().filter(|_| is_cut);
        Ok(sums.report(asked.framework.unwrap_or(Framework::All), shown(between), stopped_at))
    }

    /// `metrics_dashboard`.
    pub(super) async fn dashboard(
        self: &Arc<Self>,
        caller: &Caller,
        asked: Dashboard,
        options: &CallOptions,
    ) -> Result<Json, Refused> {
        let Some(period) = &asked.period else { return Ok(self.measure(caller, options).await?) };
        let between = between(Some(period))?;
        let system = self.system_of(caller, between).await?;
        let mut remembered = self.remembered.lock().await;
        let sums = self.look(caller, &mut remembered, between, options).await?;
        Ok(put_together(system, &sums))
    }

    /// The dashboard of now, at most [`limits::DASHBOARD_EVERY`] old.
    pub(super) async fn board(self: &Arc<Self>, caller: &Caller) -> Result<Json, Error> {
        let mut remembered = self.remembered.lock().await;
        let now = Instant::now();
        // A little less, or who comes once in that time would be shown what they have seen.
        let longest = limits::DASHBOARD_EVERY.mul_f64(0.9);
        if let Some((_, board)) =
            remembered.shown.as_ref().filter(|(at, _)| now.duration_since(*at) < longest)
        {
            return Ok(board.clone());
        }
        let sums = self.look(caller, &mut remembered, Between::default(), &CallOptions::default()).await?;
        let board = put_together(self.system_now(), &sums);
        remembered.shown = Some((now, board.clone()));
        Ok(board)
    }

    async fn measure(self: &Arc<Self>, caller: &Caller, options: &CallOptions) -> Result<Json, Error> {
        let mut remembered = self.remembered.lock().await;
        let sums = self.look(caller, &mut remembered, Between::default(), options).await?;
        Ok(put_together(self.system_now(), &sums))
    }

    /// Adds up the changes of a period, and asks those that have moved on since the last time.
    async fn look(
        self: &Arc<Self>,
        caller: &Caller,
        remembered: &mut Remembered,
        between: Between,
        options: &CallOptions,
    ) -> Result<Sums, Error> {
        let began = Instant::now();
        let mut sums = Sums::default();
        let mut add = |digest: &Digest| {
            if between.holds(digest.created) {
                sums.add(digest);
            }
        };
        if remembered.is_fresh(began) {
            remembered.digests.values().for_each(|(_, digest)| add(digest));
            return Ok(sums);
        }
        let mut pages = Pages::new(&self.objects, caller);
        let mut read = 0_u64;
        while let Some(page) = pages.next().await? {
            let (known, moved): (Vec<_>, Vec<_>) = page.into_iter().partition(|row| {
                remembered.digests.get(&row.name).is_some_and(|(version, _)| *version == row.version)
            });
            read += (known.len() + moved.len()) as u64;
            known
                .iter()
                .filter_map(|row| remembered.digests.get(&row.name))
                .for_each(|(_, digest)| add(digest));
            let digests: Vec<Option<Digest>> = self.digests(caller, &moved).try_collect().await?;
            for (row, digest) in moved.into_iter().zip(digests) {
                let Some(digest) = digest else { continue };
                add(&digest);
                let has_room = remembered.digests.len() < limits::DASHBOARD_REMEMBERED_MAX;
                if has_room || remembered.digests.contains_key(&row.name) {
                    remembered.digests.insert(row.name, (row.version, digest));
                }
            }
            tell(options, read);
            if read >= limits::REPORT_CHANGES_MAX {
                break;
            }
        }
        remembered.looked = Some((began, began.elapsed()));
        Ok(sums)
    }

    /// The digests of changes, in their order.
    fn digests<'a>(
        self: &'a Arc<Self>,
        caller: &'a Caller,
        rows: &'a [ObjectSummary],
    ) -> impl stream::Stream<Item = Result<Option<Digest>, Error>> + Unpin + Send + 'a {
        Box::pin(
            stream::iter(rows)
                .map(move |row| async move { self.digest(&step(caller), &row.name).await })
                .buffered(limits::CHANGES_ASKED_AT_ONCE),
        )
    }

    async fn digest(self: &Arc<Self>, caller: &Caller, id: &str) -> Result<Option<Digest>, Error> {
        let mut facts = match self.objects.ask(caller, (Class::Request, id), "facts", nothing()).await {
            Ok((facts, _)) => facts,
            Err(error) if matches!(error.code, Code::ObjectNotFound | Code::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.read_on(caller, id, &mut facts).await?;
        let Some(facts) = Facts::read(&facts) else {
            return Err(Error::new(Code::Internal, format!("the records of {id} cannot be read")));
        };
        let mut policies = HashMap::new();
        for version in policy_versions(&facts) {
            if let Some(policy) = self.policies.at(caller, version).await? {
                policies.insert(version, policy);
            }
        }
        let frozen = |begun: &Record<'_>| match policies.get(&begun.policy_version()) {
            Some(policy) => calendar::freeze_at(policy, begun.time).is_some(),
            // Under a policy that is long gone: what its turn has recorded.
            None => begun.says("freeze").is_some(),
        };
        Ok(Some(Digest::of(&facts, &frozen)))
    }

    /// Reads the records that did not fit into one answer. Of comments no more is kept than that they are there.
    async fn read_on(&self, caller: &Caller, id: &str, facts: &mut Json) -> Result<(), Error> {
        let has_more = |json: &Json| json.get("more").and_then(Json::as_bool).unwrap_or(false);
        let mut is_cut = has_more(facts);
        while is_cut {
            let Some(records) = facts.get_mut("audit").and_then(Json::as_array_mut) else { return Ok(()) };
            let last = records.last().and_then(|record| record.get("seq")?.as_u64()).unwrap_or_default();
            let params = fields(json!({ "limit": limits::PAGE_MAX, "after_seq": last }));
            let (mut page, _) =
                self.objects.ask(&step(caller), (Class::Request, id), "audit", params).await?;
            is_cut = has_more(&page);
            let read =
                page.get_mut("audit").and_then(Json::as_array_mut).map(std::mem::take).unwrap_or_default();
            if read.is_empty() {
                return Ok(());
            }
            records.extend(read.into_iter().map(in_short));
        }
        Ok(())
    }
}

/// A record as a report needs it.
fn in_short(mut record: Json) -> Json {
    if let Some(fields) =
        record.as_object_mut().filter(|fields| fields.get("type") == Some(&json!("comment_added")))
    {
        fields.retain(|name, _| matches!(name.as_str(), "seq" | "time" | "type"));
    }
    record
}

fn put_together(system: Json, sums: &Sums) -> Json {
    let (changes, compliance) = sums.dashboard();
    json!({ "success": true, "system": system, "changes": changes, "compliance": compliance })
}

fn tell(options: &CallOptions, done: u64) {
    if let Some(progress) = &options.progress {
        progress(Progress { done, total: None, message: format!("{done} changes read") });
    }
}

/// The period that is meant.
fn between(period: Option<&Period>) -> Result<Between, Refused> {
    let at = |text: &Option<String>| text.as_deref().and_then(|text| Timestamp::parse(text).ok());
    let between = period
        .map_or_else(Between::default, |period| Between { start: at(&period.start), end: at(&period.end) });
    match (between.start, between.end) {
        (Some(start), Some(end)) if start >= end => {
            Err(Refused::refusal("period.end must come after period.start"))
        }
        _ => Ok(between),
    }
}

fn shown(between: Between) -> Json {
    json!({ "start": between.start, "end": between.end })
}
