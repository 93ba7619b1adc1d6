//! The compliance report: digests of changes added up. Pure.
//!
//! Memory is bounded whatever is added: counts, and lists that stop at [`limits::REPORT_LISTED_MAX`] and say how
//! many there are.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::limits;
use crate::object::Timestamp;

use super::controls::{Control, Finding, IN_ALL};
use super::digest::Digest;
use super::vocabulary::{Framework, Word as _};

/// Times between which something happened; the end is excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Between {
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
}

impl Between {
    pub(super) fn holds(&self, time: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time < end)
    }
}

/// Items, as many as are shown, and how many there are.
#[derive(Debug, Default)]
struct Shown {
    items: Vec<Json>,
    count: u64,
}

impl Shown {
    fn add(&mut self, item: impl FnOnce() -> Json) {
        self.count += 1;
        if self.items.len() < limits::REPORT_LISTED_MAX {
            self.items.push(item());
        }
    }
}

/// A mean, or nothing where nothing was added.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// A part of a whole, or nothing where there is no whole.
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What controls found.
#[derive(Debug, Default)]
struct Found {
    evidence: Shown,
    violations: Shown,
}

/// Everything that is added up of changes: for the report and for the dashboard.
#[derive(Debug, Default)]
pub(super) struct Sums {
    total: u64,
    by_state: BTreeMap<String, u64>,
    by_type: BTreeMap<String, u64>,
    by_risk: BTreeMap<String, u64>,
    by_environment: BTreeMap<String, u64>,
    emergencies: Shown,
    failures: Shown,
    closed: u64,
    lead_hours: Mean,
    approval_minutes: Mean,
    approvals: u64,
    rejections: u64,
    decided: u64,
    decided_in_time: u64,
    finished: u64,
    foreseen: u64,
    active: u64,
    pending: u64,
    controls: [Found; IN_ALL.len()],
}

impl Sums {
    /// Adds a change.
    pub(super) fn add(&mut self, change: &Digest) {
        self.total += 1;
        for (counts, word) in [
            (&mut self.by_state, Some(&change.status)),
            (&mut self.by_type, Some(&change.kind)),
            (&mut self.by_risk, Some(&change.risk)),
            (&mut self.by_environment, change.environment.as_ref()),
        ] {
            let Some(word) = word else { continue };
            // Environments are anybody's words: those beyond the bound are counted together.
            let is_known = counts.contains_key(word) || counts.len() < limits::REPORT_LISTED_MAX;
            *counts.entry(if is_known { word.clone() } else { "other".to_owned() }).or_default() += 1;
        }
        if change.is_emergency {
            self.emergencies.add(|| json!(change.id));
        }
        if change.has_failed && change.closed.is_none() {
            self.failures.add(|| json!(change.id));
        }
        if let Some(closed) = change.closed {
            self.closed += 1;
            self.lead_hours.add(closed.since_ms(change.created) as f64 / 3_600_000.0);
        }
        if let Some(ms) = change.approval_ms {
            self.approval_minutes.add(ms as f64 / 60_000.0);
        }
        self.approvals += u64::from(change.approvals);
        self.rejections += u64::from(change.rejections);
        if let Some(in_time) = change.decided_in_time {
            self.decided += 1;
            self.decided_in_time += u64::from(in_time);
        }
        if change.is_finished() {
            self.finished += 1;
            let was_risky = matches!(change.risk.as_str(), "high" | "critical");
            self.foreseen += u64::from(change.has_failed == was_risky);
        }
        self.active +=
            u64::from(!matches!(change.status.as_str(), "draft" | "rejected" | "closed" | "cancelled"));
        self.pending += u64::from(matches!(change.status.as_str(), "submitted" | "assessing" | "needs_info"));
        for (found, finding) in self.controls.iter_mut().zip(&change.findings) {
            match finding {
                Finding::Silent => {}
                Finding::Kept => found.evidence.add(|| json!(change.id)),
                Finding::Broken(reason) => {
                    found.violations.add(|| json!({ "changeId": change.id, "reason": reason }));
                }
            }
        }
    }

