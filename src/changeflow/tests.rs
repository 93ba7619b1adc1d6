//! What no client can bring about at will: a place on the calendar that was left between taking it and moving its change.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use stead_cluster::{Cluster, NoPeers};

use super::objects::{Class, With, fields, nothing, own_caller};
use super::{CallOptions, ChangeFlow, Options, Refused};
use crate::class::Classes;
use crate::class::change_request::Policy;
use crate::clock::Clock;
use crate::runtime::{self, ObjectMachine, Runtime};
use crate::telemetry::Metrics;

const START: &str = "2027-06-15T10:00:00Z";
const END: &str = "2027-06-15T11:00:00Z";
const DAY: &str = "2027-06-15";
/// How long scheduling may take here.
const SETTLES: Duration = Duration::from_mins(1);

/// A node without a front, whose calendar is open all day and takes one change at a time.
struct Node {
    flow: ChangeFlow,
    runtime: Runtime,
    cluster: Cluster,
    clock: Arc<Clock>,
    _dir: tempfile::TempDir,
}

impl Node {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (clock, metrics) = (Arc::new(Clock::default()), Metrics::new());
        let options = stead_cluster::Options {
            data_dir: dir.path().join("data"),
            shards: 3,
            ..stead_cluster::Options::default()
        };
        let machine = |_| -> Box<dyn stead_cluster::Machine> { Box::new(ObjectMachine::new()) };
        let cluster =
            Cluster::open(options, Arc::new(NoPeers), clock.clone(), machine).await.expect("it opens");
        let options = runtime::Options {
            max_active_objects: NonZeroUsize::new(1_000).expect("it is not zero"),
            max_requests_waiting: 1_000,
            replication_factor: 1,
            passivation_idle: Duration::from_mins(1),
            data_dir: dir.path().to_owned(),
            disk_free_min_bytes: 0,
            request_deadline: Duration::from_secs(10),
        };
        let runtime =
            Runtime::start(cluster.clone(), Classes::builtin(), options, clock.clone(), metrics.clone());
        let runtime = runtime.await.expect("it starts");
        let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let windows = json!([{ "days": days, "from": "00:00", "to": "24:00", "min_approvals": 0 }]);
        let policy = Policy {
            windows: serde_json::from_value(windows).expect("windows"),
            max_overlapping: 1,
            ..Policy::default()
        };
        let options =
            Options { policy, node: 1, sample_every: Duration::from_mins(1), reservation_settles: SETTLES };
        let flow = ChangeFlow::new(runtime.clone(), clock.clone(), metrics, options);
        Self { flow, runtime, cluster, clock, _dir: dir }
    }

    async fn stop(self) {
        self.flow.stop().await;
        self.runtime.stop().await;
        self.cluster.shutdown().await;
    }

    async fn call(&self, tool: &str, arguments: Json) -> Result<Json, Refused> {
        self.flow.call(&own_caller("test"), tool, fields(arguments), CallOptions::default()).await
    }

    /// An approved change; its id.
    async fn approved(&self) -> String {
        let change = json!({
            "title": "Change", "description": "Something", "requestor": "eve", "plannedStart": START,
            "implementationPlan": "step by step",
        });
        let made = self.call("create_change_request", change).await.expect("it is made");
        let id = made["changeId"].as_str().expect("an id").to_owned();
        self.call("assess_risk", json!({ "changeId": id })).await.expect("it is assessed");
        let decision = json!({ "changeId": id, "approverId": "alice.chen", "decision": "approved" });
        let decided = self.call("approve_change", decision).await.expect("it is decided");
        assert_eq!(decided["status"], "approved");
        id
    }

    async fn schedule(&self, id: &str) -> Result<Json, Refused> {
        let time = json!({ "changeId": id, "scheduledStart": START, "scheduledEnd": END });
        self.call("schedule_change", time).await
    }

    /// Takes a place for a change, so long ago, as one does that stops before the change is moved.
    async fn leave_a_place(&self, id: &str, ago: Duration) {
        let at = self.clock.now_ms() - u64::try_from(ago.as_millis()).expect("a time fits");
        let place =
            json!({ "changeId": format!("{id}/SCHED-ABCDEF/{at}"), "start": START, "end": END, "max": 1 });
        let call = ("reserve", fields(place));
        let caller = own_caller("test");
        let taken = self.flow.0.objects.call(&caller, (Class::Calendar, DAY), call, With::default()).await;
        taken.expect("the place was free");
    }

    async fn places(&self) -> usize {
        let caller = own_caller("test");
        let asked = self.flow.0.objects.ask(&caller, (Class::Calendar, DAY), "reservations", nothing()).await;
        let (answer, _) = asked.expect("the day is there");
        answer["reservations"].as_array().expect("places").len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_held_in_vain_is_given_back() {
    let node = Node::start().await;
    let (left, other) = (node.approved().await, node.approved().await);
    node.leave_a_place(&left, 3 * SETTLES).await;
    // The day looks full, its change is read, and is not scheduled there.
    let scheduled = node.schedule(&other).await.expect("the place is free again");
    assert_eq!(scheduled["status"], "scheduled");
    assert_eq!(node.places().await, 1);
    // A place whose change is scheduled stays its own, however old it is.
    let refused = node.schedule(&left).await.expect_err("the day is full");
    assert!(refused.detail().contains("overlap there already"), "{}", refused.detail());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_just_taken_is_not_given_away() {
    let node = Node::start().await;
    let (about_to_move, other) = (node.approved().await, node.approved().await);
    node.leave_a_place(&about_to_move, Duration::ZERO).await;
    let refused = node.schedule(&other).await.expect_err("the day is full");
    assert!(refused.detail().contains("overlap there already"), "{}", refused.detail());
    assert_eq!(node.places().await, 1);
    node.stop().await;
}
