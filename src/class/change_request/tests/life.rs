//! One change from its beginning to its end: results, trail and status to the letter.

use expect_test::{Expect, expect};

use super::*;

/// One JSON a line.
fn check(found: &[Json], expected: Expect) {
    let lines: Vec<String> = found.iter().map(Json::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

/// A change that was made as it should be, and what each call gave.
fn lived() -> (Trial, Vec<Json>) {
    let mut trial = Trial::new();
    let mut results = vec![
        trial.call("create", created("normal")).unwrap(),
        trial.call("assess", json!({ "factors": { "complexity": "high", "mood": 3 } })).unwrap(),
        trial.decide("alice.chen", "approved").unwrap(),
        trial.decide("bob.williams", "approved").unwrap(),
        trial.schedule(WINDOW).unwrap(),
    ];
    trial.object.set_now(at(WINDOW.0));
    results.extend(["implementing", "review", "closed"].map(|to| trial.transition(to).unwrap()));
    results.push(trial.call("comment", json!({ "comment": "Well done", "author": "dana" })).unwrap());
    (trial, results)
}

#[test]
fn what_each_call_gives() {
    let (_, results) = lived();
    check(
        &results,
        expect![[r#"
        {"changeId":"CHG-20261012-AAAAAA","estimatedApprovalTime":"24 hours","nextSteps":"Assess its risk with assess_risk; 2 approvals are needed, with approve_change, from: alice.chen, bob.williams, carol.davis, david.rodriguez","priority":"medium","riskLevel":"medium","riskScore":45,"status":"submitted","success":true}
        {"assessment":{"assessedAt":"2026-10-12T10:00:00.000Z","assessedBy":"operator","changeId":"CHG-20261012-AAAAAA","considered":{"complexity":"high","mood":3},"factors":{"business":0,"compliance":0,"security":0,"technical":35},"id":"RISK-WWOHVT","level":"medium","mitigations":["Write a rollback plan and try it before the change","Back up the systems affected and check that the backup can be read"],"overallScore":45,"reasons":["Every change begins at 10","Systems affected: 3 (+35)"],"recommendations":["Have it looked at by a second person before it is made","Split it into smaller changes, or review it step by step (complexity: high)"]},"success":true}
        {"approval":{"approverId":"alice.chen","approverName":"Alice Chen","changeId":"CHG-20261012-AAAAAA","comments":"because","decision":"approved","id":"APP-JZ8FNN","round":1,"slaCompliant":true,"timestamp":"2026-10-12T10:00:00.000Z"},"approvalsReceived":1,"approvalsRequired":2,"changeId":"CHG-20261012-AAAAAA","nextSteps":"1 approval more is needed, with approve_change, from: bob.williams, carol.davis, david.rodriguez","status":"assessing","success":true}
        {"approval":{"approverId":"bob.williams","approverName":"Bob Williams","changeId":"CHG-20261012-AAAAAA","comments":"because","decision":"approved","id":"APP-WF6MZ3","round":1,"slaCompliant":true,"timestamp":"2026-10-12T10:00:00.000Z"},"approvalsReceived":2,"approvalsRequired":2,"changeId":"CHG-20261012-AAAAAA","nextSteps":"Give it a time with schedule_change","status":"approved","success":true}
        {"changeId":"CHG-20261012-AAAAAA","conflicts":[],"scheduleId":"SCHED-ABC123","status":"scheduled","success":true,"window":{"end":"2026-10-13T06:00:00.000Z","start":"2026-10-13T02:00:00.000Z"}}
        {"changeId":"CHG-20261012-AAAAAA","from":"scheduled","openMoves":["review","failed","cancelled"],"status":"implementing","success":true}
        {"changeId":"CHG-20261012-AAAAAA","from":"implementing","openMoves":["closed"],"status":"review","success":true}
        {"changeId":"CHG-20261012-AAAAAA","from":"review","openMoves":[],"status":"closed","success":true}
        {"changeId":"CHG-20261012-AAAAAA","comment":{"author":"dana","id":"0000000001","text":"Well done","timestamp":"2026-10-13T02:00:00.000Z"},"success":true}"#]],
    );
}

#[test]
fn what_the_trail_says() {
    let (trial, _) = lived();
    check(
        &trial.trail,
        expect![[r#"
        {"policyVersion":7,"requestId":"request-1","seq":1,"subject":"operator","time":"2026-10-12T10:00:00.000Z","type":"created","who":"admin@company.com"}
        {"from":"draft","policyVersion":7,"requestId":"request-1","seq":2,"subject":"operator","time":"2026-10-12T10:00:00.000Z","to":"submitted","type":"submitted","who":"admin@company.com"}
        {"from":"submitted","policyVersion":7,"requestId":"request-1","seq":3,"subject":"operator","time":"2026-10-12T10:00:00.000Z","to":"assessing","type":"state_change","who":"operator"}
        {"assessmentId":"RISK-WWOHVT","level":"medium","policyVersion":7,"requestId":"request-1","round":1,"score":45,"seq":4,"subject":"operator","time":"2026-10-12T10:00:00.000Z","type":"risk_assessed","who":"operator"}
        {"approvalId":"APP-JZ8FNN","approvalsReceived":1,"approvalsRequired":2,"policyVersion":7,"reason":"because","requestId":"request-1","round":1,"seq":5,"slaCompliant":true,"subject":"operator","time":"2026-10-12T10:00:00.000Z","type":"approved","who":"alice.chen"}
        {"approvalId":"APP-WF6MZ3","approvalsReceived":2,"approvalsRequired":2,"from":"assessing","policyVersion":7,"reason":"because","requestId":"request-1","round":1,"seq":6,"slaCompliant":true,"subject":"operator","time":"2026-10-12T10:00:00.000Z","to":"approved","type":"approved","who":"bob.williams"}
        {"from":"approved","justified":false,"policyVersion":7,"requestId":"request-1","scheduleId":"SCHED-ABC123","scheduledEnd":"2026-10-13T06:00:00.000Z","scheduledStart":"2026-10-13T02:00:00.000Z","seq":7,"subject":"operator","time":"2026-10-12T10:00:00.000Z","to":"scheduled","type":"scheduled","who":"operator"}
        {"approvalsReceived":2,"approvalsRequired":2,"assessed":true,"blockers":{},"freeze":null,"from":"scheduled","justified":false,"override":false,"policyVersion":7,"reason":"because","requestId":"request-1","seq":8,"subject":"operator","time":"2026-10-13T02:00:00.000Z","to":"implementing","type":"state_change","who":"operator"}
        {"from":"implementing","policyVersion":7,"reason":"because","requestId":"request-1","seq":9,"subject":"operator","time":"2026-10-13T02:00:00.000Z","to":"review","type":"implemented","who":"operator"}
        {"policyVersion":7,"reason":"because","requestId":"request-1","seq":10,"subject":"operator","time":"2026-10-13T02:00:00.000Z","type":"reviewed","who":"operator"}
        {"from":"review","policyVersion":7,"reason":"because","requestId":"request-1","seq":11,"subject":"operator","time":"2026-10-13T02:00:00.000Z","to":"closed","type":"closed","who":"operator"}
        {"commentId":"0000000001","policyVersion":7,"requestId":"request-1","seq":12,"subject":"operator","time":"2026-10-13T02:00:00.000Z","type":"comment_added","who":"dana"}"#]],
    );
}

#[test]
fn what_is_asked_of_it() {
    let (mut trial, results) = lived();
    let mut status = trial.object.ask("status", json!({})).unwrap();
    assert_eq!(status["audit"], json!(trial.trail));
    assert_eq!(status["approvals"], json!([results[2]["approval"], results[3]["approval"]]));
    assert_eq!(status["assessments"], json!([results[1]["assessment"]]));
    for shown in ["audit", "approvals", "assessments"] {
        status[shown].take();
    }
    let summary = trial.object.ask("summary", json!({})).unwrap();
    let comment = trial.object.get("comments/0000000001").unwrap().unwrap();
    check(
        &[status, summary, comment],
        expect![[r#"
        {"affectedSystems":["a","b","c"],"approvals":null,"approvalsReceived":2,"approvalsRequired":2,"assessed":true,"assessments":null,"audit":null,"changeId":"CHG-20261012-AAAAAA","createdAt":"2026-10-12T10:00:00.000Z","description":"The tables are moved","environment":"production","implementationPlan":"Move them","openMoves":[],"override":null,"policyVersion":7,"priority":"medium","requestor":"admin@company.com","riskLevel":"medium","riskScore":45,"rollbackPlan":"Move them back","round":1,"schedule":{"conflicts":[],"day":"2026-10-13","justified":false,"scheduleId":"SCHED-ABC123","scheduledEnd":"2026-10-13T06:00:00.000Z","scheduledStart":"2026-10-13T02:00:00.000Z","window":{"end":"2026-10-13T06:00:00.000Z","start":"2026-10-13T02:00:00.000Z"}},"sla":{"breached":false,"deadline":"2026-10-13T10:00:00.000Z","decidedAt":"2026-10-12T10:00:00.000Z"},"status":"closed","submittedAt":"2026-10-12T10:00:00.000Z","success":true,"title":"Change","type":"normal","updatedAt":"2026-10-13T02:00:00.000Z"}
        {"changeId":"CHG-20261012-AAAAAA","createdAt":"2026-10-12T10:00:00.000Z","priority":"medium","requestor":"admin@company.com","riskLevel":"medium","riskScore":45,"status":"closed","title":"Change","type":"normal"}
        {"author":"dana","id":"0000000001","text":"Well done","timestamp":"2026-10-13T02:00:00.000Z"}"#]],
    );
}

#[test]
fn an_override_s_result() {
    let mut trial = Trial::submitted("normal");
    let result = trial.authorize("alice.chen").unwrap();
    assert_eq!(
        trial.refused("override", json!({ "justification": "again", "authorizedBy": "bob.williams" })),
        "An override by alice.chen stands already, since 2026-10-12T10:00:00.000Z"
    );
    check(
        &[result, json!(trial.change().overridden)],
        expect![[r#"
        {"changeId":"CHG-20261012-AAAAAA","reviewDue":"2026-10-15T10:00:00.000Z","status":"approved","success":true,"type":"emergency"}
        {"authorizedAt":"2026-10-12T10:00:00.000Z","authorizedBy":"alice.chen","from":"submitted","justification":"it burns","reviewDue":"2026-10-15T10:00:00.000Z"}"#]],
    );
}
