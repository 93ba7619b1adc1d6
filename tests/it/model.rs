//! Random operations against an in-memory model of an object, with crashes in between.
//!
//! The model is what the contract says an object is: keys, a version, whether it exists, and the first
//! answer of each idempotency key. Every answer of the server is predicted and compared. Now and then
//! the server is killed, sometimes with an operation on its way: then the object must be as before it
//! or as after it, and the model learns which.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Answer, Node, seed};

const STEPS: usize = 4_000;
const CRASHES: usize = 20;
const OBJECTS: usize = 4;
/// Updates that an object keeps.
const HISTORY: usize = 256;
const KEYS: &[&str] = &["value", "a", "b/c", "ü x", "%41", "\u{1F600}"];

/// An object as the contract has it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    keys: BTreeMap<String, Value>,
    version: u64,
    exists: bool,
    updates: Vec<Value>,
    records: BTreeMap<String, (Operation, Outcome)>,
}

/// What is compared of an answer.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    status: u16,
    code: String,
    version: Option<u64>,
    body: Value,
}

#[derive(Debug, Clone, PartialEq)]
enum Operation {
    Initialize(BTreeMap<String, Value>),
    Put(String, Value),
    DeleteKey(String),
    Delete,
    SetMultiple(BTreeMap<String, Value>),
    Increment(String, i64),
    Read,
    ReadKey(String),
    Updates(u64),
    Entries(usize),
}

/// An operation with its headers.
#[derive(Debug, Clone)]
struct Step {
    object: usize,
    operation: Operation,
    if_match: Option<u64>,
    idempotency_key: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_operations() {
    let seed = seed("model");
    let mut random = StdRng::seed_from_u64(seed);
    let mut node = Node::start();
    let mut models = vec![Model::default(); OBJECTS];
    let mut trace: Vec<String> = Vec::new();
    for number in 0..STEPS {
        let step = random_step(&mut random, &models);
        trace.push(format!("{number}: {step:?}"));
        if number % (STEPS / CRASHES) == STEPS / CRASHES - 1 {
            crash_during(&mut node, &mut models, &step, &mut random).await;
            continue;
        }
        let expected = models[step.object].clone().apply(&step);
        let (found, asked) = send(&node, &step).await;
        let shown = trace.iter().rev().take(12).rev().cloned().collect::<Vec<_>>().join("\n");
        assert_eq!(outcome(&found, &step.operation), expected.1, "SEED={seed}\n{shown}\n{asked}");
        models[step.object] = expected.0;
    }
    for (object, model) in models.iter().enumerate() {
        compare_whole(&node, object, model).await;
    }
}

impl Model {
    /// The object after a step, and what the server must answer.
    fn apply(mut self, step: &Step) -> (Self, Outcome) {
        let is_write = step.operation.is_write();
        if let (Some(key), true) = (&step.idempotency_key, is_write)
            && let Some((known, first)) = self.records.get(key)
        {
            let answer =
                if *known == step.operation { first.clone() } else { refused(422, "idempotency_key_reused") };
            return (self, answer);
        }
        let current = if self.exists { self.version } else { 0 };
        if is_write && step.if_match.is_some_and(|wanted| wanted != current) {
            return (self, refused(412, "version_mismatch"));
        }
        let before = self.clone();
        let answer = self.run(&step.operation, step.object);
        if answer.status >= 400 {
            return (before, answer);
        }
        if let (Some(key), true) = (&step.idempotency_key, is_write && self != before) {
            self.records.insert(key.clone(), (step.operation.clone(), answer.clone()));
        }
        (self, answer)
    }

    fn run(&mut self, operation: &Operation, object: usize) -> Outcome {
        match operation {
            Operation::Initialize(keys) => {
                let created = !self.exists;
                if created || !keys.is_empty() {
                    self.commit("initialize", keys.clone(), &[]);
                }
                let body = json!({"class": "object", "name": name(object), "version": self.version});
                self.answer(if created { 201 } else { 200 }, body)
            }
            Operation::Put(key, value) => {
                self.commit("put", BTreeMap::from([(key.clone(), value.clone())]), &[]);
                self.answer(200, json!({"key": key, "version": self.version}))
            }
            Operation::DeleteKey(key) if self.keys.contains_key(key) => {
                self.commit("delete", BTreeMap::new(), std::slice::from_ref(key));
                self.answer(204, Value::Null)
            }
            Operation::DeleteKey(_) => refused(404, "absent"),
            Operation::Delete if self.exists => {
                self.version += 1;
                self.exists = false;
                self.keys.clear();
                self.updates = vec![json!({"version": self.version, "deleted_object": true})];
                self.answer(204, Value::Null)
            }
            Operation::Delete => refused(404, "object_not_found"),
            Operation::SetMultiple(keys) => {
                if !keys.is_empty() {
                    self.commit("set_multiple", keys.clone(), &[]);
                }
                let result = json!({"status": "success", "count": keys.len()});
                self.answer(200, json!({"result": result, "version": self.version}))
            }
            Operation::Increment(key, by) => self.increment(key, *by),
            Operation::Read if self.exists => {
                let body = json!({"class": "object", "name": name(object), "version": self.version, "state": self.keys});
                self.answer(200, body)
            }
            Operation::Read => refused(404, "object_not_found"),
            Operation::ReadKey(key) => match self.keys.get(key) {
                Some(value) => self.answer(200, json!({"key": key, "value": value, "version": self.version})),
                None => refused(404, "absent"),
            },
            Operation::Updates(since) => {
                let after: Vec<&Value> =
                    self.updates.iter().filter(|update| update["version"].as_u64() > Some(*since)).collect();
                let first = self.updates.first().and_then(|update| update["version"].as_u64()).unwrap_or(1);
                let complete = since + 1 >= first || self.version == 0;
                let body = json!({"updates": after, "version": self.version, "complete": complete});
                self.answer(200, body)
            }
            Operation::Entries(limit) => {
                let page: Vec<Value> = self
                    .keys
                    .iter()
                    .take(*limit)
                    .map(|(key, value)| json!({"key": key, "value": value}))
                    .collect();
                self.answer(
                    200,
                    json!({"entries": page, "version": self.version, "more": self.keys.len() > *limit}),
                )
            }
        }
    }

