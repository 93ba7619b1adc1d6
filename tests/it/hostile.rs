//! Clients that mean no good, on every kind of socket: each is closed with the code that says why, or simply not
//! heard; the node's memory stays where it was, and others notice nothing.

use serde_json::json;

use crate::harness::{Node, Socket, eventually, within};

const PATHS: [&str; 4] =
    ["/v1/objects/object/target/live", "/v1/live", "/object/target/websocket", "/socket/websocket?vsn=2.0.0"];
/// What a flood may cost the node: what its queues hold, and some for the allocator.
const FLOOD_MAX_KIB: u64 = 64 * 1024;

/// A frame as a client sends it, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("frames of this test are small");
    let mut bytes = vec![first, 0xfe];
    bytes.extend(length.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// The node answers others, at once.
async fn is_well(node: &Node) {
    let path = "/v1/objects/counter/bystander/methods/increment";
    within("another client's call", node.post(path, &json!({}))).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_protocol_is_closed_with_the_right_code() {
    let node = Node::start();
    let too_large = [&[0x81_u8, 0x80 | 127][..], &(4 * 1024 * 1024 + 1_u64).to_be_bytes(), &[0; 4]].concat();
    let cases: [(&str, Vec<u8>, u16); 6] = [
        ("text that is not UTF-8", frame(0x81, b"\"\xc3\x28\""), 1007),
        ("a frame too large", too_large, 1009),
        ("a frame without a mask", vec![0x81, 0x01, b'x'], 1002),
        ("a reserved bit", frame(0xc1, b"{}"), 1002),
        ("a reserved opcode", frame(0x83, b"{}"), 1002),
        ("the rest of a message that never began", frame(0x80, b"{}"), 1002),
    ];
    for path in PATHS {
        for (what, bytes, code) in &cases {
            let mut socket = node.socket(path).await;
            socket.send_raw(bytes).await.expect("it is sent");
            assert_eq!(socket.closing().await.0, *code, "{path}: {what}");
        }
    }
    is_well(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_frames_and_connections_that_break_leave_nothing_behind() {
    let node = Node::start();
    for path in PATHS {
        for half in
            [&[0x81_u8][..], &[0x81, 0xff, 0, 0], &frame(0x01, b"{\"type\""), &frame(0x81, b"{}")[..7]]
        {
            let mut socket = node.socket(path).await;
            socket.send_raw(half).await.expect("it is sent");
            drop(socket);
        }
    }
    eventually("the sockets to be let go", async || {
        let sockets = node.get("/metrics").await.text();
        let open = sockets.lines().filter(|line| line.starts_with("stead_sockets{"));
        let open: u64 = open.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
        (open == 0).then_some(())
    })
    .await;
    assert_eq!(node.metric("stead_subscribers").await, 0);
    is_well(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_pings_that_nobody_reads_cost_no_memory() {
    let node = Node::start();
    is_well(&node).await;
    let before = node.memory_kib();
    for path in PATHS {
        let mut socket = Socket::open_narrow(node.address(), path).await;
        flood(&mut socket, &frame(0x89, &[b'p'; 125]).repeat(500), 400).await;
        is_well(&node).await;
    }
    let grown = node.memory_kib().saturating_sub(before);
    assert!(grown < FLOOD_MAX_KIB, "{grown} KiB more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_requests_whose_answers_nobody_reads_cost_no_memory() {
    let node = Node::start();
    node.put("/v1/objects/object/target", &json!({"value": "x".repeat(100_000)})).await.expect(201);
    let before = node.memory_kib();
    let subscribe = |number: usize| json!({"type": "subscribe", "ref": number, "object": "object/target"});
    let unsubscribe = |number: usize| json!({"type": "unsubscribe", "ref": number});
    let wishes: Vec<u8> = (0..500)
        .flat_map(|number| [subscribe(number), unsubscribe(number)])
        .flat_map(|wish| frame(0x81, wish.to_string().as_bytes()))
        .collect();
    let mut socket = Socket::open_narrow(node.address(), "/v1/live").await;
    flood(&mut socket, &wishes, 40).await;
    is_well(&node).await;
    let call = json!({"type": "call", "id": 1, "method": "echo", "params": {"text": "x".repeat(1_000)}});
    let mut socket = Socket::open_narrow(node.address(), PATHS[0]).await;
    flood(&mut socket, &frame(0x81, call.to_string().as_bytes()).repeat(100), 400).await;
    is_well(&node).await;
    let signal = json!({"type": "signal", "data": "x".repeat(50_000)});
    let mut socket = node.socket(PATHS[0]).await;
    flood(&mut socket, &frame(0x81, signal.to_string().as_bytes()).repeat(10), 400).await;
    is_well(&node).await;
    let grown = node.memory_kib().saturating_sub(before);
    assert!(grown < FLOOD_MAX_KIB, "{grown} KiB more");
}

/// Sends until the server takes no more, or it was all; nothing is read.
async fn flood(socket: &mut Socket, bytes: &[u8], times: usize) {
    for _ in 0..times {
        let sending = socket.send_raw(bytes);
        match tokio::time::timeout(std::time::Duration::from_millis(500), sending).await {
            Ok(Ok(())) => {}
            // It is not read any more, or was closed: both are right.
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