    /// The report.
    pub(super) fn report(&self, framework: Framework, period: Json, stopped_at: Option<&str>) -> Json {
        let controls: Vec<Json> =
            self.controls_of(framework).map(|(of, control, found)| shown(of, control, found)).collect();
        let mut report = json!({
            "success": true,
            "period": period,
            "totalChanges": self.total,
            "byState": self.by_state,
            "byType": self.by_type,
            "byRisk": self.by_risk,
            "byEnvironment": self.by_environment,
            "emergencyChanges": self.emergencies.items,
            "emergencyCount": self.emergencies.count,
            "failedChanges": self.failures.items,
            "failedCount": self.failures.count,
            "controls": controls,
            "metrics": {
                "averageLeadTime": self.lead_hours.value(),
                "successRate": self.success_rate(),
                "emergencyRate": ratio(self.emergencies.count, self.total),
                "cabApprovalRate": ratio(self.approvals, self.approvals + self.rejections),
            },
            "auditScore": self.audit_score(framework),
        });
        if let (Some(at), Some(report)) = (stopped_at, report.as_object_mut()) {
            report.insert("stoppedAt".to_owned(), json!(at));
        }
        report
    }

    /// The dashboard's figures of changes and of compliance.
    pub(super) fn dashboard(&self) -> (Json, Json) {
        let changes = json!({
            "active": self.active,
            "pendingApprovals": self.pending,
            "avgApprovalTime": self.approval_minutes.value(),
            "successRate": self.success_rate(),
        });
        let compliance = json!({
            // Of no change nothing was measured.
            "auditScore": if self.total > 0 { self.audit_score(Framework::All) } else { None },
            "slaCompliance": ratio(self.decided_in_time, self.decided),
            "riskAccuracy": ratio(self.foreseen, self.finished),
        });
        (changes, compliance)
    }

    fn success_rate(&self) -> Option<f64> {
        ratio(self.closed, self.closed + self.failures.count)
    }

    fn audit_score(&self, framework: Framework) -> Option<f64> {
        let (passed, all) = self.controls_of(framework).fold((0, 0), |(passed, all), (.., found)| {
            (passed + u64::from(found.violations.count == 0), all + 1)
        });
        ratio(100 * passed, all)
    }

    /// The controls of a framework, or of each, with what they found.
    fn controls_of(
        &self,
        framework: Framework,
    ) -> impl Iterator<Item = (Framework, &'static Control, &Found)> {
        let frameworks = match framework {
            Framework::All => &[Framework::Sox, Framework::PciDss, Framework::Gdpr][..],
            Framework::Sox => &[Framework::Sox],
            Framework::PciDss => &[Framework::PciDss],
            Framework::Gdpr => &[Framework::Gdpr],
        };
        frameworks.iter().flat_map(|of| {
            let all = IN_ALL.iter().zip(&self.controls);
            all.filter(|(control, _)| control.frameworks.contains(of))
                .map(|(control, found)| (*of, control, found))
        })
    }
}

fn shown(framework: Framework, control: &Control, found: &Found) -> Json {
    json!({
        "id": format!("{}.{}", framework.text(), control.word),
        "framework": framework.text(),
        "name": control.name,
        "passed": found.violations.count == 0,
        "evidence": found.evidence.items,
        "evidenceCount": found.evidence.count,
        "violations": found.violations.items,
        "violationCount": found.violations.count,
    })
}

#[cfg(test)]
mod tests {
    use super::super::facts::Facts;
    use super::*;

    /// A change whose records are `minute type [from>to]`, from a beginning on.
    fn change(id: &str, fields: Json, records: &[&str]) -> Digest {
        let trail = (1_u64..).zip(records).map(|(seq, text)| {
            let mut words = text.split(' ');
            let minute: u64 = words.next().and_then(|word| word.parse().ok()).expect("a minute");
            let time = Timestamp(1_795_824_000_000).plus_ms(minute * 60_000);
            let mut record = json!({"seq": seq, "time": time, "type": words.next(), "who": "alice.chen"});
            if let Some((from, to)) = words.next().and_then(|word| word.split_once('>')) {
                (record["from"], record["to"]) = (json!(from), json!(to));
            }
            if let Some(word) = words.next() {
                record["slaCompliant"] = json!(word == "in-time");
            }
            record
        });
        let mut facts = json!({"changeId": id, "requestor": "eve", "type": "normal", "riskLevel": "low",
            "audit": trail.collect::<Vec<_>>()});
        for (name, value) in fields.as_object().expect("fields") {
            facts[name] = value.clone();
        }
        Digest::of(&Facts::read(&facts).expect("it is a change"), &|_| false)
    }