    fn increment(&mut self, key: &str, by: i64) -> Outcome {
        let old = match self.keys.get(key) {
            None => 0,
            Some(value) => match value.as_i64() {
                Some(value) => value,
                None => return refused(422, "invalid_parameters"),
            },
        };
        let Some(new) = old.checked_add(by) else { return refused(422, "invalid_parameters") };
        self.commit("increment", BTreeMap::from([(key.to_owned(), Value::from(new))]), &[]);
        self.answer(200, json!({"result": {"key": key, "value": new}, "version": self.version}))
    }

    fn commit(&mut self, method: &str, changes: BTreeMap<String, Value>, deleted: &[String]) {
        self.version += 1;
        self.exists = true;
        let update = json!({"version": self.version, "changes": changes, "deleted": deleted, "method": method, "by": "local"});
        self.updates.push(update);
        if self.updates.len() > HISTORY {
            self.updates.remove(0);
        }
        self.keys.extend(changes);
        for key in deleted {
            self.keys.remove(key);
        }
    }

    fn answer(&self, status: u16, body: Value) -> Outcome {
        Outcome { status, code: String::new(), version: Some(self.version), body }
    }
}

impl Operation {
    fn is_write(&self) -> bool {
        !matches!(self, Self::Read | Self::ReadKey(_) | Self::Updates(_) | Self::Entries(_))
    }
}

fn refused(status: u16, code: &str) -> Outcome {
    Outcome { status, code: code.to_owned(), version: None, body: Value::Null }
}

/// What is compared of the server's answer: times are left out, an error is its code.
fn outcome(answer: &Answer, operation: &Operation) -> Outcome {
    let code = answer.code();
    if !code.is_empty() {
        let reads_key = matches!(operation, Operation::ReadKey(_) | Operation::DeleteKey(_));
        let absent = reads_key && matches!(code.as_str(), "object_not_found" | "key_not_found");
        return refused(answer.status, if absent { "absent" } else { &code });
    }
    let mut body = if answer.body.is_empty() { Value::Null } else { answer.json() };
    if let Some(fields) = body.as_object_mut() {
        fields.remove("updated_at");
        if let Some(cursor) = fields.remove("cursor") {
            fields.insert("more".to_owned(), Value::from(cursor.is_string()));
        }
        for update in fields.get_mut("updates").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(fields) = update.as_object_mut() {
                let deleted = fields.contains_key("deleted_object");
                fields.retain(|name, _| match name.as_str() {
                    "version" => true,
                    "deleted_object" => deleted,
                    "timestamp" | "object" => false,
                    _ => !deleted,
                });
            }
        }
    }
    let version = answer.header("x-stead-version").and_then(|text| text.parse().ok());
    Outcome { status: answer.status, code, version, body }
}

async fn send(node: &Node, step: &Step) -> (Answer, String) {
    let (verb, path, headers, body) = request(step);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = node.request(verb, &path, &headers, &body).await;
    (answer, format!("{verb} {path} {headers:?} {}", String::from_utf8_lossy(&body)))
}

fn request(step: &Step) -> (&'static str, String, Vec<(&'static str, String)>, Vec<u8>) {
    let object = format!("/v1/objects/object/{}", name(step.object));
    let bytes = |value: &Value| value.to_string().into_bytes();
    let (verb, path, body) = match &step.operation {
        Operation::Initialize(keys) => ("PUT", object, bytes(&json!(keys))),
        Operation::Put(key, value) => {
            ("PUT", format!("{object}/state/{}", encode(key)), bytes(&json!({"value": value})))
        }
        Operation::DeleteKey(key) => ("DELETE", format!("{object}/state/{}", encode(key)), Vec::new()),
        Operation::Delete => ("DELETE", object, Vec::new()),
        Operation::SetMultiple(keys) => {
            ("POST", format!("{object}/methods/set_multiple"), bytes(&json!({"keys": keys})))
        }
        Operation::Increment(key, by) => {
            ("POST", format!("{object}/methods/increment"), bytes(&json!({"key": key, "increment": by})))
        }
        Operation::Read => ("GET", object, Vec::new()),
        Operation::ReadKey(key) => ("GET", format!("{object}/state/{}", encode(key)), Vec::new()),
        Operation::Updates(since) => {
            ("GET", format!("{object}/updates?since={since}&limit=1000"), Vec::new())
        }
        Operation::Entries(limit) => ("GET", format!("{object}/state?limit={limit}"), Vec::new()),
    };
    let mut headers = Vec::new();
    headers.extend(step.if_match.map(|version| ("If-Match", format!("\"{version}\""))));
    headers.extend(step.idempotency_key.clone().map(|key| ("Idempotency-Key", key)));
    (verb, path, headers, body)
}

