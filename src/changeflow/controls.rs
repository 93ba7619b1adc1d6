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
