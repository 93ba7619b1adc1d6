//! What MCP costs: tools called by bare `tools/call`s, beside the same operations over REST, on one node and on three.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::Plan;
use crate::client::exchange_for;
use crate::contestant::{Contestant, Load, Slice, load_with};
use crate::figures::{Better, Figures, median};
use crate::trio::Trio;

/// Every client of both sides.
const LOAD: Load = Load { operation: "read", clients: 50, objects: 1 };
/// Aim and floor of what a tool's rate is of the rate over REST.
const BOUNDS: (f64, f64) = (0.7, 0.5);

/// The names of what is compared: on one node, and on three.
const STATUS: [&str; 2] = [
    "get_change_status over MCP / over REST, 50 clients, one node",
    "get_change_status over MCP / over REST, 50 clients, three nodes",
];
const CREATE: [&str; 2] = [
    "create_change_request over MCP / over REST, 50 clients, one node",
    "create_change_request over MCP / over REST, 50 clients, three nodes",
];

pub(crate) fn measure(plan: &Plan, figures: &mut Figures) {
    let one = Contestant::stead();
    compare(plan, figures, &[one.address], (STATUS[0], CREATE[0]));
    drop(one);
    let three = Trio::start();
    compare(plan, figures, &three.addresses(), (STATUS[1], CREATE[1]));
}

/// What a change is made of; the same each time, and so of the same size.
fn change() -> Value {
    json!({
        "title": "Update the documentation",
        "description": "The page of the release",
        "requestor": "erin",
        "implementationPlan": "Write it, then publish it",
        "affectedSystems": ["docs"],
    })
}

fn compare(
    plan: &Plan,
    figures: &mut Figures,
    nodes: &[SocketAddr],
    (status, create): (&'static str, &'static str),
) {
    let id = make_one(nodes[0]);
    let tool = |name: &str, arguments: &Value| {
        let params = json!({ "name": name, "arguments": arguments });
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
    };
    let post = |path: &str, body: &str| {
        load_with(nodes, LOAD, plan.slice_s, &["--url-template", path, "--method", "POST", "--body", body])
    };
    let get = |path: &str| load_with(nodes, LOAD, plan.slice_s, &["--url-template", path, "--method", "GET"]);
    let asked = tool("get_change_status", &json!({ "changeId": id }));
    let made = tool("create_change_request", &change());
    let over_mcp = |body: &str| post("/mcp", body);
    let rounds =
        |what: &'static str, figures: &mut Figures, mcp: &dyn Fn() -> Slice, rest: &dyn Fn() -> Slice| {
            mcp(); // what is made once is made, caches are warm
            let (mut ratios, mut rates, mut late) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..plan.rounds {
                let (ours, theirs) = (mcp(), rest());
                ratios.push(ours.per_second / theirs.per_second);
                rates.push(ours.per_second);
                late.push((ours.p99_ms, theirs.p99_ms));
            }
            let remark = format!(
                "{:.0}/s; p99 {:.1} ms, over REST {:.1} ms",
                median(rates),
                median(late.iter().map(|(ours, _)| *ours).collect()),
                median(late.iter().map(|(_, theirs)| *theirs).collect()),
            );
            figures.add(what, "", Better::More, BOUNDS, Ok(median(ratios)), remark);
        };
    rounds(status, figures, &|| over_mcp(&asked), &|| get(&format!("/v1/changes/{id}")));
    rounds(create, figures, &|| over_mcp(&made), &|| post("/v1/changes", &change().to_string()));
}

/// Makes a change over MCP, and so sees that such a call is answered with what it should be.
fn make_one(node: SocketAddr) -> String {
    let params = json!({ "name": "create_change_request", "arguments": change() });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(async {
        let mut stream = tokio::net::TcpStream::connect(node).await.expect("it listens");
        exchange_for(&mut stream, &request).await.expect("it answers with 200")
    });
    let answer: Value = serde_json::from_str(&answer).expect("it answers in JSON");
    let id = &answer["result"]["structuredContent"]["changeId"];
    id.as_str().unwrap_or_else(|| panic!("no change was made: {answer}")).to_owned()
}
