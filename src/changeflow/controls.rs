//! The controls: what each demands of a change, and whose it is. Pure.
//!
//! | control | demands | SOX | PCI DSS | GDPR |
//! |---|---|---|---|---|
//! | segregation of duties | nobody approves or overrides a change that they asked for | yes | yes | |
//! | authorised before implementation | before it is implemented, a change was assessed and approved, or overridden | yes | yes | yes |
//! | emergencies reviewed | every emergency that was implemented has been reviewed | yes | yes | |
//! | freezes respected | no implementation begins in a freeze, but under an override or a justified schedule | yes | | |
//! | audit complete | the records of a change are numbered from 1 without a gap | yes | yes | yes |
//! | rollback planned | a change of high or critical risk that was submitted has a plan for the way back, unless it was rejected or cancelled before it was implemented | | yes | yes |
//!
//! SOX section 404 asks for internal controls over what changes financial systems; PCI DSS 4.0 requirements 6.5.1,
//! 6.5.2 and 6.5.4 for documented, approved, reversible changes and separated duties; GDPR articles 5(2), 25 and 32
//! for accountability, for protection by design, and for the ability to restore. A control that serves several frameworks appears in a
//! report once for each.

use serde_json::Value as Json;

use crate::class::change_request::approval::is_own;

use super::facts::{Facts, Record};
use super::vocabulary::Framework;

/// A control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Control {
    /// A stable word, part of its id.
    pub(super) word: &'static str,
    /// Its name, for people.
    pub(super) name: &'static str,
    /// Whose it is.
    pub(super) frameworks: &'static [Framework],
}

/// Every control, in the order of [`find`].
pub(super) const IN_ALL: [Control; 6] = {
    use Framework::{Gdpr, PciDss, Sox};
    [
        Control {
            word: "segregation_of_duties",
            name: "Nobody approves their own change",
            frameworks: &[Sox, PciDss],
        },
        Control {
            word: "authorised_before_implementation",
            name: "Changes are assessed and approved, or overridden, before they are implemented",
            frameworks: &[Sox, PciDss, Gdpr],
        },
        Control {
            word: "emergencies_reviewed",
            name: "Every implemented emergency is reviewed",
            frameworks: &[Sox, PciDss],
        },
        Control {
            word: "freezes_respected",
            name: "Nothing is implemented in a freeze without an override or a justified schedule",
            frameworks: &[Sox],
        },
        Control {
            word: "audit_complete",
            name: "The audit trail of every change is complete",
            frameworks: &[Sox, PciDss, Gdpr],
        },
        Control {
            word: "rollback_planned",
            name: "Changes of high and critical risk have a rollback plan",
            frameworks: &[PciDss, Gdpr],
        },
    ]
};

/// What a control finds in one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// It asks nothing of this change.
    Silent,
    /// The change does what it demands.
    Kept,
    /// It does not, for this reason.
    Broken(String),
}

impl Finding {
    fn of(broken: Option<String>) -> Self {
        broken.map_or(Self::Kept, Self::Broken)
    }
}

/// What every control finds in a change.
pub(super) fn find(facts: &Facts<'_>, frozen: &dyn Fn(&Record<'_>) -> bool) -> [Finding; IN_ALL.len()] {
    [
        segregation(facts),
        authorised(facts),
        reviewed(facts),
        freezes(facts, frozen),
        complete(facts),
        rollback(facts),
    ]
}

fn segregation(facts: &Facts<'_>) -> Finding {
    let approvers =
        facts.records.iter().filter(|record| matches!(record.kind, "approved" | "EMERGENCY_OVERRIDE"));
    let approvers: Vec<&str> = approvers.filter_map(|record| record.says("who")).collect();
    if approvers.is_empty() {
        return Finding::Silent;
    }
    let own = approvers.into_iter().find(|id| is_own(id, facts.requestor));
    Finding::of(own.map(|id| format!("{id} approved a change that {} asked for", facts.requestor)))
}

fn authorised(facts: &Facts<'_>) -> Finding {
    let Some(begun) = facts.moves_to("implementing").next() else { return Finding::Silent };
    let before = || facts.records.iter().filter(|record| record.seq < begun.seq);
    if before().any(|record| record.kind == "EMERGENCY_OVERRIDE") {
        return Finding::Kept;
    }
    let missing = if !before().any(|record| record.kind == "risk_assessed") {
        Some("an assessment")
    } else if !before().any(|record| record.is_decision() && record.to == Some("approved")) {
        Some("approvals")
    } else {
        None
    };
    Finding::of(missing.map(|what| format!("it was implemented without {what} (record {})", begun.seq)))
}

fn reviewed(facts: &Facts<'_>) -> Finding {
    if !facts.is_emergency() {
        return Finding::Silent;
    }
    let Some(done) = facts.records.iter().rfind(|record| record.kind == "implemented") else {
        return Finding::Silent;
    };
    let is_reviewed = facts.records.iter().any(|record| record.kind == "reviewed" && record.seq > done.seq);
    Finding::of(
        (!is_reviewed).then(|| format!("it was implemented (record {}) and has not been reviewed", done.seq)),
    )
}

