//! Whatever is called in whatever order, at whatever time: what must never happen, does not.
//!
//! The oracle below knows the rules in its own words and its own arithmetic; it shares with the class only the policy
//! and what the trail and the state say. [`Trial::call`] looks after each turn that the trail is whole.

use std::cell::Cell;
use std::collections::BTreeSet;

use jiff::civil::Date;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::class::change_request::{Decision, Kind, Level, Word, calendar, states};

/// One thing that somebody does, or that time does.
#[derive(Debug, Clone)]
enum Act {
    Update(&'static str, Json),
    Assess,
    Decide(&'static str, Decision),
    Schedule {
        hours_ahead: u64,
        minutes: u64,
        justified: bool,
    },
    NextWindow {
        minutes: u64,
    },
    Transition(State),
    Override(&'static str),
    Comment,
    Block(&'static str),
    Advance(u64),
    ClockBack(u64),
    ToStart,
    Ring,
    /// What would bring it on.
    Proceed,
}

/// Mostly approvals, or few changes would get far.
fn decisions() -> impl Strategy<Value = Decision> {
    prop_oneof![8 => Just(Decision::Approved), 2 => Just(Decision::NeedsInfo), 1 => Just(Decision::Rejected)]
}

fn acts() -> impl Strategy<Value = Act> {
    let people = || select(vec!["alice.chen", "bob.williams", "carol.davis", "david.rodriguez", "nobody"]);
    prop_oneof![
        2 => select(vec![
            ("title", json!("Payment")),
            ("title", json!("Change")),
            ("description", json!("Critical security")),
            ("affectedSystems", json!(["a", "b", "c", "d"])),
            ("affectedSystems", json!([])),
            ("plannedStart", json!("2026-12-18T10:00:00Z")),
            ("type", json!("emergency")),
            ("type", json!("normal")),
            ("impact", json!("high")),
            ("implementationPlan", json!("")),
            ("blockedBy", json!(["CHG-1"])),
            ("blockedBy", json!([])),
        ]).prop_map(|(field, value)| Act::Update(field, value)),
        2 => Just(Act::Assess),
        4 => (people(), decisions()).prop_map(|(who, what)| Act::Decide(who, what)),
        1 => (0_u64..200, 1_u64..600, any::<bool>())
            .prop_map(|(hours_ahead, minutes, justified)| Act::Schedule { hours_ahead, minutes, justified }),
        2 => (1_u64..240).prop_map(|minutes| Act::NextWindow { minutes }),
        3 => select(State::ALL).prop_map(Act::Transition),
        1 => people().prop_map(Act::Override),
        1 => Just(Act::Comment),
        1 => select(vec!["draft", "closed", "implementing"]).prop_map(Act::Block),
        3 => (0_u64..4_000).prop_map(Act::Advance),
        1 => (0_u64..90).prop_map(Act::ClockBack),
        2 => Just(Act::ToStart),
        2 => Just(Act::Ring),
        8 => Just(Act::Proceed),
    ]
}

fn act(trial: &mut Trial, act: &Act) {
    let minutes_ahead =
        |trial: &Trial, minutes: u64| trial.object.now().plus_ms(minutes * 60_000).to_string();
    let schedule = |trial: &Trial, from: u64, minutes: u64, justification: Option<&str>| {
        json!({
            "scheduledStart": minutes_ahead(trial, from),
            "scheduledEnd": minutes_ahead(trial, from + minutes),
            "justification": justification,
        })
    };
    // Refusals are as good as results: what counts is what has become of the change.
    let _ = match act {
        Act::Update(field, value) => trial.call("update", json!({ *field: value })),
        Act::Assess => trial.call("assess", json!({})),
        Act::Decide(who, what) => trial.decide(who, what.as_str()),
        Act::Schedule { hours_ahead, minutes, justified } => {
            let arguments = schedule(trial, hours_ahead * 60, *minutes, justified.then_some("it must be"));
            trial.call("schedule", arguments)
        }
        Act::NextWindow { minutes } => {
            let after = trial.object.now();
            let wanted = calendar::Wanted { after, length_ms: minutes * 60_000, approvals: 0 };
            let mut booked = std::collections::BTreeMap::new();
            let start = loop {
                match calendar::next_window(&trial.policy, wanted, &booked) {
                    calendar::Next::Window(span) => break span.start,
                    calendar::Next::Unknown { day } => drop(booked.insert(day, Vec::new())),
                    calendar::Next::Nothing => return,
                }
            };
            let from = start.since_ms(after).div_ceil(60_000);
            trial.call("schedule", schedule(trial, from, *minutes, None))
        }
        Act::Transition(to) => trial.transition(to.as_str()),
        Act::Override(who) => trial.authorize(who),
        Act::Comment => trial.call("comment", json!({ "comment": "hm" })),
        Act::Block(state) => {
            trial.blockers = json!({ "CHG-1": state }).as_object().cloned().unwrap();
            return;
        }
        Act::Advance(minutes) => return trial.advance_minutes(*minutes),
        Act::ClockBack(minutes) => {
            let now = Timestamp(trial.object.now().0 - minutes * 60_000);
            return trial.object.set_now(now);
        }
        Act::ToStart => {
            if let Some(schedule) = trial.change().schedule {
                trial.object.set_now(schedule.scheduled_start);
            }
            return;
        }
        Act::Ring => return trial.ring(),
        Act::Proceed => proceed(trial),
    };
}

/// Does what would bring it on.
fn proceed(trial: &mut Trial) -> Result<Json, Refusal> {
    let change = trial.change();
    match change.status {
        State::Draft => trial.transition("submitted"),
        State::Submitted => trial.call("assess", json!({})),
        State::Assessing if !change.assessed => trial.call("assess", json!({})),
        State::Assessing => {
            let has_decided = |id: &str| {
                change.approvals.iter().any(|one| one.round == change.round && one.approver_id == id)
            };
            let mut open =
                trial.policy.approvers.iter().map(|one| one.id.clone()).filter(|id| !has_decided(id));
            let who = open.find(|id| !change.requestor.to_lowercase().starts_with(id.as_str()));
            trial.decide(&who.unwrap_or_default(), "approved")
        }
        State::NeedsInfo => trial.transition("assessing"),
        State::Approved if change.kind != Kind::Emergency => {
            act(trial, &Act::NextWindow { minutes: 60 });
            Ok(Json::Null)
        }
        State::Scheduled if change.kind != Kind::Emergency => {
            act(trial, &Act::ToStart);
            trial.transition("implementing")
        }
        State::Approved | State::Scheduled | State::Failed => trial.transition("implementing"),
        State::Implementing => trial.transition("review"),
        State::Review => trial.transition("closed"),
        State::Rejected | State::Closed | State::Cancelled => Ok(Json::Null),
    }
}

/// What has been seen of a change so far.
struct Oracle {
    seen: usize,
    state: State,
    /// Who has approved in this round.
    approved_by: BTreeSet<String>,
    /// Whether the last assessment is of what the change says now.
    assessed: bool,
    overridden: bool,
}

impl Oracle {
    fn new() -> Self {
        Self {
            seen: 0,
            state: State::Draft,
            approved_by: BTreeSet::new(),
            assessed: false,
            overridden: false,
        }
    }

    /// Reads what is new in the trail.
    fn follow(&mut self, trial: &mut Trial, reached: &Reached) {
        let change = trial.change();
        let now = trial.object.now();
        for record in trial.records().split_off(self.seen) {
            self.seen += 1;
            self.learn(&record, &change);
            let (Some(from), Some(to)) = (record.from, record.to) else { continue };
            assert_eq!(from, self.state, "moves follow one another");
            self.state = to;
            let is_listed = states::MOVES.iter().any(|one| (one.from, one.to) == (from, to));
            assert!(is_listed || record.event == Event::EmergencyOverride, "{from} to {to}");
            if (from, to) == (State::Assessing, State::Approved) && record.event == Event::Approved {
                self.check_approved(&change);
                reached.approved.set(reached.approved.get() + 1);
            }
            if to == State::Implementing {
                self.check_begun(trial, &change, now);
                reached.implemented.set(reached.implemented.get() + 1);
            }
        }
        assert_eq!(change.status, self.state, "the state is where the moves lead");
    }

    fn learn(&mut self, record: &Record, change: &Change) {
        match record.event {
            Event::Approved => {
                assert!(self.approved_by.insert(record.who.clone()), "an approver decides once a round");
            }
            Event::NeedsInfo => self.approved_by.clear(),
            Event::RiskAssessed => self.assessed = true,
            Event::Updated if record.to.is_none() && change.submitted_at.is_some() => {
                let fields: Vec<&str> =
                    record.more["fields"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
                let scored = ["title", "description", "affectedSystems", "plannedStart"];
                if fields.iter().any(|field| scored.contains(field)) {
                    self.assessed = false;
                    self.approved_by.clear();
                }
            }
            Event::EmergencyOverride => self.overridden = true,
            _ => {}
        }
    }

    /// By the documents' table: 1, 2, 3, 5 by level and at most all who may, two for an emergency.
    fn check_approved(&self, change: &Change) {
        assert!(self.assessed, "nothing is approved that was not assessed as it is");
        let emergency = ["alice.chen", "bob.williams"];
        let everybody = ["alice.chen", "bob.williams", "carol.davis", "david.rodriguez"];
        let able: &[&str] = if change.kind == Kind::Emergency { &emergency } else { &everybody };
        let requestor = change.requestor.to_lowercase();
        let able: Vec<&&str> = able.iter().filter(|id| !requestor.starts_with(**id)).collect();
        let score = change.assessments.last().unwrap().overall_score;
        let by_level = match score {
            0..=30 => (Level::Low, 1),
            31..=70 => (Level::Medium, 2),
            71..=90 => (Level::High, 3),
            _ => (Level::Critical, 5),
        };
        assert_eq!(change.risk_level, by_level.0);
        let needed = if change.kind == Kind::Emergency { 2 } else { by_level.1.min(able.len()) };
        let count = self.approved_by.iter().filter(|who| able.iter().any(|id| **id == who.as_str())).count();
        assert!(count >= needed, "{count} of {needed}: {:?}", self.approved_by);
    }

    fn check_begun(&self, trial: &Trial, change: &Change, now: Timestamp) {
        let is_emergency = change.kind == Kind::Emergency;
        let schedule = change.schedule.as_ref();
        let is_justified = schedule.is_some_and(|schedule| is_emergency && schedule.justification.is_some());
        assert!(!is_frozen(now) || self.overridden || is_justified, "it begins in a freeze: {now}");
        assert!(is_emergency || change.implementation_plan.is_some(), "it begins without a plan");
        for blocker in change.blocked_by.iter().flatten() {
            assert_eq!(
                trial.blockers.get(blocker),
                Some(&json!("closed")),
                "it begins before {blocker} is finished"
            );
        }
        if !is_emergency {
            let schedule = schedule.expect("only an emergency begins without a schedule");
            let earliest = Timestamp(schedule.scheduled_start.0 - 15 * 60_000);
            assert!(earliest <= now && now <= schedule.scheduled_end, "it begins at another time: {now}");
            let window = schedule.window.expect("only an emergency lies outside a window");
            assert!(window.start <= schedule.scheduled_start && schedule.scheduled_end <= window.end);
        }
    }
}

/// The shipped freezes, in UTC.
fn is_frozen(now: Timestamp) -> bool {
    let date: Date = now.to_string()[..10].parse().unwrap();
    let key = (date.month(), date.day());
    let autumn = ((11, 25)..=(12, 2)).contains(&key);
    let winter = key >= (12, 20) || key <= (1, 5);
    let quarter = [((3, 25), (3, 31)), ((6, 24), (6, 30)), ((9, 24), (9, 30)), ((12, 25), (12, 31))];
    autumn || winter || quarter.iter().any(|(first, last)| (*first..=*last).contains(&key))
}

/// How often the interesting ends were reached, so that a generator which reaches none fails.
#[derive(Default)]
struct Reached {
    approved: Cell<u32>,
    implemented: Cell<u32>,
}

#[test]
fn no_order_of_calls_breaks_a_rule() {
    let reached = Reached::default();
    let requestors = select(vec!["admin@company.com", "alice.chen@company.com", "CAROL.DAVIS"]);
    // From the middle of November: both freezes and the end of a quarter are near.
    let start = 1_794_700_800_000_u64..1_798_000_000_000;
    let strategy =
        (select(Kind::ALL), requestors, any::<bool>(), start, proptest::collection::vec(acts(), 1..60));
    let cases = Config { cases: 256, source_file: Some(file!()), ..Config::default() };
    TestRunner::new(cases)
        .run(&strategy, |(kind, requestor, is_draft, start, acts)| {
            let mut trial = Trial::new();
            trial.object.set_now(Timestamp(start));
            let mut arguments = created(kind.as_str());
            arguments["requestor"] = json!(requestor);
            arguments["draft"] = json!(is_draft);
            trial.call("create", arguments).unwrap();
            let mut oracle = Oracle::new();
            oracle.follow(&mut trial, &reached);
            for one in acts {
                act(&mut trial, &one);
                oracle.follow(&mut trial, &reached);
            }
            Ok(())
        })
        .unwrap();
    assert!(reached.approved.get() > 50, "{} were approved", reached.approved.get());
    assert!(reached.implemented.get() > 50, "{} were implemented", reached.implemented.get());
}
