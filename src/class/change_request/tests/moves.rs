//! Every move of the table is allowed, every other one is refused and changes nothing: generated from the one table.

use super::*;
use crate::class::change_request::states::{self, MOVES, OVERRIDDEN_FROM, Way};
use crate::class::change_request::{Kind, Word};

/// Tries to bring a change to a state in the way that leads there.
fn attempt(trial: &mut Trial, to: State, way: Option<Way>) -> Result<Json, Refusal> {
    match way {
        Some(Way::Decisions) => match to {
            State::Approved => {
                trial.decide("alice.chen", "approved")?;
                trial.decide("bob.williams", "approved")
            }
            _ => trial.decide("alice.chen", to.as_str()),
        },
        Some(Way::Schedule) => trial.schedule(WINDOW),
        Some(Way::Transition) | None => trial.transition(to.as_str()),
    }
}

#[test]
fn every_move_of_the_table_and_no_other() {
    let mut allowed = 0;
    for kind in Kind::ALL {
        for from in State::ALL {
            for to in State::ALL {
                let found = states::find(*kind, *from, *to);
                let mut trial = Trial::at_state(kind.as_str(), *from);
                let before = trial.seen();
                let result = attempt(&mut trial, *to, found.map(|found| found.way));
                let name = format!("{kind}: {from} to {to}");
                if let Some(found) = found {
                    allowed += 1;
                    result.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
                    assert_eq!(trial.change().status, *to, "{name}");
                    let last = trial.records().pop().unwrap();
                    assert_eq!((last.from, last.to), (Some(*from), Some(*to)), "{name}");
                    assert_eq!(last.event, found.event, "{name}");
                } else {
                    let refusal = result.expect_err(&name).to_string();
                    let open = states::described(*kind, *from);
                    assert!(refusal.ends_with(&format!("Open moves: {open}")), "{name}: {refusal}");
                    assert_eq!(before, trial.seen(), "{name}: a refusal changes nothing");
                }
            }
        }
    }
    assert_eq!(allowed, MOVES.len() * Kind::ALL.len() - 3, "one is for emergencies only");
}

/// What is reached by decisions or a schedule is not reached by a transition.
#[test]
fn a_transition_is_not_a_decision_and_no_schedule() {
    let check = |from: State, to: &str, expected: &str| {
        let refused =
            Trial::at_state("normal", from).refused("transition", json!({ "to": to, "reason": "r" }));
        assert_eq!(refused, expected);
    };
    let open = "Open moves: approved (by approve_change), rejected (by approve_change), needs_info (by \
                approve_change), cancelled";
    check(
        State::Assessing,
        "approved",
        &format!(
            "Cannot move from assessing to approved: missing is the approvers' decisions (approve_change), or an \
             override (emergency_override). {open}"
        ),
    );
    for to in ["rejected", "needs_info"] {
        let missing = "missing is an approver's decision (approve_change)";
        check(State::Assessing, to, &format!("Cannot move from assessing to {to}: {missing}. {open}"));
    }
    check(
        State::Approved,
        "scheduled",
        "Cannot move from approved to scheduled: missing is a schedule (schedule_change). Open moves: scheduled (by \
         schedule_change), cancelled",
    );
    check(
        State::Approved,
        "implementing",
        "Cannot move from approved to implementing: missing is a schedule (schedule_change): only an emergency is \
         implemented without one. Open moves: scheduled (by schedule_change), cancelled",
    );
    check(
        State::Closed,
        "draft",
        "Cannot move from closed to draft: there is no such move. Open moves: none",
    );
}

#[test]
fn an_override_is_the_one_exception() {
    for kind in ["normal", "emergency"] {
        for from in State::ALL {
            let mut trial = Trial::at_state(kind, *from);
            let result = trial.authorize("alice.chen");
            if OVERRIDDEN_FROM.contains(from) {
                let result = result.unwrap();
                assert_eq!((&result["status"], &result["type"]), (&json!("approved"), &json!("emergency")));
                let due = trial.object.now().plus_ms(72 * 3_600_000);
                assert_eq!(result["reviewDue"], json!(due));
                let last = trial.records().pop().unwrap();
                assert_eq!((last.from, last.to), (Some(*from), Some(State::Approved)));
                assert_eq!((last.event, last.who.as_str()), (Event::EmergencyOverride, "alice.chen"));
                assert_eq!(result.get("released").is_some(), *from == State::Scheduled);
                assert_eq!(trial.change().schedule, None);
            } else {
                let refusal = result.unwrap_err().to_string();
                assert!(
                    refusal.starts_with(&format!("A change in state {from} cannot be overridden")),
                    "{refusal}"
                );
            }
        }
    }
}

