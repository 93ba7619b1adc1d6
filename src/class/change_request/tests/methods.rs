//! What each method refuses and does, beside the moves.

use super::*;

#[test]
fn what_is_required_is_named() {
    let mut trial = Trial::new();
    let missing = "Missing required parameters: title, description, requestor";
    for arguments in [
        json!({}),
        json!({ "title": "t", "description": "d" }),
        json!({ "title": "t", "description": "d", "requestor": "" }),
        json!({ "title": "t", "description": null, "requestor": "r" }),
    ] {
        assert_eq!(trial.refused("create", arguments), missing);
    }
    assert!(!trial.object.meta().exists);
    let mut trial = Trial::submitted("normal");
    for (method, expected) in [
        ("decide", "changeId, approverId, decision"),
        ("schedule", "changeId, scheduledStart, scheduledEnd"),
        ("transition", "changeId, to"),
        ("override", "changeId, justification, authorizedBy"),
        ("comment", "changeId, comment"),
    ] {
        assert_eq!(trial.refused(method, json!({})), format!("Missing required parameters: {expected}"));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut trial = Trial::submitted("normal");
    let long = "x".repeat(64 * 1024 + 1);
    for (method, arguments, expected) in [
        ("update", json!({ "title": 7 }), "title must be a text"),
        ("update", json!({ "title": "  " }), "title must not be empty"),
        ("update", json!({ "title": "x".repeat(513) }), "title has at most 512 bytes; this has 513"),
        ("update", json!({ "description": long }), "description has at most 65536 bytes; this has 65537"),
        ("update", json!({ "title": "a\u{0}b" }), "title has control characters: leave them out"),
        ("update", json!({ "type": "urgent" }), "type must be one of: standard, normal, major, emergency"),
        ("update", json!({ "impact": "critical" }), "impact must be one of: low, medium, high"),
        ("update", json!({ "affectedSystems": "db" }), "affectedSystems must be a list of texts"),
        ("update", json!({ "affectedSystems": ["db", 1] }), "affectedSystems must be a list of texts"),
        ("update", json!({ "blockedBy": [""] }), "blockedBy has an empty entry: leave it out"),
        ("update", json!({ "blockedBy": vec!["x"; 1_001] }), "blockedBy has at most 1000 entries"),
        (
            "update",
            json!({ "plannedStart": "tomorrow" }),
            "plannedStart: a time is written like 2026-11-21T02:11:36Z, with its offset",
        ),
        (
            "update",
            json!({ "requestor": "me" }),
            "requestor cannot be changed: create another change request",
        ),
        (
            "update",
            json!({ "draft": true }),
            "draft cannot be changed: hand it in by transition_change to submitted",
        ),
        (
            "update",
            json!({ "colour": "red" }),
            "nothing to update: give one of title, description, type, impact, urgency, affectedSystems, environment, \
             implementationPlan, rollbackPlan, plannedStart, blockedBy",
        ),
        (
            "create",
            json!({ "title": "t", "description": "d", "requestor": "r", "draft": "no" }),
            "draft must be true or false",
        ),
        (
            "assess",
            json!({ "factors": "high" }),
            "factors must be an object: complexity, timing, dependencies",
        ),
        (
            "assess",
            json!({ "factors": { "timing": "x".repeat(1_024) } }),
            "factors.timing has at most 1024 bytes",
        ),
        (
            "decide",
            json!({ "approverId": "alice.chen", "decision": "approve" }),
            "decision must be one of: approved, rejected, needs_info",
        ),
        (
            "transition",
            json!({ "to": "done" }),
            "to must be one of: draft, submitted, assessing, needs_info, approved, scheduled, implementing, review, \
             failed, closed, rejected, cancelled",
        ),
        ("comment", json!({ "comment": ["x"] }), "comment must be a text"),
    ] {
        assert_eq!(trial.refused(method, arguments.clone()), expected, "{method} {arguments}");
    }
    let unknown = trial.call("close", json!({}));
    assert!(matches!(unknown, Err(Refusal::MethodNotFound { .. })));
}

#[test]
fn a_change_that_is_not_there() {
    let mut trial = Trial::new();
    let expected = Refusal::NotFound { detail: "Change CHG-20261012-AAAAAA not found".to_owned() };
    assert_eq!(trial.transition("cancelled"), Err(expected.clone()));
    assert_eq!(trial.call("assess", json!({})), Err(expected.clone()));
    for question in ["status", "summary", "audit", "facts"] {
        assert_eq!(trial.object.ask(question, json!({})), Err(expected.clone()), "{question}");
    }
    assert!(!trial.object.meta().exists);
}

#[test]
fn a_change_is_made_once() {
    let mut trial = Trial::submitted("normal");
    let again = trial.call("create", created("normal"));
    let detail = "Change CHG-20261012-AAAAAA already exists".to_owned();
    assert_eq!(again, Err(Refusal::Conflict { detail }));
}

/// Only the methods write, whoever asks.
#[test]
fn nothing_is_written_past_the_methods() {
    let mut trial = Trial::submitted("normal");
    let before = trial.seen();
    let object = &mut trial.object;
    assert!(matches!(object.put("status", json!("approved")), Err(Refusal::Forbidden { .. })));
    assert!(matches!(object.delete("audit/0000000001"), Err(Refusal::Forbidden { .. })));
    assert!(matches!(object.initialize(json!({})), Err(Refusal::Forbidden { .. })));
    assert_eq!(before, trial.seen());
}

#[test]
fn without_a_policy_nothing_is_decided() {
    let mut object = Rehearsal::new(ChangeRequest);
    let refused = object.call("create", created("normal")).unwrap_err().to_string();
    assert_eq!(refused, "no policy was given: change requests are written through ChangeFlow");
    object.set_context(json!({ "policy": { "version": 1, "approvrs": [] } }));
    let refused = object.call("create", created("normal")).unwrap_err().to_string();
    assert!(refused.starts_with("the policy cannot be read: unknown field `approvrs`"), "{refused}");
}

#[test]
fn who_did_it_and_in_which_request() {
    let mut trial = Trial::submitted("normal");
    let first = trial.records().remove(0);
    assert_eq!((first.who.as_str(), first.subject.as_str()), ("admin@company.com", "operator"));
    assert_eq!((first.request_id.as_str(), first.policy_version), ("request-1", 7));
    trial.object.set_caller("other", "request-2");
    trial.call("assess", json!({})).unwrap();
    let last = trial.records().pop().unwrap();
    assert_eq!((last.who.as_str(), last.request_id.as_str()), ("other", "request-2"));
    trial
        .object
        .set_context(json!({ "policy": with_version(&trial.policy), "requestId": "from the module" }));
    trial.object.call("comment", json!({ "comment": "x" })).unwrap();
    trial.trail = trial.read_trail();
    assert_eq!(trial.records().pop().unwrap().request_id, "from the module");
}

/// A node whose clock is behind takes over: its records do not come before those that are there.
#[test]
fn a_clock_that_is_behind_does_not_turn_the_trail_back() {
    let mut trial = Trial::submitted("normal");
    trial.object.set_now(at("2026-10-12T09:00:00Z"));
    trial.call("assess", json!({})).unwrap();
    let times: Vec<_> = trial.records().iter().map(|record| record.time).collect();
    assert_eq!(times, vec![at(MONDAY); 4]);
}

#[test]
fn who_may_decide_is_said_before_anything_else() {
    let mut trial = Trial::new();
    let mut arguments = created("emergency");
    arguments["requestor"] = json!("Alice.Chen@company.com");
    trial.call("create", arguments).unwrap();
    for (approver, expected) in [
        ("nobody", "Approver nobody not found"),
        ("carol.davis", "Approver carol.davis does not have permission to approve this change type"),
        ("alice.chen", "Approver alice.chen cannot approve their own request"),
    ] {
        let decision = json!({ "approverId": approver, "decision": "approved" });
        assert_eq!(trial.refused("decide", decision), expected);
        let override_ = json!({ "justification": "j", "authorizedBy": approver });
        assert_eq!(trial.refused("override", override_), expected);
    }
    let early = trial.refused("decide", json!({ "approverId": "bob.williams", "decision": "approved" }));
    assert_eq!(
        early,
        "A change in state submitted cannot be decided on: that is done in assessing. Open moves: assessing, cancelled"
    );
}

/// An emergency is not capped: where one approver is left, only an override helps.
#[test]
fn an_emergency_takes_two() {
    let mut trial = Trial::new();
    let mut arguments = created("emergency");
    arguments["requestor"] = json!("alice.chen");
    trial.call("create", arguments).unwrap();
    trial.step("assess");
    let decided = trial.decide("bob.williams", "approved").unwrap();
    assert_eq!((&decided["status"], &decided["approvalsRequired"]), (&json!("assessing"), &json!(2)));
    assert_eq!(
        decided["nextSteps"],
        json!("1 approval to come and too few who may give them: only emergency_override helps")
    );
    assert_eq!(trial.authorize("bob.williams").unwrap()["status"], json!("approved"));
}

#[test]
fn one_decision_an_approver_and_round() {
    let mut trial = Trial::at_state("normal", State::Assessing);
    trial.decide("alice.chen", "approved").unwrap();
    let again = json!({ "approverId": "alice.chen", "decision": "rejected", "comments": "after all" });
    assert_eq!(trial.refused("decide", again), "Approver alice.chen has already decided in round 1");
    trial.decide("bob.williams", "needs_info").unwrap();
    trial.transition("assessing").unwrap();
    assert_eq!(trial.change().approvals_received, 0, "a new round counts from none");
    assert_eq!(trial.decide("bob.williams", "approved").unwrap()["status"], json!("assessing"));
    let decided = trial.decide("alice.chen", "approved").unwrap();
    assert_eq!((&decided["status"], &decided["approvalsReceived"]), (&json!("approved"), &json!(2)));
}

#[test]
fn nothing_is_decided_before_it_is_assessed() {
    let mut trial = Trial::submitted("normal");
    trial.transition("assessing").unwrap();
    let decision = json!({ "approverId": "alice.chen", "decision": "approved" });
    let missing = trial.refused("decide", decision.clone());
    assert!(missing.starts_with("An assessment is missing"), "{missing}");
    trial.step("assess");
    trial.decide("alice.chen", "approved").unwrap();
    for update in [
        json!({ "title": "Another" }),
        json!({ "description": "Something else" }),
        json!({ "affectedSystems": ["a", "b"] }),
        json!({ "plannedStart": "2026-10-14T10:00:00+02:00" }),
        json!({ "plannedStart": "" }),
    ] {
        let round = trial.change().round;
        trial.call("update", update.clone()).unwrap();
        let change = trial.change();
        assert_eq!((change.status, change.assessed), (State::Assessing, false), "{update}");
        assert_eq!((change.round, change.approvals_received), (round + 1, 0), "{update}");
        assert!(
            trial.refused("decide", decision.clone()).starts_with("An assessment is missing"),
            "{update}"
        );
        trial.step("assess");
        trial.decide("alice.chen", "approved").unwrap();
    }
    let round = trial.change().round;
    for update in
        [json!({ "environment": "staging" }), json!({ "rollbackPlan": "Wait" }), json!({ "impact": "low" })]
    {
        trial.call("update", update).unwrap();
    }
    assert_eq!((trial.change().round, trial.change().assessed), (round, true));
    assert_eq!(trial.decide("bob.williams", "approved").unwrap()["status"], json!("approved"));
}

#[test]
fn an_update_records_what_it_replaces() {
    let mut trial = Trial::submitted("normal");
    let before = trial.seen();
    trial.call("update", json!({ "title": "Change", "impact": null })).unwrap();
    assert_eq!(before, trial.seen(), "what is the same already changes nothing");
    let updated =
        trial.call("update", json!({ "title": "Payment", "environment": "", "impact": "high" })).unwrap();
    assert_eq!(
        updated,
        json!({
            "success": true,
            "changeId": "CHG-20261012-AAAAAA",
            "status": "submitted",
            "priority": "high",
            "riskScore": 90,
            "riskLevel": "high",
        })
    );
    let last = trial.records().pop().unwrap();
    assert_eq!(last.more["fields"], json!(["environment", "impact", "title"]));
    assert_eq!(
        last.more["replaced"],
        json!({ "environment": "production", "impact": null, "title": "Change" })
    );
    assert_eq!(trial.object.get("environment"), Ok(None), "an empty text takes it away");
    for state in [State::Approved, State::Closed] {
        let refused = Trial::at_state("normal", state).refused("update", json!({ "title": "x" }));
        let expected = format!(
            "A change in state {state} cannot be updated: that is done in draft, submitted, assessing, needs_info. "
        );
        assert!(refused.starts_with(&expected), "{refused}");
    }
}

#[test]
fn assessments_are_made_while_it_is_not_decided() {
    let mut trial = Trial::at_state("normal", State::NeedsInfo);
    trial.step("assess");
    assert_eq!(trial.change().status, State::NeedsInfo, "only what was submitted moves on");
    for state in [State::Draft, State::Approved, State::Closed] {
        let refused = Trial::at_state("normal", state).refused("assess", json!({}));
        assert!(refused.starts_with(&format!("A change in state {state} cannot be assessed")), "{refused}");
    }
}

#[test]
fn a_schedule_lies_in_a_window() {
    let mut trial = Trial::at_state("normal", State::Approved);
    for (start, end, expected) in [
        ("2026-10-13T02:00:00Z", "2026-10-13T02:00:00Z", "scheduledStart must come before scheduledEnd"),
        (
            "2026-10-08T02:00:00Z",
            "2026-10-08T03:00:00Z",
            "scheduledEnd 2026-10-08T03:00:00.000Z is over: it is 2026-10-12T10:00:00.000Z",
        ),
        (
            "2026-10-13T05:00:00Z",
            "2026-10-13T07:00:00Z",
            "The schedule from 2026-10-13T05:00:00.000Z to 2026-10-13T07:00:00.000Z is refused: it does not lie whole \
             in one window; choose the next window that fits",
        ),
        (
            "2026-11-26T02:00:00Z",
            "2026-11-26T03:00:00Z",
            "The schedule from 2026-11-26T02:00:00.000Z to 2026-11-26T03:00:00.000Z is refused: it is in a freeze \
             (11-25 to 12-02); choose the next window that fits",
        ),
    ] {
        let arguments =
            json!({ "scheduledStart": start, "scheduledEnd": end, "justification": "no emergency" });
        assert_eq!(trial.refused("schedule", arguments), expected);
    }
    let sunday = ("2026-10-18T01:00:00Z", "2026-10-18T02:00:00Z");
    trial.schedule(sunday).unwrap();
    assert_eq!(trial.change().schedule.unwrap().day.as_deref(), Some("2026-10-18"));
    let twice = trial.refused("schedule", json!({ "scheduledStart": WINDOW.0, "scheduledEnd": WINDOW.1 }));
    assert_eq!(
        twice,
        "Cannot move from scheduled to scheduled: missing is a change in state approved. Open moves: implementing, \
         approved, cancelled"
    );
}

/// Only a justified emergency is scheduled without a place on the calendar.
#[test]
fn a_schedule_has_its_place_on_the_calendar() {
    for (kind, justification, expected) in [
        ("normal", "", false),
        ("normal", "it cannot wait", false),
        ("emergency", "", false),
        ("emergency", "it cannot wait", true),
    ] {
        let mut trial = Trial::at_state(kind, State::Approved);
        trial.reserved = false;
        let arguments =
            json!({ "scheduledStart": WINDOW.0, "scheduledEnd": WINDOW.1, "justification": justification });
        if expected {
            let scheduled = trial.call("schedule", arguments).unwrap();
            assert!(
                scheduled["scheduleId"].as_str().is_some_and(|id| id.starts_with("SCHED-")),
                "{scheduled}"
            );
            assert_eq!(trial.change().schedule.unwrap().day, None);
        } else {
            let refused = trial.refused("schedule", arguments);
            assert_eq!(refused, "No place is reserved on the calendar: call schedule_change again");
        }
    }
}

/// What the calendar decided before is taken over.
#[test]
fn a_schedule_has_what_the_calendar_decided() {
    let mut trial = Trial::at_state("normal", State::Approved);
    let other = json!({ "changeId": "CHG-1", "start": WINDOW.0, "end": WINDOW.1 });
    trial.object.set_context(json!({
        "policy": with_version(&trial.policy),
        "scheduleId": "SCHED-ABC123",
        "conflicts": [other],
        "window": { "start": "what", "end": "ever" },
    }));
    let arguments =
        json!({ "scheduledStart": WINDOW.0, "scheduledEnd": WINDOW.1, "notificationContacts": ["ops"] });
    let scheduled = trial.object.call("schedule", arguments).unwrap();
    assert_eq!(scheduled["scheduleId"], json!("SCHED-ABC123"));
    assert_eq!(scheduled["conflicts"], json!([other]));
    assert_eq!(
        scheduled["window"]["start"],
        json!("2026-10-13T02:00:00.000Z"),
        "the window is found in the turn"
    );
}

#[test]
fn the_trail_is_read_in_pages() {
    let mut trial = Trial::submitted("normal");
    for number in 0..40 {
        trial.call("comment", json!({ "comment": number.to_string() })).unwrap();
    }
    let mut found = Vec::new();
    loop {
        let page = trial.object.ask("audit", json!({ "limit": 11, "after_seq": found.len() })).unwrap();
        let records = page["audit"].as_array().unwrap().clone();
        found.extend(records.clone());
        if page["more"] == json!(false) {
            assert_eq!(records.len(), 42 % 11);
            break;
        }
        assert_eq!(records.len(), 11);
    }
    assert_eq!(found, trial.trail);
    let all = trial.object.ask("audit", json!({ "limit": 42 })).unwrap();
    assert_eq!((all["audit"].as_array().map(Vec::len), &all["more"]), (Some(42), &json!(false)));
    for limit in [0, 1_001] {
        let refused = trial.object.ask("audit", json!({ "limit": limit })).unwrap_err().to_string();
        assert_eq!(refused, "limit must be from 1 to 1000");
    }
    let status = trial.object.ask("status", json!({})).unwrap();
    let seqs: Vec<u64> =
        status["audit"].as_array().unwrap().iter().map(|one| one["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (23..=42).collect::<Vec<_>>(), "a status has the last 20");
    let facts = trial.object.ask("facts", json!({})).unwrap();
    assert_eq!((facts["audit"].as_array().map(Vec::len), &facts["more"]), (Some(42), &json!(false)));
    assert_eq!(facts["changeId"], json!("CHG-20261012-AAAAAA"));
}
