//! Deadlines: their warning, their breach, and what ends them.

use super::*;
use crate::object::Timestamp;

fn alarm(trial: &Trial) -> Option<Timestamp> {
    trial.object.meta().alarm.map(|alarm| alarm.at)
}

fn minutes_after(text: &str, minutes: u64) -> Timestamp {
    at(text).plus_ms(minutes * 60_000)
}

#[test]
fn one_alarm_for_the_warning_then_for_the_breach() {
    let mut trial = Trial::submitted("emergency");
    assert_eq!(alarm(&trial), Some(minutes_after(MONDAY, 24)));
    trial.ring();
    assert_eq!(alarm(&trial), Some(minutes_after(MONDAY, 24)), "one that rings early is set again");
    assert_eq!(trial.events().last(), Some(&Event::Submitted));
    trial.advance_minutes(24);
    trial.ring();
    assert_eq!(trial.events().last(), Some(&Event::SlaWarning));
    assert_eq!(alarm(&trial), Some(minutes_after(MONDAY, 30)));
    trial.advance_minutes(6);
    trial.ring();
    assert_eq!((trial.events().last(), alarm(&trial)), (Some(&Event::SlaBreach), None));
    let record = trial.records().pop().unwrap();
    assert_eq!((record.who.as_str(), record.policy_version), ("stead", 7));
    assert!(trial.change().sla.unwrap().breached);
}

#[test]
fn a_decision_ends_it() {
    for end in ["approve", "reject", "cancelled"] {
        let mut trial = Trial::at_state("normal", State::Assessing);
        assert!(alarm(&trial).is_some());
        trial.step(end);
        assert_eq!(alarm(&trial), None, "{end}");
        trial.object.advance(Duration::from_hours(100));
        let records = trial.records().len();
        trial.ring();
        assert_eq!(trial.records().len(), records, "{end}: nothing is recorded of what is decided");
    }
    let mut trial = Trial::at_state("normal", State::Assessing);
    trial.authorize("alice.chen").unwrap();
    assert_eq!(alarm(&trial), None);
}

#[test]
fn questions_do_not_end_it() {
    let mut trial = Trial::at_state("normal", State::NeedsInfo);
    assert_eq!(alarm(&trial), Some(minutes_after(MONDAY, 24 * 60 / 5 * 4)));
    trial.object.advance(Duration::from_hours(25));
    trial.ring();
    assert!(trial.events().ends_with(&[Event::SlaWarning, Event::SlaBreach]), "{:?}", trial.events());
}

#[test]
fn a_draft_has_none() {
    let mut trial = Trial::at_state("normal", State::Draft);
    assert_eq!((alarm(&trial), trial.change().sla), (None, None));
    trial.object.advance(Duration::from_hours(100));
    trial.transition("submitted").unwrap();
    assert_eq!(alarm(&trial), Some(trial.object.now().plus_ms(24 * 3_600_000 / 5 * 4)));
    assert_eq!(trial.change().submitted_at, Some(trial.object.now()));
}

/// What the alarm is late with is recorded before what happens now.
#[test]
fn a_late_alarm_loses_nothing() {
    let mut trial = Trial::at_state("emergency", State::Assessing);
    trial.advance_minutes(31);
    let decided = trial.decide("alice.chen", "approved").unwrap();
    assert_eq!(decided["approval"]["slaCompliant"], json!(false));
    assert!(trial.events().ends_with(&[Event::SlaWarning, Event::SlaBreach, Event::Approved]));
    assert_eq!(alarm(&trial), None);
}

#[test]
fn a_decision_in_time_comes_before_the_deadline() {
    for (minutes, expected) in [(29, true), (30, false)] {
        let mut trial = Trial::at_state("emergency", State::Assessing);
        trial.advance_minutes(minutes);
        let decided = trial.decide("alice.chen", "approved").unwrap();
        assert_eq!(decided["approval"]["slaCompliant"], json!(expected), "{minutes}");
    }
}

#[test]
fn a_status_knows_that_the_deadline_is_over_before_the_alarm() {
    let mut trial = Trial::submitted("emergency");
    let sla = |trial: &mut Trial| trial.object.ask("status", json!({})).unwrap()["sla"].clone();
    assert_eq!(
        sla(&mut trial),
        json!({ "deadline": "2026-10-12T10:30:00.000Z", "breached": false, "decidedAt": null })
    );
    trial.advance_minutes(30);
    assert_eq!(sla(&mut trial)["breached"], json!(true));
    let mut decided = Trial::at_state("emergency", State::Approved);
    decided.advance_minutes(60);
    assert_eq!(sla(&mut decided)["breached"], json!(false));
    assert_eq!(sla(&mut Trial::at_state("normal", State::Draft))["deadline"], json!(null));
}

#[test]
fn a_new_type_or_priority_has_its_own_deadline() {
    let mut trial = Trial::submitted("normal");
    trial.advance_minutes(20);
    trial.call("update", json!({ "impact": "high", "urgency": "high" })).unwrap();
    assert_eq!(alarm(&trial), Some(minutes_after(MONDAY, 192)));
    trial.call("update", json!({ "type": "emergency" })).unwrap();
    assert_eq!(alarm(&trial), Some(minutes_after(MONDAY, 24)));
    trial.advance_minutes(5);
    trial.call("update", json!({ "type": "major" })).unwrap();
    assert!(trial.events().ends_with(&[Event::SlaWarning, Event::Updated]), "{:?}", trial.events());
    assert_eq!(alarm(&trial), Some(minutes_after(MONDAY, 192)));
    // A deadline that is over as soon as it is there is recorded at once.
    trial.object.set_now(at("2026-10-12T11:00:00Z"));
    trial.call("update", json!({ "type": "emergency" })).unwrap();
    assert!(trial.events().ends_with(&[Event::Updated, Event::SlaWarning, Event::SlaBreach]));
}
