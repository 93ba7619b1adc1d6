//! Change management over REST, against real processes: every route, every refusal to the letter.

mod company;
mod racing;
mod reports;

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Answer, Members, Node, Socket, eventually};

/// A policy under which a change can be scheduled and implemented at any time: no freezes, windows that never close, in
/// a time zone in which it is about noon, so that no test meets midnight.
pub(crate) fn open_policy(shipped: &Value) -> Value {
    let hour = i64::try_from(now_ms() / 3_600_000 % 24).expect("an hour");
    let zone = match 12 - hour {
        0 => "UTC".to_owned(),
        ahead if ahead > 0 => format!("Etc/GMT-{ahead}"),
        behind => format!("Etc/GMT+{}", -behind),
    };
    let mut policy = shipped.clone();
    policy["time_zone"] = json!(zone);
    policy["freezes"] = json!([]);
    policy["quarter_end_days"] = json!(0);
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    policy["windows"] = json!([{"days": days, "from": "00:00", "to": "24:00", "min_approvals": 0}]);
    policy
}

/// Puts a policy under which everything can be done at any time.
pub(crate) async fn open_calendar(node: &Node, change: impl FnOnce(&mut Value)) {
    let shipped = node.get("/v1/changes/policy").await.expect(200).json();
    let mut policy = open_policy(&shipped);
    change(&mut policy);
    node.put("/v1/changes/policy", &policy).await.expect(200);
}

/// A working day at noon of the policy above, in months without a weight of their own.
fn working_hours() -> String {
    let hour = now_ms() / 3_600_000 % 24;
    format!("2027-06-15T{hour:02}:30:00Z")
}

pub(crate) fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test knows the time as its server does")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970");
    u64::try_from(since.as_millis()).expect("a time fits")
}

/// A time so many minutes from now, RFC 3339.
pub(crate) fn minutes_from_now(minutes: i64) -> String {
    let ms = i64::try_from(now_ms()).expect("a time fits") + minutes * 60_000;
    jiff::Timestamp::from_millisecond(ms).expect("a time").to_string()
}

pub(crate) fn text<'json>(json: &'json Value, name: &str) -> &'json str {
    json[name].as_str().unwrap_or_else(|| panic!("{name} of {json}"))
}

/// Creates a change; its id.
pub(crate) async fn create(node: &Node, fields: Value) -> String {
    let mut change = json!({"title": "Change", "description": "Something", "requestor": "eve@example.com"});
    for (name, value) in fields.as_object().expect("fields") {
        change[name] = value.clone();
    }
    let made = node.post("/v1/changes", &change).await.expect(201).json();
    text(&made, "changeId").to_owned()
}

/// Something done to a change, which has to work.
pub(crate) async fn act(node: &Node, id: &str, what: &str, arguments: Value) -> Value {
    node.post(&format!("/v1/changes/{id}/{what}"), &arguments).await.expect(200).json()
}

pub(crate) async fn status(node: &Node, id: &str) -> Value {
    node.get(&format!("/v1/changes/{id}")).await.expect(200).json()
}

/// A low-risk change that was approved.
pub(crate) async fn approved(node: &Node, fields: Value) -> String {
    let mut planned = json!({"implementationPlan": "step by step"});
    for (name, value) in fields.as_object().expect("fields") {
        planned[name] = value.clone();
    }
    let id = create(node, planned).await;
    act(node, &id, "assessments", json!({})).await;
    let approvers = ["alice.chen", "bob.williams", "carol.davis", "david.rodriguez"];
    for approver in approvers {
        let decided =
            act(node, &id, "decisions", json!({"approverId": approver, "decision": "approved"})).await;
        if decided["status"] == "approved" {
            return id;
        }
    }
    panic!("four approvals were not enough for {id}")
}

/// The next frame of a kind; others are passed over.
async fn until(socket: &mut Socket, is_it: impl Fn(&Value) -> bool) -> Value {
    loop {
        let frame = socket.json().await;
        if is_it(&frame) {
            return frame;
        }
    }
}

