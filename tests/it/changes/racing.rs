//! Several who do something to one change, or on one day, at the same time through different nodes.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{act, approved, create, minutes_from_now, open_calendar, status};
use crate::harness::{Answer, Members};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approvers_race_through_two_nodes() {
    let members = Members::three().await;
    for _ in 0..10 {
        // Risk 45: medium, two approvals.
        let fields = json!({"affectedSystems": ["a", "b", "c"], "plannedStart": "2027-06-15T10:00:00Z"});
        let id = create(members.get(3), fields).await;
        act(members.get(1), &id, "assessments", json!({})).await;
        let path = format!("/v1/changes/{id}/decisions");
        let decide = async |node: usize, approver: &str| {
            members.get(node).post(&path, &json!({"approverId": approver, "decision": "approved"})).await
        };
        let answers = <[Answer; 3]>::from(tokio::join!(
            decide(1, "alice.chen"),
            decide(2, "bob.williams"),
            decide(3, "alice.chen")
        ));
        let taken = answers.iter().filter(|answer| answer.status == 200).count();
        let refused: Vec<String> =
            answers.iter().filter(|answer| answer.status != 200).map(Answer::text).collect();
        // Alice's second decision is refused whatever the order, and nobody else's.
        assert_eq!((taken, refused.len()), (2, 1), "{refused:?}");
        assert!(refused[0].contains("alice.chen") || refused[0].contains("approved"), "{refused:?}");
        let shown = status(members.get(2), &id).await;
        let by: Vec<&Value> =
            shown["approvals"].as_array().expect("a list").iter().map(|one| &one["approverId"]).collect();
        assert!(by.contains(&&json!("alice.chen")) && by.contains(&&json!("bob.williams")), "{shown}");
        assert_eq!((&shown["status"], by.len()), (&json!("approved"), 2), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_are_scheduled_on_a_day_than_may_overlap() {
    let members = Members::three().await;
    open_calendar(members.get(1), |_| {}).await;
    let mut changes = Vec::new();
    for number in 0..12 {
        changes.push(approved(members.get(number % 3 + 1), json!({})).await);
    }
    let time = json!({"scheduledStart": minutes_from_now(60), "scheduledEnd": minutes_from_now(90)});
    let schedule = async |number: usize, id: &str, time: &Value| {
        members.get(number % 3 + 1).post(&format!("/v1/changes/{id}/schedule"), time).await
    };
    let answers = join_all(changes.iter().enumerate().map(|(number, id)| schedule(number, id, &time))).await;
    let scheduled: Vec<&String> =
        changes.iter().zip(&answers).filter(|(_, answer)| answer.status == 200).map(|(id, _)| id).collect();
    assert_eq!(scheduled.len(), 3, "{:?}", answers.iter().map(Answer::text).collect::<Vec<_>>());
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        let problem = answer.clone().expect_problem(422, "invalid_parameters").json();
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("3 changes overlap there already, and no more may"), "{detail}");
        // What is free begins when those are over.
        assert_eq!(problem["nextWindow"]["start"], normal(&time["scheduledEnd"]), "{problem}");
    }
    for (id, answer) in changes.iter().zip(&answers) {
        let expected = if answer.status == 200 { "scheduled" } else { "approved" };
        assert_eq!(status(members.get(1), id).await["status"], expected);
    }
    // One that overlaps in a minute is one too many, one after them is not.
    let waiting: Vec<&String> = changes.iter().filter(|id| !scheduled.contains(id)).collect();
    let late = json!({"scheduledStart": minutes_from_now(89), "scheduledEnd": minutes_from_now(95)});
    schedule(0, waiting[0], &late).await.expect(422);
    let after = json!({"scheduledStart": minutes_from_now(91), "scheduledEnd": minutes_from_now(95)});
    let conflicts = schedule(1, waiting[0], &after).await.expect(200).json()["conflicts"].clone();
    assert_eq!(conflicts, json!([]));
    // A place that is given back is free at once.
    act(members.get(2), scheduled[0], "transitions", json!({"to": "approved"})).await;
    let conflicts = schedule(2, waiting[1], &time).await.expect(200).json()["conflicts"].clone();
    assert_eq!(conflicts.as_array().map(Vec::len), Some(2), "{conflicts}");
    schedule(0, waiting[2], &time).await.expect(422);
    act(members.get(3), scheduled[1], "transitions", json!({"to": "cancelled", "reason": "not needed"}))
        .await;
    schedule(0, waiting[2], &time).await.expect(200);
    act(
        members.get(3),
        scheduled[2],
        "override",
        json!({"justification": "now", "authorizedBy": "alice.chen"}),
    )
    .await;
    schedule(1, waiting[3], &time).await.expect(200);
    schedule(2, waiting[4], &time).await.expect(422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_scheduled_twice_at_once_holds_one_place() {
    let members = Members::three().await;
    open_calendar(members.get(1), |policy| policy["max_overlapping"] = json!(2)).await;
    let (first, second) =
        (approved(members.get(1), json!({})).await, approved(members.get(2), json!({})).await);
    let time = json!({"scheduledStart": minutes_from_now(60), "scheduledEnd": minutes_from_now(90)});
    let path = format!("/v1/changes/{first}/schedule");
    let answers = join_all((1..=3).map(|number| members.get(number).post(&path, &time))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    // Whoever came too late has given their place back: there is one left, and no more.
    members.get(3).post(&format!("/v1/changes/{second}/schedule"), &time).await.expect(200);
    let third = approved(members.get(2), json!({})).await;
    members.get(1).post(&format!("/v1/changes/{third}/schedule"), &time).await.expect(422);
}

/// A time as the server writes it.
fn normal(time: &Value) -> Value {
    let parsed: jiff::Timestamp = time.as_str().and_then(|text| text.parse().ok()).expect("a time");
    let ms = jiff::Timestamp::from_millisecond(parsed.as_millisecond()).expect("a time");
    json!(format!("{ms:.3}"))
}
