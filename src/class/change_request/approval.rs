//! Who decides on a change, and how many approvals it takes.

use serde::{Deserialize, Serialize};

use crate::object::{Refusal, Timestamp};

use super::policy::Approver;
use super::{Decision, Kind, Level, Policy};

/// Approvals that an emergency takes, whatever its risk.
pub const EMERGENCY_APPROVALS: u32 = 2;

/// One decision of one approver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// `APP-` and six characters.
    pub id: String,
    /// The change.
    pub change_id: String,
    /// Who decided.
    pub approver_id: String,
    /// His name.
    pub approver_name: String,
    /// What he decided.
    pub decision: Decision,
    /// What he said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comments: Option<String>,
    /// When.
    pub timestamp: Timestamp,
    /// Whether that was before the deadline.
    pub sla_compliant: bool,
    /// The round it counts in.
    pub round: u32,
}

/// Whether an approver is the requestor: the requestor is his id, or his id and `@` and more, case aside.
#[must_use]
pub fn is_own(approver_id: &str, requestor: &str) -> bool {
    let (id, requestor) = (approver_id.to_lowercase(), requestor.trim().to_lowercase());
    requestor.strip_prefix(&id).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}

/// Approvals that a change needs: what its level asks for, at most as many as there are who may give them; for an
/// emergency two, even where fewer are left.
#[must_use]
pub fn required(policy: &Policy, kind: Kind, level: Level, requestor: &str) -> u32 {
    if kind == Kind::Emergency {
        return EMERGENCY_APPROVALS;
    }
    let may = |approver: &&Approver| approver.may_approve(kind) && !is_own(&approver.id, requestor);
    let able = u32::try_from(policy.approvers.iter().filter(may).count()).unwrap_or(u32::MAX);
    // Where nobody is left, nobody can approve it; that must not mean that nobody has to.
    policy.approvals_required.of(level).min(able).max(1)
}

/// Approvals that count: given in this round by those who may still give them.
#[must_use]
pub fn received(policy: &Policy, kind: Kind, approvals: &[Approval], round: u32) -> u32 {
    let counts = |approval: &&Approval| {
        let approver = policy.approver(&approval.approver_id);
        approval.round == round
            && approval.decision == Decision::Approved
            && approver.is_some_and(|approver| approver.may_approve(kind))
    };
    u32::try_from(approvals.iter().filter(counts).count()).unwrap_or(u32::MAX)
}

/// The approver of that id, who may decide on that change.
///
/// # Errors
/// [`Refusal::InvalidParameters`]: he is not one, not for such changes, or asked for it himself.
pub fn approver<'a>(
    policy: &'a Policy,
    id: &str,
    kind: Kind,
    requestor: &str,
) -> Result<&'a Approver, Refusal> {
    let found = policy.approver(id).ok_or_else(|| Refusal::invalid(format!("Approver {id} not found")))?;
    if !found.may_approve(kind) {
        return Err(Refusal::invalid(format!(
            "Approver {id} does not have permission to approve this change type"
        )));
    }
    if is_own(id, requestor) {
        return Err(Refusal::invalid(format!("Approver {id} cannot approve their own request")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::change_request::Word;

    #[test]
    fn who_is_the_requestor() {
        for (id, requestor, expected) in [
            ("alice.chen", "alice.chen", true),
            ("alice.chen", "Alice.Chen", true),
            ("ALICE.chen", "alice.CHEN@example.com", true),
            ("alice.chen", "alice.chen@", true),
            ("alice.chen", " alice.chen ", true),
            ("alice.chen", "alice.chen2", false),
            ("alice.chen", "alice.chen.jr@example.com", false),
            ("alice.chen", "bob@alice.chen", false),
            ("alice.chen", "alice", false),
            ("alice@a.com", "alice@a.com", true),
            ("alice@a.com", "alice@b.com", false),
            ("élodie", "ÉLODIE@example.com", true),
        ] {
            assert_eq!(is_own(id, requestor), expected, "{id} {requestor}");
        }
    }

    #[test]
    fn approvals_needed() {
        let policy = Policy::default();
        let check = |kind: Kind, requestor: &str, expected: [u32; 4]| {
            let found = Level::ALL.iter().map(|level| required(&policy, kind, *level, requestor));
            assert_eq!(found.collect::<Vec<_>>(), expected, "{kind} by {requestor}");
        };
        for kind in [Kind::Standard, Kind::Normal, Kind::Major] {
            check(kind, "admin@company.com", [1, 2, 3, 4]);
            check(kind, "carol.davis@company.com", [1, 2, 3, 3]);
        }
        check(Kind::Emergency, "admin@company.com", [2, 2, 2, 2]);
        check(Kind::Emergency, "alice.chen", [2, 2, 2, 2]);
    }

    #[test]
    fn where_nobody_is_left_one_is_still_needed() {
        let mut policy = Policy::default();
        for (index, approver) in policy.approvers.iter_mut().enumerate() {
            approver.id = "alice".to_owned() + ["", "@a", "@a@b", "@a@b@c"][index];
        }
        assert_eq!(policy.validate(), Ok(()));
        assert_eq!(required(&policy, Kind::Normal, Level::Critical, "alice@a@b@c"), 1);
    }

    #[test]
    fn who_may_decide() {
        let check = |id: &str, kind: Kind, requestor: &str, expected: Result<&str, &str>| {
            let policy = Policy::default();
            let found = approver(&policy, id, kind, requestor).map(|found| found.name.as_str());
            assert_eq!(found, expected.map_err(Refusal::invalid), "{id} {kind} {requestor}");
        };
        check("alice.chen", Kind::Emergency, "x", Ok("Alice Chen"));
        check("carol.davis", Kind::Major, "x", Ok("Carol Davis"));
        check("nobody", Kind::Normal, "x", Err("Approver nobody not found"));
        check("Alice.Chen", Kind::Normal, "x", Err("Approver Alice.Chen not found"));
        check(
            "carol.davis",
            Kind::Emergency,
            "carol.davis",
            Err("Approver carol.davis does not have permission to approve this change type"),
        );
        check(
            "alice.chen",
            Kind::Normal,
            "ALICE.CHEN@company.com",
            Err("Approver alice.chen cannot approve their own request"),
        );
    }

    #[test]
    fn only_this_rounds_approvals_of_who_may_give_them_count() {
        let approval = |approver: &str, decision: Decision, round: u32| Approval {
            id: "APP-000000".to_owned(),
            change_id: "CHG".to_owned(),
            approver_id: approver.to_owned(),
            approver_name: String::new(),
            decision,
            comments: None,
            timestamp: Timestamp(0),
            sla_compliant: true,
            round,
        };
        let approvals = [
            approval("alice.chen", Decision::Approved, 1),
            approval("bob.williams", Decision::NeedsInfo, 1),
            approval("alice.chen", Decision::Approved, 2),
            approval("carol.davis", Decision::Approved, 2),
            approval("gone", Decision::Approved, 2),
        ];
        let policy = Policy::default();
        assert_eq!(received(&policy, Kind::Normal, &approvals, 1), 1);
        assert_eq!(received(&policy, Kind::Normal, &approvals, 2), 2);
        assert_eq!(received(&policy, Kind::Emergency, &approvals, 2), 1);
        assert_eq!(received(&policy, Kind::Normal, &approvals, 3), 0);
        assert_eq!(Decision::ALL.len(), 3);
    }
}