#[track_caller]
fn expect_refusal(answer: Answer, status: u16, detail: &str) {
    let code = match status {
        404 => "object_not_found",
        400 => "invalid_request",
        _ => "invalid_parameters",
    };
    let problem = answer.expect_problem(status, code).json();
    assert_eq!(problem["detail"], detail, "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_goes_its_way() {
    let node = Node::start();
    open_calendar(&node, |_| {}).await;
    let change = json!({
        "title": "Migrate on-premise database to AWS RDS",
        "description": "Move production Oracle database to cloud",
        "requestor": "eve@example.com",
        "impact": "high",
        "affectedSystems": ["erp", "crm", "billing"],
        "environment": "production",
        "implementationPlan": "dump, copy, switch",
        "rollbackPlan": "switch back",
        "plannedStart": working_hours(),
    });
    let answer = node.post("/v1/changes", &change).await.expect(201);
    let made = answer.json();
    let id = text(&made, "changeId").to_owned();
    assert_eq!(answer.header("location"), Some(&*format!("/v1/changes/{id}")));
    assert!(id.len() == 19 && id.starts_with("CHG-20"), "{id}");
    assert!(id[13..].bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()), "{id}");
    let told = (&made["success"], &made["status"], &made["priority"], &made["riskScore"], &made["riskLevel"]);
    assert_eq!(
        told,
        (&json!(true), &json!("submitted"), &json!("high"), &json!(85), &json!("high")),
        "{made}"
    );
    assert!(made["nextSteps"].is_string() && made["estimatedApprovalTime"].is_string(), "{made}");

    let assessed = act(&node, &id, "assessments", json!({"factors": {"complexity": "high"}})).await;
    assert_eq!(assessed["assessment"]["overallScore"], 85, "{assessed}");
    assert!(text(&assessed["assessment"], "id").starts_with("RISK-"));
    for (approver, expected) in
        [("alice.chen", "assessing"), ("bob.williams", "assessing"), ("carol.davis", "approved")]
    {
        let decided =
            act(&node, &id, "decisions", json!({"approverId": approver, "decision": "approved"})).await;
        assert_eq!(decided["status"], expected, "{decided}");
        assert!(text(&decided["approval"], "id").starts_with("APP-"));
    }
    let time = json!({"scheduledStart": minutes_from_now(-1), "scheduledEnd": minutes_from_now(30), "notificationContacts": ["ops"]});
    let scheduled = act(&node, &id, "schedule", time).await;
    assert_eq!(scheduled["status"], "scheduled", "{scheduled}");
    assert!(text(&scheduled, "scheduleId").starts_with("SCHED-") && scheduled["window"].is_object());
    let begun = act(&node, &id, "transitions", json!({"to": "implementing"})).await;
    assert_eq!((&begun["from"], &begun["status"]), (&json!("scheduled"), &json!("implementing")), "{begun}");
    act(&node, &id, "transitions", json!({"to": "review"})).await;
    let said = act(&node, &id, "comments", json!({"comment": "It went well", "author": "ops"})).await;
    assert_eq!(
        (&said["comment"]["author"], &said["comment"]["text"]),
        (&json!("ops"), &json!("It went well"))
    );
    let closed = act(&node, &id, "transitions", json!({"to": "closed"})).await;
    assert_eq!((&closed["status"], &closed["openMoves"]), (&json!("closed"), &json!([])));

    let shown = status(&node, &id).await;
    for (name, value) in
        change.as_object().expect("fields").iter().filter(|(name, _)| *name != "plannedStart")
    {
        assert_eq!(&shown[name], value, "{name} of {shown}");
    }
    assert_eq!((&shown["approvalsReceived"], &shown["approvalsRequired"]), (&json!(3), &json!(3)), "{shown}");
    let trail = node.get(&format!("/v1/changes/{id}/audit")).await.expect(200).json();
    assert_eq!(trail["cursor"], Value::Null);
    let types: Vec<&str> =
        trail["audit"].as_array().expect("a list").iter().map(|record| text(record, "type")).collect();
    assert_eq!(
        types,
        [
            "created",
            "submitted",
            "risk_assessed",
            "approved",
            "approved",
            "approved",
            "scheduled",
            "state_change",
            "implemented",
            "comment_added",
            "reviewed",
            "closed"
        ]
    );
    let page = node.get(&format!("/v1/changes/{id}/audit?limit=5")).await.expect(200).json();
    let cursor = text(&page, "cursor");
    let rest =
        node.get(&format!("/v1/changes/{id}/audit?limit=100&cursor={cursor}")).await.expect(200).json();
    let both = [
        page["audit"].as_array().expect("a list").clone(),
        rest["audit"].as_array().expect("a list").clone(),
    ];
    assert_eq!(json!(both.concat()), trail["audit"]);

    // The object itself can be read, and not written past its tools.
    let object = node.get(&format!("/v1/objects/change-request/{id}")).await.expect(200).json();
    assert_eq!(object["state"]["audit/0000000001"]["type"], "created");
    let past =
        node.put(&format!("/v1/objects/change-request/{id}/state/status"), &json!({"value": "draft"})).await;
    past.expect_problem(403, "forbidden");
    for class in ["change-calendar", "change-policy", "change-key", "metrics-day"] {
        node.get(&format!("/v1/objects/{class}")).await.expect_problem(404, "class_not_found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_to_the_letter() {
    let node = Node::start();
    let missing = "Missing required parameters: title, description, requestor";
    for body in [
        json!({}),
        json!({"title": "t", "description": "d"}),
        json!({"title": "t", "description": "d", "requestor": ""}),
        json!({"description": "d", "requestor": "r"}),
    ] {
        expect_refusal(node.post("/v1/changes", &body).await, 422, missing);
    }
    let unknown = "Change CHG-20000101-AAAAAA not found";
    for path in ["", "/audit"] {
        expect_refusal(node.get(&format!("/v1/changes/CHG-20000101-AAAAAA{path}")).await, 404, unknown);
    }
    for (what, body) in [
        ("decisions", json!({"approverId": "alice.chen", "decision": "approved"})),
        ("assessments", json!({})),
        ("schedule", json!({"scheduledStart": minutes_from_now(60), "scheduledEnd": minutes_from_now(90)})),
        ("transitions", json!({"to": "cancelled", "reason": "no"})),
        ("transitions", json!({"to": "implementing"})),
        ("override", json!({"justification": "j", "authorizedBy": "alice.chen"})),
        ("comments", json!({"comment": "c"})),
    ] {
        let answer = node.post(&format!("/v1/changes/CHG-20000101-AAAAAA/{what}"), &body).await;
        expect_refusal(answer, 404, unknown);
    }
    let answer = node.request("PATCH", "/v1/changes/CHG-20000101-AAAAAA", &[], b"{\"title\":\"t\"}").await;
    expect_refusal(answer, 404, unknown);

    let id = create(&node, json!({"type": "emergency", "requestor": "alice.chen@example.com"})).await;
    let tell = async |what: &str, body: Value, detail: &str| {
        expect_refusal(node.post(&format!("/v1/changes/{id}/{what}"), &body).await, 422, detail);
    };
    tell("decisions", json!({}), "Missing required parameters: changeId, approverId, decision").await;
    tell(
        "schedule",
        json!({"scheduledStart": ""}),
        "Missing required parameters: changeId, scheduledStart, scheduledEnd",
    )
    .await;
    tell("transitions", json!({}), "Missing required parameters: changeId, to").await;
    tell("override", json!({}), "Missing required parameters: changeId, justification, authorizedBy").await;
    tell("comments", json!({"comment": " "}), "Missing required parameters: changeId, comment").await;
    tell(
        "decisions",
        json!({"approverId": "a", "decision": "yes"}),
        "decision must be one of approved, rejected, needs_info; \"yes\" is none of them",
    )
    .await;
    act(&node, &id, "assessments", json!({})).await;
    let decide = |approver: &str| json!({"approverId": approver, "decision": "approved"});
    tell("decisions", decide("nobody"), "Approver nobody not found").await;
    tell(
        "decisions",
        decide("carol.davis"),
        "Approver carol.davis does not have permission to approve this change type",
    )
    .await;
    tell("decisions", decide("alice.chen"), "Approver alice.chen cannot approve their own request").await;
    let open = node.post(&format!("/v1/changes/{id}/transitions"), &json!({"to": "closed"})).await;
    let refused = open.expect_problem(422, "invalid_parameters").json();
    assert!(text(&refused, "detail").contains("cancelled"), "open moves are named: {refused}");
    let page = node.get("/v1/changes?cursor=nonsense").await;
    expect_refusal(
        page,
        400,
        "cursor must be one that an answer of list_changes gave; leave it out to begin",
    );
    node.get("/v1/changes?limit=0").await.expect_problem(400, "invalid_request");
    expect_refusal(
        node.get("/v1/changes?status=open").await,
        422,
        "status must be one of draft, submitted, assessing, needs_info, approved, rejected, scheduled, implementing, \
         failed, review, closed, cancelled; \"open\" is none of them",
    );
    expect_refusal(
        node.get("/v1/changes/report?start=2027-01-01T00:00:00Z&end=2026-01-01T00:00:00Z").await,
        422,
        "period.end must come after period.start",
    );
    node.request("POST", "/v1/changes", &[("Content-Type", "text/plain")], b"{}")
        .await
        .expect_problem(415, "unsupported_media_type");
    node.delete(&format!("/v1/changes/{id}")).await.expect_problem(405, "method_not_allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_stands_for_one_change_at_every_node() {
    let members = Members::three().await;
    let change = json!({"title": "t", "description": "d", "requestor": "r"}).to_string();
    let key = [("Idempotency-Key", "k-1")];
    let mut made = Vec::new();
    for number in [1, 2, 3, 1] {
        let answer =
            members.get(number).request("POST", "/v1/changes", &key, change.as_bytes()).await.expect(201);
        made.push(answer.json());
    }
    assert!(made.iter().all(|one| one == &made[0]), "{made:?}");
    let other = json!({"title": "another", "description": "d", "requestor": "r"}).to_string();
    let answer = members.get(2).request("POST", "/v1/changes", &key, other.as_bytes()).await;
    answer.expect_problem(422, "idempotency_key_reused");
    let id = text(&made[0], "changeId");
    act(members.get(1), id, "assessments", json!({})).await;
    let decision = json!({"approverId": "alice.chen", "decision": "approved"}).to_string();
    let path = format!("/v1/changes/{id}/decisions");
    let key = [("Idempotency-Key", "k-2")];
    let first = members.get(2).request("POST", &path, &key, decision.as_bytes()).await.expect(200).json();
    let again = members.get(3).request("POST", &path, &key, decision.as_bytes()).await.expect(200).json();
    assert_eq!(first, again);
    assert_eq!(status(members.get(1), id).await["approvals"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        members.get(1).get("/v1/changes").await.expect(200).json()["changes"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_and_paged() {
    let node = Node::start();
    let mut made = Vec::new();
    for number in 0..25 {
        let kind = ["normal", "standard", "major"][number % 3];
        made.push(create(&node, json!({"type": kind, "requestor": format!("r{}", number % 2)})).await);
    }
    made.sort_unstable();
    let list = async |query: &str| node.get(&format!("/v1/changes{query}")).await.expect(200).json();
    let ids = |page: &Value| -> Vec<String> {
        page["changes"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| text(row, "changeId").to_owned())
            .collect()
    };
    assert_eq!(ids(&list("").await), made);
    let (mut read, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("?limit=7&cursor={cursor}")).await;
        assert!(ids(&page).len() <= 7);
        read.extend(ids(&page));
        match page["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(read, made);
    let major = list("?type=major&requestor=r1&limit=2").await;
    assert_eq!(ids(&major).len(), 2);
    assert!(major["changes"].as_array().expect("a list").iter().all(|row| row["type"] == "major"));
    assert_eq!(ids(&list("?status=closed").await), Vec::<String>::new());
    let low = ids(&list("?risk=low&status=submitted").await).len();
    let medium = ids(&list("?risk=medium").await).len();
    assert_eq!(low + medium, 25);
    let row = &list("?limit=1").await["changes"][0];
    for name in ["changeId", "title", "status", "type", "priority", "riskScore", "riskLevel", "createdAt"] {
        assert!(!row[name].is_null(), "{name} of {row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_put_whole_and_followed_everywhere() {
    let members = Members::three().await;
    let path = "/v1/changes/policy";
    let first = members.get(1).get(path).await.expect(200);
    assert_eq!((first.header("etag"), first.version()), (Some("\"1\""), 1));
    let mut policy = first.json();
    assert_eq!(policy["max_overlapping"], 3);
    // Every node uses it before it is changed.
    for number in 1..=3 {
        create(members.get(number), json!({})).await;
    }
    policy["risk"]["base"] = json!(20);
    let body = policy.to_string();
    let stale = members.get(2).request("PUT", path, &[("If-Match", "\"7\"")], body.as_bytes()).await;
    stale.expect_problem(412, "version_mismatch");
    let put =
        members.get(2).request("PUT", path, &[("If-Match", "\"1\"")], body.as_bytes()).await.expect(200);
    assert_eq!((put.header("etag"), put.json()), (Some("\"2\""), policy.clone()));
    // Read your own writes; and the others follow.
    let score = async |number: usize| {
        let id = create(members.get(number), json!({"plannedStart": "2027-06-15T10:00:00Z"})).await;
        status(members.get(number), &id).await["riskScore"].as_u64()
    };
    assert_eq!(score(2).await, Some(20));
    for number in [1, 3] {
        eventually("the policy to be followed", async || (score(number).await == Some(20)).then_some(()))
            .await;
    }
    let mut nonsense = policy.clone();
    nonsense["approvers"] = json!([policy["approvers"][0]]);
    let refused = members.get(1).put(path, &nonsense).await.expect_problem(422, "invalid_parameters").json();
    assert!(text(&refused, "detail").contains("at least two"), "{refused}");
    members.get(1).put(path, &json!({"max_overlapping": 5})).await.expect_problem(422, "invalid_parameters");
    let history = members.get(3).get("/v1/changes/policy/history").await.expect(200).json();
    let versions: Vec<_> =
        history["versions"].as_array().expect("a list").iter().map(|one| one["version"].clone()).collect();
    assert_eq!(versions, [1, 2]);
    assert_eq!(history["versions"][1]["policy"]["risk"]["base"], 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_seeds_the_policy_once() {
    let mut node = Node::configured("[changeflow]\nmax_overlapping = 9\n[changeflow.sla_minutes]\nlow = 7\n");
    let policy = node.get("/v1/changes/policy").await.expect(200).json();
    assert_eq!((&policy["max_overlapping"], &policy["sla_minutes"]["low"]), (&json!(9), &json!(7)));
    let mut other = policy.clone();
    other["max_overlapping"] = json!(4);
    node.put("/v1/changes/policy", &other).await.expect(200);
    node.restart();
    assert_eq!(node.get("/v1/changes/policy").await.expect(200).json()["max_overlapping"], 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_board_is_live() {
    let members = Members::three().await;
    let mut socket = members.get(2).socket("/v1/live").await;
    socket.send(&json!({"type": "subscribe", "ref": "m", "feed": "_metrics"})).await;
    let told = until(&mut socket, |frame| frame["type"] == "metrics").await;
    assert_eq!((&told["ref"], &told["data"]["changes"]["active"]), (&json!("m"), &json!(0)), "{told}");
    assert!(
        told["data"]["system"]["uptime"].is_number() && told["data"]["compliance"]["auditScore"].is_null()
    );
    socket.send(&json!({"type": "subscribe", "ref": "c", "feed": "change-request"})).await;
    until(&mut socket, |frame| frame["type"] == "subscribed").await;
    let id = create(members.get(1), json!({"title": "On the board"})).await;
    let told = until(&mut socket, |frame| frame["type"] == "update").await;
    assert_eq!((&told["ref"], &told["object"]), (&json!("c"), &json!(format!("change-request/{id}"))));
    for (name, value) in
        [("title", "On the board"), ("status", "submitted"), ("type", "normal"), ("priority", "medium")]
    {
        assert_eq!(told["changes"][name], value, "{told}");
    }
    assert!(told["changes"]["riskLevel"].is_string(), "{told}");
    // The next figures have it.
    let told = until(&mut socket, |frame| frame["type"] == "metrics").await;
    assert_eq!(told["data"]["changes"]["active"], 1, "{told}");
    socket.send(&json!({"type": "unsubscribe", "ref": "m"})).await;
    until(&mut socket, |frame| frame["type"] == "unsubscribed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_measures_itself() {
    let node = Node::configured("[timing]\nmetrics_sample_ms = 100\n");
    let accept = [("Accept", "application/json")];
    let begun = minutes_from_now(-1);
    create(&node, json!({})).await;
    let numbers = node.request("GET", "/metrics", &accept, b"").await.expect(200).json();
    assert!(numbers["worker"]["requests"].as_u64().is_some_and(|count| count > 0), "{numbers}");
    assert_eq!(numbers["changeManagement"]["changes"]["pendingApprovals"], 1, "{numbers}");
    let now = node.get("/v1/changes/dashboard").await.expect(200).json();
    for name in ["uptime", "responseTime", "errorRate", "requestsPerMinute"] {
        assert!(now["system"][name].as_f64().is_some_and(|number| number >= 0.0), "{name} of {now}");
    }
    assert_eq!(now["changes"]["avgApprovalTime"], Value::Null);
    let path = format!("/v1/changes/dashboard?start={begun}");
    let measured = eventually("a sample to be written", async || {
        let shown = node.get(&path).await.expect(200).json();
        shown["system"]["responseTime"].is_number().then_some(shown)
    })
    .await;
    let uptime = measured["system"]["uptime"].as_f64().expect("a number");
    assert!(uptime > 0.0 && uptime < 61.0, "{measured}");
    // Nothing was measured before there was a server.
    let path = "/v1/changes/dashboard?start=2020-01-01T00:00:00Z&end=2020-02-01T00:00:00Z";
    let before = node.get(path).await.expect(200).json();
    assert_eq!(
        before["system"],
        json!({"uptime": null, "responseTime": null, "errorRate": null, "requestsPerMinute": null})
    );
    assert_eq!(before["changes"]["active"], 0);
}
