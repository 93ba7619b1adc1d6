//! The runtime on a real store: pipelining, the gate, panics, passivation, alarms, idempotency.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, json};
use stead_cluster::{Cluster, NoPeers};

use super::{Absent, Action, Answer, ListQuery, ObjectMachine, Options, Outcome, Request, Runtime};
use crate::caller::{Caller, Standing};
use crate::class::{Access, Class, Classes, Parameters};
use crate::clock::Clock;
use crate::error::{Code, Error};
use crate::object::idempotency::IdempotencyKey;
use crate::object::{ClassName, Key, ObjectAddress, Refusal, Turn, Version};
use crate::telemetry::Metrics;

/// A node without a front, in a directory of its own.
struct Node {
    runtime: Runtime,
    cluster: Cluster,
    dir: Arc<tempfile::TempDir>,
}

struct Setup {
    max_active: usize,
    idle: Duration,
    classes: Classes,
    proposals_waiting_max: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            max_active: 1_000,
            idle: Duration::from_mins(1),
            classes: Classes::builtin(),
            proposals_waiting_max: 10_000,
        }
    }
}

impl Node {
    async fn start(setup: Setup) -> Self {
        Self::open(Arc::new(tempfile::tempdir().expect("a directory")), setup).await
    }

    async fn open(dir: Arc<tempfile::TempDir>, setup: Setup) -> Self {
        let clock = Arc::new(Clock::default());
        let options = stead_cluster::Options {
            data_dir: dir.path().join("data"),
            shards: 3,
            proposals_waiting_max: setup.proposals_waiting_max,
            ..Default::default()
        };
        let machine = |_| -> Box<dyn stead_cluster::Machine> { Box::new(ObjectMachine::new()) };
        let cluster =
            Cluster::open(options, Arc::new(NoPeers), clock.clone(), machine).await.expect("it opens");
        let options = Options {
            max_active_objects: NonZeroUsize::new(setup.max_active).expect("at least one"),
            max_requests_waiting: 100_000,
            replication_factor: 1,
            passivation_idle: setup.idle,
            data_dir: dir.path().to_owned(),
            disk_free_min_bytes: 0,
            request_deadline: Duration::from_secs(10),
        };
        let runtime = Runtime::start(cluster.clone(), setup.classes, options, clock, Metrics::new()).await;
        Self { runtime: runtime.expect("it starts"), cluster, dir }
    }

    /// Stops the node. Each test ends with it: a process that exits while `RocksDB` works is aborted.
    async fn stop(self) {
        self.runtime.stop().await;
        self.cluster.shutdown().await;
    }

    /// Stops the node and opens its directory again.
    async fn restart(self, setup: Setup) -> Self {
        let dir = self.dir.clone();
        self.stop().await;
        Self::open(dir, setup).await
    }

    async fn ask(&self, object: &str, request: impl Into<Request>) -> Result<Answer, Error> {
        self.runtime.call(&caller(), &address(object), request.into()).await
    }

    async fn call(
        &self,
        object: &str,
        method: &str,
        params: serde_json::Value,
    ) -> Result<serde_json::Value, Error> {
        match self.ask(object, call(method, params)).await?.outcome {
            Outcome::Result(value) => Ok(value.to_json()),
            other => panic!("a call is answered by a result, not {other:?}"),
        }
    }

