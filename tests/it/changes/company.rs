//! A month of a company's changes, made from a seed, on three nodes of which one or another dies; then the report is
//! computed again from the audit trails, by code that shares nothing with the server's, and must agree in every figure.
//!
//! Half of the changes are led through the tools over MCP, half over REST.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::{minutes_from_now, open_calendar, text};
use crate::harness::{Answer, Connection, Members, seed};

const CHANGES: usize = 60;
const AT_ONCE: usize = 6;
const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_months_report_agrees_with_the_trails() {
    let seed = seed("a month");
    let mut members = Members::three().await;
    open_calendar(members.get(1), |policy| policy["max_overlapping"] = json!(20)).await;
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..ROUNDS {
        let victim = 1 + (round + usize::from(random.random_bool(0.5))) % 3;
        let is_over = AtomicBool::new(false);
        let after = Duration::from_millis(random.random_range(200..1_500));
        let seeds: Vec<u64> = (0..CHANGES / ROUNDS).map(|_| random.random()).collect();
        let work = async {
            let changes = stream::iter(&seeds).map(|seed| live(&members, *seed));
            changes.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
            is_over.store(true, Ordering::Relaxed);
        };
        let death = async {
            let deadline = Instant::now() + after;
            while Instant::now() < deadline && !is_over.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            members.get(victim).signal(Signal::SIGKILL);
        };
        tokio::join!(work, death);
        members.get_mut(victim).restart();
        members.well(1 + victim % 3).await;
    }
    let expected = recompute(&members).await;
    assert_eq!(expected["totalChanges"], CHANGES, "{expected}");
    for number in 1..=3 {
        let report = members.get(number).get("/v1/changes/report").await.expect(200).json();
        for (name, value) in expected.as_object().expect("fields") {
            assert_eq!(&report[name], value, "{name} at node {number}: {report}");
        }
        let board = members.get(number).get("/v1/changes/dashboard").await.expect(200).json();
        assert_eq!(board["changes"]["successRate"], expected["metrics"]["successRate"]);
        assert_eq!(board["compliance"]["auditScore"], expected["auditScore"]);
    }
}