/// Kills the node with a step on its way, and learns whether it took effect.
async fn crash_during(node: &mut Node, models: &mut [Model], step: &Step, random: &mut StdRng) {
    let (verb, path, headers, body) = request(step);
    let mut connection = node.connect().await;
    let mut sending = JoinSet::new();
    sending.spawn(async move {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        connection.request(verb, &path, &headers, &body).await
    });
    tokio::time::sleep(std::time::Duration::from_micros(random.random_range(0..1_500))).await; // the crash's moment
    node.kill9();
    let answer = sending.join_next().await.expect("one was sent").expect("sending does not panic");
    node.start_again();
    let before = &models[step.object];
    let (after, expected) = before.clone().apply(step);
    if let Ok(answer) = answer {
        assert_eq!(outcome(&answer, &step.operation), expected, "{step:?}");
        models[step.object] = after;
    } else {
        let found =
            node.get(&format!("/v1/objects/object/{}/updates?since=0&limit=1", name(step.object))).await;
        let version = found.json()["version"].as_u64().expect("a version");
        assert!(
            version == before.version || version == after.version,
            "{version} after {step:?} on {before:?}"
        );
        if version == after.version {
            models[step.object] = after;
        }
    }
    for (object, model) in models.iter().enumerate() {
        compare_whole(node, object, model).await;
    }
}

/// Everything that can be read of an object, against the model.
async fn compare_whole(node: &Node, object: usize, model: &Model) {
    for operation in [Operation::Read, Operation::Updates(0), Operation::Entries(1_000)] {
        let step = Step { object, operation, if_match: None, idempotency_key: None };
        let (found, asked) = send(node, &step).await;
        assert_eq!(outcome(&found, &step.operation), model.clone().apply(&step).1, "{asked}");
    }
}

fn random_step(random: &mut StdRng, models: &[Model]) -> Step {
    let object = random.random_range(0..models.len());
    let model = &models[object];
    let mut step =
        Step { object, operation: random_operation(random, model), if_match: None, idempotency_key: None };
    if !step.operation.is_write() {
        return step;
    }
    step.if_match = random.random_bool(0.15).then(|| match random.random_range(0..3) {
        0 => 0,
        1 => model.version,
        _ => random.random_range(0..=model.version + 1),
    });
    step.idempotency_key = random.random_bool(0.3).then(|| format!("k{}", random.random_range(0..40)));
    let known = step.idempotency_key.as_ref().and_then(|key| model.records.get(key));
    if let Some((operation, _)) = known.filter(|_| random.random_bool(0.5)) {
        step.operation = operation.clone(); // a true retry; else the key is used for another call
    }
    step
}

fn random_operation(random: &mut StdRng, model: &Model) -> Operation {
    let pick = |random: &mut StdRng| KEYS[random.random_range(0..KEYS.len())].to_owned();
    match random.random_range(0..100) {
        0..8 => {
            let count = random.random_range(0..3);
            Operation::Initialize((0..count).map(|_| (pick(random), random_value(random))).collect())
        }
        8..28 => Operation::Put(pick(random), random_value(random)),
        28..38 => Operation::DeleteKey(pick(random)),
        38..42 => Operation::Delete,
        42..50 => {
            let count = random.random_range(0..4);
            Operation::SetMultiple((0..count).map(|_| (pick(random), random_value(random))).collect())
        }
        50..70 => Operation::Increment(pick(random), random.random_range(-5..100)),
        70..80 => Operation::Read,
        80..88 => Operation::ReadKey(pick(random)),
        88..95 => Operation::Updates(random.random_range(0..=model.version)),
        _ => Operation::Entries(random.random_range(1..6)),
    }
}

fn random_value(random: &mut StdRng) -> Value {
    match random.random_range(0..8) {
        0 => Value::Null,
        1 => json!(random.random_bool(0.5)),
        2..5 => json!(random.random_range(-1_000_i64..1_000)),
        5 => json!([i64::MAX, i64::MIN, u64::MAX, random.random::<i64>()]),
        6 => json!({"deep": {"er": ["\u{0}\u{1F600}\"\\", random.random_range(0..9)]}}),
        _ => json!("x".repeat(random.random_range(0..200))),
    }
}

fn name(object: usize) -> String {
    format!("model-{object}")
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}
