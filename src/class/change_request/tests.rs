//! The class as its module calls it, in memory: one change through its whole life, each refusal word for word, and the
//! kit that the other files here use.

mod deadlines;
mod life;
mod methods;
mod moves;
mod properties;

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use crate::class::Rehearsal;
use crate::object::{MemoryStorage, Refusal, Space, Timestamp, Version};

use super::{Change, ChangeRequest, Event, Policy, Record, State, audit};

/// A Monday in business hours, far from every freeze.
const MONDAY: &str = "2026-10-12T10:00:00Z";
/// The window after that.
const WINDOW: (&str, &str) = ("2026-10-13T02:00:00Z", "2026-10-13T06:00:00Z");

/// One change on trial.
struct Trial {
    object: Rehearsal,
    policy: Policy,
    blockers: Map<String, Json>,
    /// The trail as it was after the last turn: it may only grow.
    trail: Vec<Json>,
    /// Whether the calendar reserved a place.
    reserved: bool,
}

impl Trial {
    /// A change that is not there yet.
    fn new() -> Self {
        let mut object = Rehearsal::new(ChangeRequest).named("CHG-20261012-AAAAAA");
        object.set_now(at(MONDAY));
        object.set_caller("operator", "request-1");
        Self { object, policy: Policy::default(), blockers: Map::new(), trail: Vec::new(), reserved: true }
    }

    /// A change of that type, handed in.
    fn submitted(kind: &str) -> Self {
        let mut trial = Self::new();
        trial.call("create", created(kind)).unwrap();
        trial
    }

    /// A change of that type in that state, and the time one at which it could move on.
    fn at_state(kind: &str, state: State) -> Self {
        let mut trial = match state {
            State::Draft => {
                let mut trial = Self::new();
                let mut arguments = created(kind);
                arguments["draft"] = json!(true);
                trial.call("create", arguments).unwrap();
                return trial;
            }
            _ => Self::submitted(kind),
        };
        let steps: &[&str] = match state {
            State::Draft | State::Submitted => &[],
            State::Assessing => &["assess"],
            State::NeedsInfo => &["assess", "ask"],
            State::Rejected => &["assess", "reject"],
            State::Approved => &["assess", "approve"],
            State::Scheduled => &["assess", "approve", "schedule"],
            State::Implementing => &["assess", "approve", "schedule", "implementing"],
            State::Review => &["assess", "approve", "schedule", "implementing", "review"],
            State::Failed => &["assess", "approve", "schedule", "implementing", "failed"],
            State::Closed => &["assess", "approve", "schedule", "implementing", "review", "closed"],
            State::Cancelled => &["cancelled"],
        };
        for step in steps {
            trial.step(step);
        }
        assert_eq!(trial.change().status, state);
        trial
    }

    fn step(&mut self, step: &str) {
        match step {
            "assess" => drop(self.call("assess", json!({})).unwrap()),
            "ask" => drop(self.decide("alice.chen", "needs_info").unwrap()),
            "reject" => drop(self.decide("alice.chen", "rejected").unwrap()),
            "approve" => {
                for approver in ["alice.chen", "bob.williams"] {
                    self.decide(approver, "approved").unwrap();
                }
            }
            "schedule" => {
                self.schedule(WINDOW).unwrap();
                self.object.set_now(at(WINDOW.0));
            }
            to => drop(self.transition(to).unwrap()),
        }
    }

    /// Calls a method, and looks whether what must always hold does.
    fn call(&mut self, method: &str, parameters: Json) -> Result<Json, Refusal> {
        let before = self.seen();
        self.object.set_context(json!({
            "policy": with_version(&self.policy),
            "blockers": self.blockers,
            "scheduleId": self.reserved.then_some("SCHED-ABC123"),
        }));
        let result = self.object.call(method, parameters);
        self.check_turn(&before, result.is_ok());
        result
    }

    /// Lets the alarm ring, and looks likewise.
    fn ring(&mut self) {
        let before = self.seen();
        self.object.ring().unwrap();
        self.check_turn(&before, true);
    }

    fn decide(&mut self, approver: &str, decision: &str) -> Result<Json, Refusal> {
        let arguments = json!({ "approverId": approver, "decision": decision, "comments": "because" });
        self.call("decide", arguments)
    }

    fn schedule(&mut self, (start, end): (&str, &str)) -> Result<Json, Refusal> {
        self.call("schedule", json!({ "scheduledStart": start, "scheduledEnd": end }))
    }

    fn transition(&mut self, to: &str) -> Result<Json, Refusal> {
        self.call("transition", json!({ "to": to, "reason": "because" }))
    }

    fn authorize(&mut self, by: &str) -> Result<Json, Refusal> {
        self.call("override", json!({ "justification": "it burns", "authorizedBy": by }))
    }

    fn advance_minutes(&mut self, minutes: u64) {
        self.object.advance(Duration::from_secs(minutes * 60));
    }

    /// The refusal of a call, in words.
    fn refused(&mut self, method: &str, parameters: Json) -> String {
        match self.call(method, parameters.clone()) {
            Err(refusal) => refusal.to_string(),
            Ok(result) => panic!("{method} {parameters} was not refused: {result}"),
        }
    }

    fn change(&mut self) -> Change {
        serde_json::from_value(self.object.state().unwrap()).unwrap()
    }

    fn records(&self) -> Vec<Record> {
        self.trail.iter().map(|record| serde_json::from_value(record.clone()).unwrap()).collect()
    }

    fn events(&self) -> Vec<Event> {
        self.records().iter().map(|record| record.event).collect()
    }

    fn seen(&self) -> (Version, MemoryStorage) {
        (self.object.version(), self.object.storage().clone())
    }

    /// A refusal changes nothing. A turn that changes the change adds to its trail, which has no gap, does not go back
    /// in time, and otherwise stays as it was.
    fn check_turn(&mut self, before: &(Version, MemoryStorage), went_well: bool) {
        let after = self.seen();
        let trail = self.read_trail();
        assert!(trail.starts_with(&self.trail), "a record is never changed");
        if trail.len() == self.trail.len() {
            assert_eq!(*before, after, "what changes a change is recorded");
        } else {
            assert!(went_well, "a refusal changes nothing");
        }
        let mut latest = self.trail.last().map_or(Timestamp(0), |last| at(last["time"].as_str().unwrap()));
        for (index, record) in trail.iter().enumerate().skip(self.trail.len()) {
            let record: Record = serde_json::from_value(record.clone()).unwrap();
            assert_eq!(record.seq, index as u64 + 1, "there is no gap");
            assert!(record.time >= latest, "times do not go back");
            latest = record.time;
        }
        self.trail = trail;
    }

    fn read_trail(&self) -> Vec<Json> {
        let entries = self.object.storage().entries(Space::Public);
        let records = entries.filter(|(key, _)| key.as_str().starts_with(audit::PREFIX));
        records.map(|(_, stored)| stored.clone().into_json().unwrap().to_json()).collect()
    }
}

fn with_version(policy: &Policy) -> Json {
    let mut policy = serde_json::to_value(policy).unwrap();
    policy["version"] = json!(7);
    policy
}

/// What is created: three systems, so that it is of medium risk and needs two approvals.
fn created(kind: &str) -> Json {
    json!({
        "title": "Change",
        "description": "The tables are moved",
        "requestor": "admin@company.com",
        "type": kind,
        "affectedSystems": ["a", "b", "c"],
        "environment": "production",
        "implementationPlan": "Move them",
        "rollbackPlan": "Move them back",
    })
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}