/// Sends a request to one node after the other until one of them surely knows what became of it.
async fn send(
    members: &Members,
    first: usize,
    key: &str,
    (verb, path, body): (&str, &str, &Value),
) -> Answer {
    let deadline = Instant::now() + crate::harness::PATIENCE;
    let text = body.to_string();
    for turn in 0.. {
        let address = members.get(1 + (first + turn) % 3).address();
        let headers = [("Idempotency-Key", key)];
        let sent =
            async { Connection::open(address).await?.request(verb, path, &headers, text.as_bytes()).await };
        match sent.await {
            Ok(answer) if answer.status < 500 && answer.status != 429 => return answer,
            other => assert!(Instant::now() < deadline, "{verb} {path}: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("it is sent until the deadline")
}

/// The same over MCP: by the tool that stands beside a path. Its answer comes back as the one over REST would.
async fn use_tool(members: &Members, first: usize, key: &str, path: &str, mut arguments: Value) -> Answer {
    let parts: Vec<&str> =
        path.trim_start_matches("/v1/changes").trim_start_matches('/').split('/').collect();
    let tool = match parts.get(1) {
        None => "create_change_request",
        Some(&"transitions") => "transition_change",
        Some(&"override") => "emergency_override",
        Some(&"assessments") => "assess_risk",
        Some(&"decisions") => "approve_change",
        Some(&"comments") => "add_comment",
        Some(&"schedule") => "schedule_change",
        Some(other) => panic!("no tool is {other}"),
    };
    if parts.len() > 1 {
        arguments["changeId"] = json!(parts[0]);
    }
    let params = json!({"name": tool, "arguments": arguments});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let deadline = Instant::now() + crate::harness::PATIENCE;
    loop {
        let answer = send(members, first, key, ("POST", "/mcp", &call)).await.expect(200);
        let result = answer.json()["result"].clone();
        let told = result["structuredContent"].clone();
        // What failed, unlike what was refused, says whether to try again.
        if matches!(told["retry"].as_str(), Some("safe" | "unknown")) {
            assert!(Instant::now() < deadline, "{tool}: {told}");
            continue;
        }
        let status = match (&result["isError"], tool) {
            (Value::Bool(true), _) => 422,
            (_, "create_change_request") => 201,
            _ => 200,
        };
        return Answer { status, body: told.to_string().into_bytes(), headers: Vec::new() };
    }
}

/// One change from its beginning to an end, as chance has it.
async fn live(members: &Members, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut steps = 0;
    let mut step = async |random: &mut StdRng, path: &str, body: Value| -> Answer {
        steps += 1;
        let (first, key) = (random.random_range(0..3), format!("{seed}-{steps}"));
        if seed.is_multiple_of(2) {
            return use_tool(members, first, &key, path, body).await;
        }
        send(members, first, &key, ("POST", path, &body)).await
    };
    let pick = |random: &mut StdRng, of: &[&str]| of[random.random_range(0..of.len())].to_owned();
    let requestor =
        pick(&mut random, &["eve@example.com", "alice.chen@example.com", "mallory", "carol.davis"]);
    let systems: Vec<String> =
        (0..random.random_range(0..5)).map(|number| format!("system-{number}")).collect();
    let mut change = json!({
        "title": pick(&mut random, &["Update docs", "Rotate secret tokens", "Payment gateway", "Patch production kernel"]),
        "description": pick(&mut random, &["as always", "critical security issue", "delete old rows", "audit finding"]),
        "requestor": requestor,
        "type": pick(&mut random, &["standard", "normal", "major", "emergency"]),
        "impact": pick(&mut random, &["low", "medium", "high"]),
        "urgency": pick(&mut random, &["low", "medium", "high"]),
        "affectedSystems": systems,
        "implementationPlan": "step by step",
        "draft": random.random_bool(0.1),
    });
    if random.random_bool(0.7) {
        change["environment"] = json!(pick(&mut random, &["production", "staging", "test"]));
    }
    if random.random_bool(0.6) {
        change["rollbackPlan"] = json!("back again");
    }
    let made = step(&mut random, "/v1/changes", change).await.expect(201).json();
    let base = format!("/v1/changes/{}", text(&made, "changeId"));
    if made["status"] == "draft" && random.random_bool(0.5) {
        return;
    }
    if made["status"] == "draft" {
        step(&mut random, &format!("{base}/transitions"), json!({"to": "submitted"})).await.expect(200);
    }
    if random.random_bool(0.1) {
        return;
    }
    if random.random_bool(0.15) {
        let body = json!({"justification": "it burns", "authorizedBy": pick(&mut random, &["alice.chen", "bob.williams"])});
        // Alice may not override her own.
        step(&mut random, &format!("{base}/override"), body).await;
    } else {
        step(&mut random, &format!("{base}/assessments"), json!({})).await.expect(200);
        if random.random_bool(0.1) {
            let body = json!({"approverId": "bob.williams", "decision": "needs_info", "comments": "why?"});
            step(&mut random, &format!("{base}/decisions"), body).await.expect(200);
            step(&mut random, &format!("{base}/comments"), json!({"comment": "because"})).await.expect(200);
            step(&mut random, &format!("{base}/transitions"), json!({"to": "assessing"})).await.expect(200);
        }
        for approver in ["alice.chen", "bob.williams", "carol.davis", "david.rodriguez"] {
            let decision = if random.random_bool(0.08) { "rejected" } else { "approved" };
            let body = json!({"approverId": approver, "decision": decision, "comments": "seen"});
            // Some may not, and for some it is decided already.
            step(&mut random, &format!("{base}/decisions"), body).await;
        }
    }
    if random.random_bool(0.1) {
        step(&mut random, &format!("{base}/transitions"), json!({"to": "cancelled", "reason": "not needed"}))
            .await;
        return;
    }
    let time = json!({"scheduledStart": minutes_from_now(-1), "scheduledEnd": minutes_from_now(60)});
    let scheduled = step(&mut random, &format!("{base}/schedule"), time).await;
    if random.random_bool(0.1) && scheduled.status == 200 {
        step(&mut random, &format!("{base}/transitions"), json!({"to": "approved"})).await.expect(200);
        return;
    }
    let path = format!("{base}/transitions");
    if step(&mut random, &path, json!({"to": "implementing"})).await.status != 200 {
        return;
    }
    if random.random_bool(0.2) {
        step(&mut random, &path, json!({"to": "failed", "reason": "it broke"})).await.expect(200);
        if random.random_bool(0.5)
            || step(&mut random, &path, json!({"to": "implementing"})).await.status != 200
        {
            return;
        }
    }
    step(&mut random, &path, json!({"to": "review"})).await.expect(200);
    if random.random_bool(0.8) {
        step(&mut random, &path, json!({"to": "closed"})).await.expect(200);
    }
}

/// A change as its pages tell it.
struct Told {
    id: String,
    shown: Value,
    trail: Vec<Value>,
}

impl Told {
    fn moved_to(&self, state: &str) -> Vec<&Value> {
        self.trail.iter().filter(|record| record["to"] == state).collect()
    }

    fn has(&self, kind: &str) -> bool {
        self.trail.iter().any(|record| record["type"] == kind)
    }

    fn count(&self, kind: &str) -> usize {
        self.trail.iter().filter(|record| record["type"] == kind).count()
    }

    fn state(&self) -> String {
        let last = self.trail.iter().rev().find_map(|record| record["to"].as_str());
        last.unwrap_or("draft").to_owned()
    }

    /// Why it breaks a control; nothing where the control does not ask of it, or is kept.
    fn breaks(&self, control: &str) -> bool {
        let requestor = text(&self.shown, "requestor").split('@').next().expect("a part").to_lowercase();
        let begun = self.moved_to("implementing").first().and_then(|record| record["seq"].as_u64());
        match control {
            "segregation_of_duties" => self.trail.iter().any(|record| {
                ["approved", "EMERGENCY_OVERRIDE"].contains(&text(record, "type"))
                    && text(record, "who").to_lowercase() == requestor
            }),
            "authorised_before_implementation" => begun.is_some_and(|begun| {
                let before = |kind: &str| {
                    self.trail
                        .iter()
                        .any(|record| record["type"] == kind && record["seq"].as_u64() < Some(begun))
                };
                let decided = self.trail.iter().any(|record| {
                    record["type"] == "approved"
                        && record["to"] == "approved"
                        && record["seq"].as_u64() < Some(begun)
                });
                !(before("EMERGENCY_OVERRIDE") || before("risk_assessed") && decided)
            }),
            "emergencies_reviewed" => {
                self.shown["type"] == "emergency" && self.has("implemented") && !self.has("reviewed")
            }
            "freezes_respected" => false,
            "audit_complete" => {
                self.trail.iter().enumerate().any(|(place, record)| record["seq"] != json!(place + 1))
            }
            "rollback_planned" => {
                let is_risky = ["high", "critical"].contains(&text(&self.shown, "riskLevel"));
                let is_dropped = ["rejected", "cancelled"].contains(&&*self.state()) && begun.is_none();
                is_risky && self.state() != "draft" && !is_dropped && self.shown["rollbackPlan"].is_null()
            }
            other => panic!("no control {other}"),
        }
    }
}

async fn read_all(members: &Members) -> Vec<Told> {
    let (mut told, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            members.get(2).get(&format!("/v1/changes?limit=9&cursor={cursor}")).await.expect(200).json();
        for row in page["changes"].as_array().expect("a list") {
            let id = text(row, "changeId").to_owned();
            let shown = members.get(3).get(&format!("/v1/changes/{id}")).await.expect(200).json();
            let (mut trail, mut after) = (Vec::new(), String::new());
            loop {
                let path = format!("/v1/changes/{id}/audit?limit=4&cursor={after}");
                let part = members.get(1).get(&path).await.expect(200).json();
                trail.extend(part["audit"].as_array().expect("a list").iter().cloned());
                match part["cursor"].as_str() {
                    Some(next) => next.clone_into(&mut after),
                    None => break,
                }
            }
            told.push(Told { id, shown, trail });
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return told,
        }
    }
}

fn counted(words: impl Iterator<Item = String>) -> Value {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    json!(counts)
}

fn share(part: usize, whole: usize) -> Value {
    if whole == 0 { Value::Null } else { json!(part as f64 / whole as f64) }
}

fn ms(record: &Value) -> f64 {
    let time: jiff::Timestamp = text(record, "time").parse().expect("a time");
    time.as_millisecond() as f64
}

/// The report's figures, from the pages alone.
async fn recompute(members: &Members) -> Value {
    let all = read_all(members).await;
    let closed: Vec<&Told> = all.iter().filter(|told| told.state() == "closed").collect();
    let failed: Vec<&Told> =
        all.iter().filter(|told| !told.moved_to("failed").is_empty() && told.state() != "closed").collect();
    let emergencies: Vec<&str> =
        all.iter().filter(|told| told.shown["type"] == "emergency").map(|told| told.id.as_str()).collect();
    let hours = closed
        .iter()
        .map(|told| (ms(told.trail.last().expect("a record")) - ms(&told.trail[0])) / 3_600_000.0);
    let hours: Vec<f64> = hours.collect();
    let approvals: usize = all.iter().map(|told| told.count("approved")).sum();
    let rejections: usize = all.iter().map(|told| told.count("rejected")).sum();
    let controls = [
        ("segregation_of_duties", 2),
        ("authorised_before_implementation", 3),
        ("emergencies_reviewed", 2),
        ("freezes_respected", 1),
        ("audit_complete", 3),
        ("rollback_planned", 2),
    ];
    let passed: u32 = controls
        .iter()
        .filter(|(control, _)| !all.iter().any(|told| told.breaks(control)))
        .map(|(_, frameworks)| frameworks)
        .sum();
    json!({
        "totalChanges": all.len(),
        "byState": counted(all.iter().map(Told::state)),
        "byType": counted(all.iter().map(|told| text(&told.shown, "type").to_owned())),
        "byRisk": counted(all.iter().map(|told| text(&told.shown, "riskLevel").to_owned())),
        "byEnvironment": counted(all.iter().filter_map(|told| told.shown["environment"].as_str().map(str::to_owned))),
        "emergencyChanges": emergencies,
        "failedChanges": failed.iter().map(|told| told.id.as_str()).collect::<Vec<_>>(),
        "metrics": {
            "averageLeadTime": if hours.is_empty() { Value::Null } else { json!(hours.iter().sum::<f64>() / hours.len() as f64) },
            "successRate": share(closed.len(), closed.len() + failed.len()),
            "emergencyRate": share(emergencies.len(), all.len()),
            "cabApprovalRate": share(approvals, approvals + rejections),
        },
        "auditScore": f64::from(100 * passed) / 13.0,
    })
}