    const APPROVED: [&str; 4] = [
        "0 created",
        "0 submitted draft>submitted",
        "1 risk_assessed submitted>assessing",
        "31 approved assessing>approved in-time",
    ];

    fn approved(more: &[&'static str]) -> Vec<&'static str> {
        [&APPROVED[..], more].concat()
    }

    fn company() -> Sums {
        let closed = approved(&[
            "40 scheduled approved>scheduled",
            "50 state_change scheduled>implementing",
            "60 implemented implementing>review",
            "120 reviewed",
            "120 closed review>closed",
        ]);
        let failed = approved(&[
            "40 scheduled approved>scheduled",
            "50 state_change scheduled>implementing",
            "60 rollback_initiated implementing>failed",
        ]);
        let rejected = [
            "0 created",
            "0 submitted draft>submitted",
            "1 risk_assessed submitted>assessing",
            "90 sla_breach",
            "91 rejected assessing>rejected late",
        ];
        let overridden =
            ["0 created", "0 submitted draft>submitted", "2 EMERGENCY_OVERRIDE submitted>approved"];
        let mut sums = Sums::default();
        for digest in [
            change("CHG-A", json!({"environment": "production"}), &closed),
            change(
                "CHG-B",
                json!({"riskLevel": "high", "rollbackPlan": "back", "environment": "staging"}),
                &failed,
            ),
            change("CHG-C", json!({"environment": "production"}), &rejected),
            change("CHG-D", json!({"type": "emergency"}), &overridden),
            change("CHG-E", json!({}), &["0 created"]),
            change("CHG-F", json!({}), &["0 created", "5 submitted draft>submitted"]),
        ] {
            sums.add(&digest);
        }
        sums
    }

    #[test]
    fn a_report_adds_up() {
        let report = company().report(Framework::Sox, json!({"start": null, "end": null}), None);
        let text = serde_json::to_string_pretty(&report).expect("JSON");
        expect_test::expect_file!["./report.json"].assert_eq(&text);
    }

    #[test]
    fn a_dashboard_adds_up() {
        let (changes, compliance) = company().dashboard();
        assert_eq!(
            changes,
            json!({"active": 3, "pendingApprovals": 1, "avgApprovalTime": 31.0, "successRate": 0.5})
        );
        // Decided were A, B and C, of which C late; finished A and B, both as their risk foretold.
        assert_eq!(compliance, json!({"auditScore": 100.0, "slaCompliance": 2.0 / 3.0, "riskAccuracy": 1.0}));
    }

    #[test]
    fn of_nothing_nothing_is_measured() {
        let (changes, compliance) = Sums::default().dashboard();
        assert_eq!(
            changes,
            json!({"active": 0, "pendingApprovals": 0, "avgApprovalTime": null, "successRate": null})
        );
        assert_eq!(compliance, json!({"auditScore": null, "slaCompliance": null, "riskAccuracy": null}));
        let report = Sums::default().report(Framework::All, Json::Null, Some("CHG-9"));
        assert_eq!(report["metrics"]["emergencyRate"], Json::Null);
        assert_eq!(report["stoppedAt"], "CHG-9");
        assert_eq!(report["auditScore"], 100.0);
        assert_eq!(report["controls"].as_array().map(Vec::len), Some(13));
    }

    #[test]
    fn lists_are_bounded_and_counts_are_not() {
        let mut sums = Sums::default();
        let most = limits::REPORT_LISTED_MAX as u64;
        for number in 0..most + 5 {
            let environment = json!({"environment": format!("e{number}"), "type": "emergency"});
            sums.add(&change(&format!("CHG-{number}"), environment, &["0 created"]));
        }
        let report = sums.report(Framework::Gdpr, Json::Null, None);
        assert_eq!(report["emergencyChanges"].as_array().map(Vec::len), Some(limits::REPORT_LISTED_MAX));
        assert_eq!(report["emergencyCount"], most + 5);
        assert_eq!(report["byEnvironment"]["other"], 5);
        assert_eq!(report["controls"][1]["evidenceCount"], most + 5);
    }
}