#[test]
fn what_ends_badly_needs_a_reason() {
    for (from, to) in [
        (State::Draft, "cancelled"),
        (State::Submitted, "cancelled"),
        (State::Implementing, "failed"),
        (State::Implementing, "cancelled"),
        (State::Failed, "cancelled"),
    ] {
        let mut trial = Trial::at_state("normal", from);
        for reason in [json!(null), json!(""), json!("  ")] {
            let refused = trial.refused("transition", json!({ "to": to, "reason": reason }));
            let expected = format!("Cannot move from {from} to {to}: missing is a reason. ");
            assert!(refused.starts_with(&expected), "{refused}");
        }
        trial.transition(to).unwrap();
        assert_eq!(trial.records().pop().unwrap().reason.as_deref(), Some("because"));
    }
    let mut trial = Trial::at_state("normal", State::Assessing);
    let rejection = json!({ "approverId": "alice.chen", "decision": "rejected" });
    assert_eq!(trial.refused("decide", rejection), "A rejection needs comments: they are its reason");
    trial.decide("alice.chen", "rejected").unwrap();
    assert_eq!(trial.records().pop().unwrap().reason.as_deref(), Some("because"));
}

#[test]
fn a_review_leaves_two_records() {
    let mut trial = Trial::at_state("normal", State::Review);
    trial.transition("closed").unwrap();
    let records = trial.records();
    let [.., reviewed, closed] = records.as_slice() else { panic!("two records") };
    assert_eq!((reviewed.event, reviewed.from, reviewed.to), (Event::Reviewed, None, None));
    assert_eq!(closed.event, Event::Closed);
    assert_eq!((closed.from, closed.to), (Some(State::Review), Some(State::Closed)));
}

#[test]
fn a_schedule_is_free_again_when_it_is_given_up() {
    for (from, to) in
        [(State::Scheduled, "approved"), (State::Scheduled, "cancelled"), (State::Implementing, "cancelled")]
    {
        let mut trial = Trial::at_state("normal", from);
        let schedule = trial.change().schedule.unwrap();
        let result = trial.transition(to).unwrap();
        assert_eq!(
            result["released"],
            json!({
                "scheduleId": schedule.schedule_id,
                "scheduledStart": schedule.scheduled_start,
                "scheduledEnd": schedule.scheduled_end,
                "day": "2026-10-13",
            })
        );
        assert_eq!(trial.change().schedule, None);
    }
    let unscheduled = Trial::at_state("normal", State::Scheduled).transition("approved").unwrap();
    assert_eq!(unscheduled["openMoves"], json!(["scheduled", "cancelled"]));
}

/// What is missing before a scheduled change is implemented at a time.
fn check_start(kind: &str, now: &str, expected: Option<&str>) {
    let mut trial = Trial::at_state(kind, State::Scheduled);
    trial.object.set_now(at(now));
    match (trial.transition("implementing"), expected) {
        (Ok(_), None) => assert_eq!(trial.change().status, State::Implementing),
        (Err(refusal), Some(expected)) => assert!(refusal.to_string().contains(expected), "{refusal}"),
        (result, expected) => panic!("{kind} at {now}: {result:?}, not {expected:?}"),
    }
}

