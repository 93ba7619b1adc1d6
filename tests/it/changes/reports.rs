//! What reports say of changes that did and did not keep the rules.

use serde_json::{Value, json};

use super::{act, approved, create, minutes_from_now, open_calendar, text};
use crate::harness::Node;

/// The controls that did not pass, with the changes that broke them.
fn broken(report: &Value) -> Vec<(String, Vec<String>)> {
    let controls = report["controls"].as_array().expect("a list").iter();
    let broken = controls.filter(|control| control["passed"] == false).map(|control| {
        let violations = control["violations"].as_array().expect("a list").iter();
        (text(control, "id").to_owned(), violations.map(|one| text(one, "changeId").to_owned()).collect())
    });
    broken.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_finds_what_was_not_kept() {
    let node = Node::start();
    open_calendar(&node, |_| {}).await;
    let report = async |query: &str| node.get(&format!("/v1/changes/report{query}")).await.expect(200).json();
    let empty = report("").await;
    assert_eq!((&empty["totalChanges"], &empty["byState"]), (&json!(0), &json!({})));
    assert_eq!(empty["metrics"]["successRate"], Value::Null);

    // An emergency that is implemented, and waits for its review.
    let emergency = create(&node, json!({"title": "Broken", "environment": "production"})).await;
    act(&node, &emergency, "override", json!({"justification": "it burns", "authorizedBy": "bob.williams"}))
        .await;
    act(&node, &emergency, "transitions", json!({"to": "implementing"})).await;
    act(&node, &emergency, "transitions", json!({"to": "review"})).await;
    // One of critical risk without a way back.
    let risky = create(&node, json!({"title": "critical payment security", "requestor": "alice.chen"})).await;
    // One that fails.
    let failed = approved(&node, json!({"environment": "staging"})).await;
    let time = json!({"scheduledStart": minutes_from_now(-1), "scheduledEnd": minutes_from_now(30)});
    act(&node, &failed, "schedule", time).await;
    act(&node, &failed, "transitions", json!({"to": "implementing"})).await;
    act(&node, &failed, "transitions", json!({"to": "failed", "reason": "disk full"})).await;

    let all = report("").await;
    assert_eq!(
        broken(&all),
        [
            ("sox.emergencies_reviewed".to_owned(), vec![emergency.clone()]),
            ("pci_dss.emergencies_reviewed".to_owned(), vec![emergency.clone()]),
            ("pci_dss.rollback_planned".to_owned(), vec![risky.clone()]),
            ("gdpr.rollback_planned".to_owned(), vec![risky.clone()]),
        ]
    );
    assert_eq!(all["auditScore"], 100.0 * 9.0 / 13.0);
    assert_eq!(all["totalChanges"], 3);
    assert_eq!(all["byState"], json!({"failed": 1, "review": 1, "submitted": 1}));
    assert_eq!(all["byType"], json!({"emergency": 1, "normal": 2}));
    assert_eq!(all["byEnvironment"], json!({"production": 1, "staging": 1}));
    assert_eq!((&all["emergencyChanges"], &all["failedChanges"]), (&json!([emergency]), &json!([failed])));
    assert_eq!(
        (&all["metrics"]["successRate"], &all["metrics"]["cabApprovalRate"]),
        (&json!(0.0), &json!(1.0))
    );

    let sox = report("?framework=sox").await;
    assert!(sox["controls"].as_array().expect("a list").iter().all(|control| control["framework"] == "sox"));
    assert_eq!(sox["auditScore"], 80.0);
    // Reviewed, it is as it should be.
    act(&node, &emergency, "transitions", json!({"to": "closed"})).await;
    assert_eq!(broken(&report("?framework=sox").await), []);
    // A period that was over before.
    let before = report("?start=2020-01-01T00:00:00Z&end=2021-01-01T00:00:00Z").await;
    assert_eq!(before["totalChanges"], 0);
    assert_eq!(
        before["period"],
        json!({"start": "2020-01-01T00:00:00.000Z", "end": "2021-01-01T00:00:00.000Z"})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freezes_hold_and_overrides_pass() {
    let node = Node::start();
    // Every day of the year is in a freeze.
    open_calendar(&node, |policy| policy["freezes"] = json!([{"from": "01-01", "to": "12-31"}])).await;
    let id = approved(&node, json!({})).await;
    let time = json!({"scheduledStart": minutes_from_now(60), "scheduledEnd": minutes_from_now(90)});
    let path = format!("/v1/changes/{id}/schedule");
    let refused = node.post(&path, &time).await.expect_problem(422, "invalid_parameters").json();
    assert!(text(&refused, "detail").contains("freeze") && refused["nextWindow"].is_null(), "{refused}");
    act(&node, &id, "override", json!({"justification": "it burns", "authorizedBy": "bob.williams"})).await;
    act(&node, &id, "transitions", json!({"to": "implementing"})).await;
    let report = node.get("/v1/changes/report?framework=sox").await.expect(200).json();
    let freezes = report["controls"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["id"] == "sox.freezes_respected");
    let freezes = freezes.expect("there is such a control");
    assert_eq!((&freezes["passed"], &freezes["evidence"]), (&json!(true), &json!([id])));
    // A justified emergency reserves nothing and passes, too.
    let emergency = create(&node, json!({"type": "emergency", "implementationPlan": "p"})).await;
    act(&node, &emergency, "assessments", json!({})).await;
    for approver in ["alice.chen", "bob.williams"] {
        act(&node, &emergency, "decisions", json!({"approverId": approver, "decision": "approved"})).await;
    }
    let path = format!("/v1/changes/{emergency}/schedule");
    node.post(&path, &time).await.expect(422);
    let mut justified = time.clone();
    justified["justification"] = json!("customers cannot pay");
    assert_eq!(node.post(&path, &justified).await.expect(200).json()["window"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_waits_for_its_blockers() {
    let node = Node::start();
    open_calendar(&node, |_| {}).await;
    let first = create(&node, json!({})).await;
    let id = approved(&node, json!({"blockedBy": [first]})).await;
    let time = json!({"scheduledStart": minutes_from_now(-1), "scheduledEnd": minutes_from_now(30)});
    act(&node, &id, "schedule", time).await;
    let path = format!("/v1/changes/{id}/transitions");
    let refused =
        node.post(&path, &json!({"to": "implementing"})).await.expect_problem(422, "invalid_parameters");
    assert!(text(&refused.json(), "detail").contains(&first), "{}", refused.text());
    act(&node, &first, "transitions", json!({"to": "cancelled", "reason": "not needed"})).await;
    act(&node, &id, "transitions", json!({"to": "implementing"})).await;
    let trail = node.get(&format!("/v1/changes/{id}/audit")).await.expect(200).json();
    let begun =
        trail["audit"].as_array().expect("a list").iter().find(|record| record["to"] == "implementing");
    assert_eq!(begun.expect("it has begun")["blockers"], json!({first: "cancelled"}));
}