fn freezes(facts: &Facts<'_>, frozen: &dyn Fn(&Record<'_>) -> bool) -> Finding {
    let mut begun = facts.moves_to("implementing").peekable();
    if begun.peek().is_none() {
        return Finding::Silent;
    }
    let in_freeze = begun.find(|record| frozen(record) && !may_pass(facts, record.seq));
    Finding::of(
        in_freeze.map(|record| {
            format!("it was implemented in a freeze at {} (record {})", record.time, record.seq)
        }),
    )
}

/// Whether an override or a justified schedule stood before a record.
fn may_pass(facts: &Facts<'_>, seq: u64) -> bool {
    let mut before = facts.records.iter().rev().filter(|record| record.seq < seq);
    let stands = before.find_map(|record| match record.kind {
        "EMERGENCY_OVERRIDE" => Some(true),
        "scheduled" => Some(record.whole.get("justified") == Some(&Json::Bool(true))),
        _ => None,
    });
    stands.unwrap_or(false)
        || facts.records.iter().any(|record| record.kind == "EMERGENCY_OVERRIDE" && record.seq < seq)
}

fn complete(facts: &Facts<'_>) -> Finding {
    if facts.unreadable > 0 {
        return Finding::Broken(format!("{} entries of its trail are no records", facts.unreadable));
    }
    if facts.records.is_empty() {
        return Finding::Broken("it has no records".to_owned());
    }
    let gap = (1_u64..).zip(&facts.records).find(|(expected, record)| *expected != record.seq);
    Finding::of(gap.map(|(expected, record)| format!("record {expected} is missing before {}", record.seq)))
}