    async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition().await {
            assert!(Instant::now() < deadline, "it never came: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn caller() -> Caller {
    Caller {
        tenant: "default".into(),
        subject: "local".into(),
        roles: Arc::default(),
        address: None,
        request_id: "test".into(),
        traceparent: None,
        deadline: Instant::now() + Duration::from_secs(10),
        standing: Standing::Client,
    }
}

fn address(object: &str) -> ObjectAddress {
    let (class, name) = object.split_once('/').expect("class/name");
    ObjectAddress::parse("default", class, name).expect("an address")
}

fn call(method: &str, params: serde_json::Value) -> Action {
    let params: Map<_, _> = params.as_object().cloned().unwrap_or_default();
    Action::Call { method: method.to_owned(), params }
}

fn once(action: Action, key: &str) -> Request {
    let idempotency_key = Some(IdempotencyKey::parse(key).expect("a key"));
    Request { action, idempotency_key, if_match: None, context: None }
}

/// A class that misbehaves when told to.
#[derive(Default)]
struct Odd {
    alarms_to_fail: AtomicUsize,
    rung: AtomicUsize,
    panics: AtomicBool,
}

impl Class for Odd {
    fn call(
        &self,
        turn: &mut Turn<'_>,
        method: &str,
        parameters: Parameters,
    ) -> Result<serde_json::Value, Refusal> {
        match method {
            "put_then_panic" => {
                turn.put("half", &1)?;
                panic!("as told");
            }
            "put_then_refuse" => {
                turn.put("half", &1)?;
                Err(Refusal::invalid("as told"))
            }
            "alarm_in" => {
                let ms = parameters.get("ms").and_then(serde_json::Value::as_u64).unwrap_or(0);
                turn.set_alarm(turn.now().plus_ms(ms));
                Ok(json!({}))
            }
            "count" => {
                let count: u64 = turn.get_as("count")?.unwrap_or(0) + 1;
                turn.put("count", &count)?;
                Ok(json!(count))
            }
            _ => Err(Refusal::MethodNotFound { method: method.to_owned() }),
        }
    }

    fn alarm(&self, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        self.rung.fetch_add(1, Ordering::SeqCst);
        turn.put("rung", &true)?;
        if self
            .alarms_to_fail
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok()
        {
            assert!(!self.panics.load(Ordering::SeqCst), "as told");
            return Err(Refusal::invalid("as told"));
        }
        Ok(())
    }
}

fn odd() -> (Arc<Odd>, Setup) {
    let odd = Arc::new(Odd::default());
    let classes = Classes::builtin().with(ClassName::parse("odd").expect("a class"), odd.clone());
    (odd, Setup { classes, ..Setup::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_object_takes_turns_while_others_are_made_durable() {
    let node = Node::start(Setup::default()).await;
    let before = node.cluster.metrics().entries_proposed.get();
    let calls = (0..500).map(|_| node.call("counter/hot", "increment", json!({})));
    let mut seen: Vec<i64> = futures_util::future::join_all(calls)
        .await
        .into_iter()
        .map(|result| result.expect("an increment")["value"].as_i64().expect("a number"))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=500).collect::<Vec<_>>());
    let entries = node.cluster.metrics().entries_proposed.get() - before;
    assert!(entries < 250, "500 turns of one object share entries, but took {entries}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_answers_internal_and_leaves_the_last_commit() {
    let node = Node::start(odd().1).await;
    node.call("odd/a", "count", json!({})).await.expect("it counts");
    let error = node.call("odd/a", "put_then_panic", json!({})).await.expect_err("it panics");
    assert_eq!(error.code, Code::Internal);
    let refused = node.call("odd/a", "put_then_refuse", json!({})).await.expect_err("it refuses");
    assert_eq!(refused.code, Code::InvalidParameters);
    assert_eq!(node.call("odd/a", "count", json!({})).await, Ok(json!(2)));
    let state = node.ask("odd/a", Action::State).await.expect("a state");
    assert_eq!(state.version, Version(2));
    assert!(matches!(state.outcome, Outcome::State { entries, .. } if entries.len() == 1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_behind_a_panic_go_to_the_successor() {
    let node = Node::start(odd().1).await;
    let panics =
        futures_util::future::join_all((0..20).map(|_| node.call("odd/a", "put_then_panic", json!({}))));
    let counts = futures_util::future::join_all((0..20).map(|_| node.call("odd/a", "count", json!({}))));
    let (panics, counts) = tokio::join!(panics, counts);
    assert!(panics.iter().all(|result| result.as_ref().is_err_and(|error| error.code == Code::Internal)));
    let mut counts: Vec<u64> =
        counts.into_iter().map(|count| count.expect("a count").as_u64().expect("a number")).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=20).collect::<Vec<_>>());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_takes_effect_once_even_after_a_restart() {
    let mut node = Node::start(Setup::default()).await;
    let increment = || once(call("increment", json!({"by": 5})), "order-1");
    for _ in 0..3 {
        let answer = node.ask("counter/a", increment()).await.expect("an answer");
        assert_eq!(answer.version, Version(1));
    }
    node = node.restart(Setup::default()).await;
    let answer = node.ask("counter/a", increment()).await.expect("an answer");
    assert!(matches!(answer.outcome, Outcome::Result(value) if value.as_str() == r#"{"value":5}"#));
    let reused = node.ask("counter/a", once(call("increment", json!({"by": 6})), "order-1")).await;
    assert_eq!(reused.map_err(|error| error.code).err(), Some(Code::IdempotencyKeyReused));
    assert_eq!(node.call("counter/a", "get", json!({})).await, Ok(json!({"value": 5})));
    let deleted = node.ask("counter/a", once(Action::Delete, "order-2")).await.expect("it is deleted");
    let again = node.ask("counter/a", once(Action::Delete, "order-2")).await.expect("the first answer again");
    assert_eq!((deleted.version, again.version), (Version(2), Version(2)));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_objects_leave_memory_and_come_back() {
    let node = Node::start(Setup { idle: Duration::from_millis(50), ..Setup::default() }).await;
    for round in 1..=3 {
        assert_eq!(node.call("counter/a", "increment", json!({})).await, Ok(json!({"value": round})));
        node.until("the object sleeps", async || node.runtime.active_objects() == 0).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_recently_used_makes_room() {
    let node = Node::start(Setup { max_active: 4, ..Setup::default() }).await;
    for round in 1..=3 {
        for object in 0..20 {
            let name = format!("counter/{object}");
            assert_eq!(node.call(&name, "increment", json!({})).await, Ok(json!({"value": round})));
            assert!(node.runtime.active_objects() <= 4);
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_rings_once_and_after_a_restart() {
    let (rung, setup) = odd();
    let node = Node::start(setup).await;
    node.call("odd/a", "alarm_in", json!({"ms": 20})).await.expect("it is set");
    node.until("the alarm rings", async || rung.rung.load(Ordering::SeqCst) == 1).await;
    node.call("odd/b", "alarm_in", json!({"ms": 150})).await.expect("it is set");
    let (rung_later, setup) = odd();
    let node = node.restart(setup).await;
    node.until("the alarm rings", async || rung_later.rung.load(Ordering::SeqCst) == 1).await;
    node.until("its put is there", async || {
        let got = node.ask("odd/b", Action::Get { key: Key::parse("rung").expect("a key") }).await;
        matches!(got.expect("an answer").outcome, Outcome::Value(Some(_)))
    })
    .await;
    assert_eq!((rung.rung.load(Ordering::SeqCst), rung_later.rung.load(Ordering::SeqCst)), (1, 1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_that_fails_or_panics_changes_nothing_and_rings_again() {
    for panics in [false, true] {
        let (odd, setup) = odd();
        odd.alarms_to_fail.store(1, Ordering::SeqCst);
        odd.panics.store(panics, Ordering::SeqCst);
        let node = Node::start(setup).await;
        node.call("odd/a", "alarm_in", json!({"ms": 0})).await.expect("it is set");
        node.until("it rings", async || odd.rung.load(Ordering::SeqCst) == 1).await;
        let state = node.ask("odd/a", Action::State).await.expect("a state");
        assert_eq!(state.version, Version::ZERO);
        node.until("it rings again", async || odd.rung.load(Ordering::SeqCst) == 2).await;
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_in_the_order_of_names_over_all_shards() {
    let node = Node::start(Setup::default()).await;
    for number in (0..50).rev() {
        node.call(&format!("counter/n{number:02}"), "increment", json!({})).await.expect("it counts");
    }
    node.ask("counter/n07", Action::Delete).await.expect("it is deleted");
    node.call("object/n01", "set", json!({"key": "a", "value": 1})).await.expect("another class");
    let class = ClassName::parse("counter").expect("a class");
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let query = ListQuery { prefix: "n".to_owned(), limit: 7, cursor };
        let page = node.runtime.list(&caller(), &class, query).await.expect("a page");
        names.extend(page.objects.iter().map(|object| object.name.to_string()));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let wanted: Vec<String> =
        (0..50).filter(|number| *number != 7).map(|number| format!("n{number:02}")).collect();
    assert_eq!(names, wanted);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_serves_what_is_not_written_yet_and_ends_where_it_was_cut() {
    let node = Node::start(Setup::default()).await;
    for _ in 0..300 {
        node.call("counter/a", "increment", json!({})).await.expect("it counts");
    }
    let Outcome::Updates { updates, complete } = node
        .ask("counter/a", Action::Updates { since: Version(290), limit: 1_000 })
        .await
        .expect("updates")
        .outcome
    else {
        panic!("updates are answered by updates")
    };
    assert_eq!((updates.len(), complete), (10, true));
    let Outcome::Updates { updates, complete } = node
        .ask("counter/a", Action::Updates { since: Version(3), limit: 1_000 })
        .await
        .expect("updates")
        .outcome
    else {
        panic!("updates are answered by updates")
    };
    assert_eq!((updates.len(), complete), (256, false));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_match_and_deletion_follow_the_version() {
    let node = Node::start(Setup::default()).await;
    let put = |value: i64, if_match: u64| Request {
        action: Action::Put { key: Key::parse("a").expect("a key"), value: json!(value) },
        idempotency_key: None,
        if_match: Some(Version(if_match)),
        context: None,
    };
    assert_eq!(node.ask("object/a", put(1, 0)).await.expect("it is made").version, Version(1));
    let refused = node.ask("object/a", put(2, 0)).await.expect_err("it exists");
    assert_eq!(refused.code, Code::VersionMismatch);
    assert_eq!(node.ask("object/a", Action::Delete).await.expect("it is deleted").version, Version(2));
    assert_eq!(
        node.ask("object/a", Action::Delete).await.expect_err("it is gone").code,
        Code::ObjectNotFound
    );
    assert_eq!(
        node.ask("object/a", put(3, 2)).await.expect_err("its old version").code,
        Code::VersionMismatch
    );
    assert_eq!(node.ask("object/a", put(3, 0)).await.expect("counting goes on").version, Version(3));
    let absent = Action::DeleteKey { key: Key::parse("b").expect("a key"), absent: Absent::Refused };
    assert_eq!(node.ask("object/a", absent).await.expect_err("no such key").code, Code::KeyNotFound);
    node.stop().await;
}

/// The log refuses at once what is too much for it, while what came before is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_outlives_a_full_log() {
    let node = Node::start(Setup { proposals_waiting_max: 4, ..Setup::default() }).await;
    let (mut counted, mut refused) = (0_u64, 0);
    for _ in 0..20 {
        let calls = (0..64).map(|_| node.call("counter/flooded", "increment", json!({})));
        for answer in futures_util::future::join_all(calls).await {
            match answer {
                Ok(_) => counted += 1,
                Err(error) => {
                    assert_eq!(error.code, Code::Overloaded, "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(counted > 0 && refused > 0, "{counted} counted, {refused} refused");
    let value = node.call("counter/flooded", "get", json!({})).await.expect("it answers");
    assert_eq!(value, json!({"value": counted}));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_of_a_module_is_reached_through_it_only() {
    /// Keeps what its module gives into the turn.
    struct Kept(Access);
    impl Class for Kept {
        fn access(&self) -> Access {
            self.0
        }

        fn call(&self, turn: &mut Turn<'_>, _: &str, _: Parameters) -> Result<serde_json::Value, Refusal> {
            let context = turn.context().cloned().unwrap_or_default();
            turn.put("context", &context)?;
            Ok(serde_json::Value::Object(context))
        }
    }
    let classes = Classes::builtin()
        .with(ClassName::parse("own").expect("a class"), Arc::new(Kept(Access::ReadOnly)))
        .with(ClassName::parse("hidden").expect("a class"), Arc::new(Kept(Access::Internal)));
    let node = Node::start(Setup { classes, ..Setup::default() }).await;
    let call = || {
        let action = Action::Call { method: "keep".to_owned(), params: Parameters::new() };
        let context = json!({"seen": 1}).as_object().cloned().map(Arc::new);
        Request { context, ..action.into() }
    };
    for (class, written, read) in
        [("own", Code::Forbidden, None), ("hidden", Code::ClassNotFound, Some(Code::ClassNotFound))]
    {
        let address = ObjectAddress::parse("default", class, "a").expect("an address");
        let refused = node.runtime.call(&caller(), &address, call()).await.expect_err("it is the module's");
        assert_eq!(refused.code, written, "{class}");
        let module = caller().through_module();
        let answer = node.runtime.call(&module, &address, call()).await.expect("it is the module");
        let Outcome::Result(kept) = answer.outcome else { panic!("a call has a result") };
        assert_eq!(kept.to_json(), json!({"seen": 1}));
        let looked = node.runtime.call(&caller(), &address, Action::State.into()).await;
        assert_eq!(looked.err().map(|error| error.code), read, "{class}");
    }
    node.stop().await;
}