#[test]
fn a_scheduled_change_begins_in_its_time() {
    let late = "missing is its time: it may begin from 15 minutes before 2026-10-13T02:00:00.000Z until \
                2026-10-13T06:00:00.000Z, and it is ";
    check_start("normal", "2026-10-13T01:44:59.999Z", Some(late));
    check_start("normal", "2026-10-13T01:45:00Z", None);
    check_start("normal", "2026-10-13T06:00:00Z", None);
    check_start("normal", "2026-10-13T06:00:00.001Z", Some(late));
    check_start("emergency", "2026-10-13T01:00:00Z", None);
    check_start("emergency", "2026-10-14T01:00:00Z", None);
    // A failed change that is tried again keeps to its time as well.
    let mut trial = Trial::at_state("normal", State::Failed);
    trial.object.set_now(at("2026-10-13T07:00:00Z"));
    assert!(trial.refused("transition", json!({ "to": "implementing" })).contains(late));
}

#[test]
fn nothing_begins_in_a_freeze() {
    let frozen = at("2026-11-26T10:00:00Z");
    let expected = "missing is the end of the freeze (11-25 to 12-02), or an emergency override, or the justified \
                    schedule of an emergency";
    let mut trial = Trial::at_state("emergency", State::Approved);
    trial.object.set_now(frozen);
    assert!(trial.refused("transition", json!({ "to": "implementing" })).contains(expected));
    let justified = json!({
        "scheduledStart": "2026-11-26T10:00:00Z",
        "scheduledEnd": "2026-11-26T11:00:00Z",
        "justification": "it cannot wait",
    });
    let scheduled = trial.call("schedule", justified).unwrap();
    assert_eq!(scheduled["window"], json!(null));
    trial.transition("implementing").unwrap();
    let begun = trial.records().pop().unwrap();
    assert_eq!(begun.more["freeze"], json!("11-25 to 12-02"));
    assert_eq!((&begun.more["justified"], &begun.more["override"]), (&json!(true), &json!(false)));

    let mut trial = Trial::at_state("normal", State::Submitted);
    trial.object.set_now(frozen);
    trial.authorize("bob.williams").unwrap();
    trial.transition("implementing").unwrap();
    let begun = trial.records().pop().unwrap();
    assert_eq!((&begun.more["justified"], &begun.more["override"]), (&json!(false), &json!(true)));
}

#[test]
fn a_plan_is_there_before_it_is_followed() {
    for (kind, is_needed) in [("standard", true), ("normal", true), ("major", true), ("emergency", false)] {
        let mut trial = Trial::new();
        let mut arguments = created(kind);
        arguments["implementationPlan"] = json!("");
        trial.call("create", arguments).unwrap();
        for step in ["assess", "approve", "schedule"] {
            trial.step(step);
        }
        let refused = trial.transition("implementing");
        assert_eq!(refused.is_err(), is_needed, "{kind}");
        if let Err(refusal) = refused {
            assert!(refusal.to_string().contains("missing is an implementation plan. "), "{refusal}");
        }
    }
}

#[test]
fn a_change_waits_for_those_it_names() {
    for (state, waits) in [
        (json!("draft"), true),
        (json!("implementing"), true),
        (json!("failed"), true),
        (json!("closed"), false),
        (json!("rejected"), false),
        (json!("cancelled"), false),
        (json!(null), false),
        (json!("unheard"), true),
    ] {
        let mut trial = Trial::new();
        let mut arguments = created("normal");
        arguments["blockedBy"] = json!(["CHG-1", "CHG-2"]);
        trial.call("create", arguments).unwrap();
        for step in ["assess", "approve", "schedule"] {
            trial.step(step);
        }
        let unknown = trial.refused("transition", json!({ "to": "implementing" }));
        assert!(
            unknown.contains("missing is the state of CHG-1, which is not known now: try again; "),
            "{unknown}"
        );
        trial.blockers =
            json!({ "CHG-1": state, "CHG-2": "closed", "CHG-3": "draft" }).as_object().cloned().unwrap();
        let result = trial.transition("implementing");
        assert_eq!(result.is_err(), waits, "{state}: {result:?}");
        if !waits {
            let begun = trial.records().pop().unwrap();
            assert_eq!(begun.more["blockers"], json!({ "CHG-1": state, "CHG-2": "closed" }));
        }
    }
    let mut trial = Trial::at_state("normal", State::Submitted);
    let own = trial.refused("update", json!({ "blockedBy": ["CHG-20261012-AAAAAA"] }));
    assert_eq!(own, "blockedBy names the change itself: it would wait for ever");
}