fn rollback(facts: &Facts<'_>) -> Finding {
    let is_dropped =
        matches!(facts.status(), "rejected" | "cancelled") && facts.moves_to("implementing").next().is_none();
    if !matches!(facts.risk, "high" | "critical") || facts.status() == "draft" || is_dropped {
        return Finding::Silent;
    }
    Finding::of(
        (!facts.has_rollback_plan)
            .then(|| format!("its risk is {}, and it has no rollback plan", facts.risk)),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A change of these fields and records, each `type [from>to] [who] [words]`; what one control finds.
    fn check(control: &str, fields: Json, records: &[&str], expected: Result<bool, &str>) {
        let trail: Vec<Json> = (1_u64..).zip(records).filter_map(|(seq, text)| record(seq, text)).collect();
        let mut facts = json!({"changeId": "CHG-1", "requestor": "eve@example.com", "type": "normal", "riskLevel": "low"});
        for (name, value) in fields.as_object().expect("fields") {
            facts[name] = value.clone();
        }
        facts["audit"] = json!(trail);
        let facts = Facts::read(&facts).expect("it is a change");
        let place = IN_ALL.iter().position(|one| one.word == control).expect("there is such a control");
        let found = find(&facts, &|begun| begun.whole.get("frozen").is_some());
        let found = match &found[place] {
            Finding::Silent => Ok(false),
            Finding::Kept => Ok(true),
            Finding::Broken(reason) => Err(reason.as_str()),
        };
        assert_eq!(found, expected, "{control}: {records:?}");
    }

    fn record(seq: u64, text: &str) -> Option<Json> {
        let mut record =
            json!({"seq": seq, "time": "2026-11-28T10:00:00.000Z", "who": "local", "policyVersion": 1});
        let mut words = text.split(' ');
        match words.next()? {
            "gap" => return None,
            "broken" => return Some(json!({"seq": seq})),
            kind => record["type"] = json!(kind),
        }
        for word in words {
            match word.split_once('>') {
                Some((from, to)) => (record["from"], record["to"]) = (json!(from), json!(to)),
                None if word == "justified" || word == "frozen" => record[word] = json!(true),
                None => record["who"] = json!(word),
            }
        }
        Some(record)
    }

    #[test]
    fn nobody_approves_their_own() {
        let duties = "segregation_of_duties";
        check(duties, json!({}), &["created eve@example.com"], Ok(false));
        check(duties, json!({}), &["approved alice.chen"], Ok(true));
        check(duties, json!({}), &["rejected eve"], Ok(false));
        let own = "Eve approved a change that eve@example.com asked for";
        check(duties, json!({}), &["approved alice.chen", "approved Eve"], Err(own));
        check(duties, json!({}), &["EMERGENCY_OVERRIDE Eve"], Err(own));
        check(duties, json!({}), &["EMERGENCY_OVERRIDE evelyn"], Ok(true));
    }

    #[test]
    fn implementation_is_authorised_before() {
        let authorised = "authorised_before_implementation";
        let (assessed, approved) =
            ("risk_assessed submitted>assessing", "approved assessing>approved alice.chen");
        let begun = "state_change scheduled>implementing";
        check(authorised, json!({}), &["created", assessed, approved], Ok(false));
        check(authorised, json!({}), &["created", assessed, approved, begun], Ok(true));
        check(authorised, json!({}), &["created", "EMERGENCY_OVERRIDE submitted>approved", begun], Ok(true));
        check(
            authorised,
            json!({}),
            &[approved, begun],
            Err("it was implemented without an assessment (record 2)"),
        );
        check(
            authorised,
            json!({}),
            &[assessed, "approved alice.chen", begun],
            Err("it was implemented without approvals (record 3)"),
        );
        check(
            authorised,
            json!({}),
            &[assessed, begun, approved, "EMERGENCY_OVERRIDE"],
            Err("it was implemented without approvals (record 2)"),
        );
    }

    #[test]
    fn emergencies_are_reviewed() {
        let reviewed = "emergencies_reviewed";
        let emergency = || json!({"type": "emergency"});
        let done = "implemented implementing>review";
        check(reviewed, json!({}), &[done], Ok(false));
        check(reviewed, emergency(), &["state_change approved>implementing"], Ok(false));
        check(reviewed, emergency(), &[done, "reviewed", "closed review>closed"], Ok(true));
        let open = "it was implemented (record 1) and has not been reviewed";
        check(reviewed, emergency(), &[done], Err(open));
        let open = "it was implemented (record 2) and has not been reviewed";
        check(reviewed, json!({}), &["EMERGENCY_OVERRIDE submitted>approved", done], Err(open));
    }

    #[test]
    fn freezes_are_respected() {
        let freezes = "freezes_respected";
        let (begun, frozen) =
            ("state_change scheduled>implementing", "state_change scheduled>implementing frozen");
        check(freezes, json!({}), &["created frozen"], Ok(false));
        check(freezes, json!({}), &["scheduled approved>scheduled", begun], Ok(true));
        check(freezes, json!({}), &["scheduled approved>scheduled justified", frozen], Ok(true));
        check(freezes, json!({}), &["EMERGENCY_OVERRIDE submitted>approved", frozen], Ok(true));
        check(freezes, json!({}), &["EMERGENCY_OVERRIDE", "scheduled approved>scheduled", frozen], Ok(true));
        let broken = "it was implemented in a freeze at 2026-11-28T10:00:00.000Z (record 2)";
        check(freezes, json!({}), &["scheduled approved>scheduled", frozen], Err(broken));
        check(freezes, json!({}), &["created", frozen, "EMERGENCY_OVERRIDE"], Err(broken));
        let again = "it was implemented in a freeze at 2026-11-28T10:00:00.000Z (record 4)";
        let unjustified =
            ["scheduled justified", "unscheduled scheduled>approved", "scheduled approved>scheduled", frozen];
        check(freezes, json!({}), &unjustified, Err(again));
    }

    #[test]
    fn trails_have_no_gap() {
        let complete = "audit_complete";
        check(complete, json!({}), &["created", "submitted draft>submitted"], Ok(true));
        check(complete, json!({}), &["created", "gap", "closed"], Err("record 2 is missing before 3"));
        check(complete, json!({}), &["gap", "created"], Err("record 1 is missing before 2"));
        check(complete, json!({}), &[], Err("it has no records"));
        check(complete, json!({}), &["created", "broken"], Err("1 entries of its trail are no records"));
    }

    #[test]
    fn risky_changes_have_a_way_back() {
        let rollback = "rollback_planned";
        let risky = |level: &str, plan: &str| json!({"riskLevel": level, "rollbackPlan": plan});
        let submitted = ["created", "submitted draft>submitted"];
        check(rollback, risky("medium", ""), &submitted, Ok(false));
        check(rollback, risky("high", "back"), &submitted, Ok(true));
        check(rollback, risky("high", " "), &submitted, Err("its risk is high, and it has no rollback plan"));
        check(
            rollback,
            json!({"riskLevel": "critical"}),
            &submitted,
            Err("its risk is critical, and it has no rollback plan"),
        );
        check(rollback, json!({"riskLevel": "critical"}), &["created"], Ok(false));
        let dropped = ["created", "submitted draft>submitted", "cancelled submitted>cancelled"];
        check(rollback, json!({"riskLevel": "critical"}), &dropped, Ok(false));
        let too_late = [
            "submitted draft>submitted",
            "state_change scheduled>implementing",
            "cancelled implementing>cancelled",
        ];
        check(rollback, risky("high", ""), &too_late, Err("its risk is high, and it has no rollback plan"));
    }

    #[test]
    fn every_framework_has_controls() {
        for framework in [Framework::Sox, Framework::PciDss, Framework::Gdpr] {
            assert!(IN_ALL.iter().any(|control| control.frameworks.contains(&framework)), "{framework:?}");
        }
    }
}
