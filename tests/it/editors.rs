//! Yjs editors: the y-websocket protocol on documents, beside the HTTP API and through the death of a leader.

use serde_json::json;

use crate::harness::{Editor, Members, Node, Socket, eventually};

const NOTES: &str = "/v1/objects/document/notes";

/// Waits for something while an editor answers whatever it is asked.
async fn meanwhile<T>(editor: &mut Editor, awaited: impl Future<Output = T>) -> T {
    tokio::select! {
        () = editor.until("nothing in particular", |_| false) => unreachable!("it waits for nothing"),
        awaited = awaited => awaited,
    }
}

async fn content(node: &Node, path: &str) -> String {
    let state = node.get(path).await.expect(200).json();
    state["state"]["content"].as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editors_on_two_nodes_outlive_the_leader_and_lose_nothing() {
    let mut members = Members::three().await;
    members.get(1).put(NOTES, &json!({"content": "."})).await.expect(201);
    let leader = members.leader_of(1, "document/notes").await;
    let others: Vec<usize> = (1..=3).filter(|number| *number != leader).collect();
    let mut first = Editor::open(members.get(others[0]).address(), "notes", 11).await;
    let mut second = Editor::open(members.get(others[1]).address(), "notes", 22).await;
    for editor in [&mut first, &mut second] {
        editor.until("the text", |editor| editor.content() == ".").await;
    }
    let word = |who: &str, number: usize| format!("<{who}{number}>");
    for number in 0..60 {
        first.insert(0, &word("a", number)).await;
        second.insert(0, &word("b", number)).await;
        if number == 20 {
            members.get_mut(leader).kill9();
        }
    }
    let has_all = |text: &str| {
        (0..60).all(|number| text.contains(&word("a", number)) && text.contains(&word("b", number)))
    };
    for editor in [&mut first, &mut second] {
        editor.until("all that was typed", |editor| has_all(&editor.content())).await;
    }
    let through_http = eventually("the text over HTTP", async || {
        let text = content(members.get(others[0]), NOTES).await;
        (text == first.content()).then_some(text)
    })
    .await;
    assert_eq!(through_http, second.content());
    assert_eq!(
        through_http.len(),
        1 + (0..60).map(|n| 2 * word("a", n).len()).sum::<usize>(),
        "nothing twice"
    );
    members.get_mut(leader).start_again();
    let mut third = Editor::open(members.get(leader).address(), "notes", 33).await;
    third.until("all that was typed", |editor| editor.content() == through_http).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editors_and_http_edit_the_same_text() {
    let node = Node::start();
    let mut editor = Editor::open(node.address(), "notes", 11).await;
    editor.until("the server's question", |editor| editor.heard.contains(&"sync1")).await;
    // Nobody has written it: asking makes nothing.
    node.get(NOTES).await.expect_problem(404, "object_not_found");
    let mut native = node.socket(&format!("{NOTES}/live")).await;
    assert_eq!(native.json().await["type"], "init");
    editor.insert(0, "typed 😀").await;
    let update = native.json().await;
    assert_eq!(update["delta"], json!([{"insert": "typed 😀"}]), "{update}");
    assert_eq!((&update["method"], &update["version"]), (&json!("edit"), &json!(1)));
    assert!(update.get("binary").is_none() && update["changes"].get("content").is_none(), "{update}");
    assert_eq!(content(&node, NOTES).await, "typed 😀");
    node.post(&format!("{NOTES}/methods/replace"), &json!({"find": "typed", "text": "said"}))
        .await
        .expect(200);
    editor.until("the change over HTTP", |editor| editor.content() == "said 😀").await;
    // The same again changes nothing: no version, no update.
    editor.send(&[0, 2], &[0, 0]).await;
    editor.insert(8 - 1, "!").await;
    editor
        .until("its own", |editor| editor.heard.iter().filter(|heard| **heard == "update").count() == 3)
        .await;
    assert_eq!(node.get(NOTES).await.expect(200).json()["version"], 3);
    let updates = node.get(&format!("{NOTES}/updates?since=0")).await.expect(200).json();
    assert_eq!(updates["complete"], true, "what editors apply is not in the history: {updates}");

    node.delete(NOTES).await.expect(204);
    editor.until("an empty text", |editor| editor.content().is_empty()).await;
    node.get(NOTES).await.expect_problem(404, "object_not_found");
    // It writes again: the document begins anew, with what the editor has.
    editor.insert(0, "anew").await;
    let anew = eventually("the document", async || {
        let answer = node.get(NOTES).await;
        (answer.status == 200 && answer.json()["state"]["content"] == "anew").then_some(())
    });
    meanwhile(&mut editor, anew).await;
    assert_eq!(node.get(NOTES).await.expect(200).json()["version"], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_offline_comes_with_the_first_synchronisation() {
    let node = Node::start();
    node.put(NOTES, &json!({"content": "base"})).await.expect(201);
    let mut editor = Editor::open(node.address(), "notes", 11).await;
    editor.until("the text", |editor| editor.content() == "base").await;
    editor.insert_offline(0, "one ");
    editor.insert_offline(0, "two ");
    let mut editor = editor.reopen(node.address(), "notes").await;
    // Perhaps before the server is told of the rest: then it lacks what came before, and asks again.
    editor.insert(0, "three ").await;
    let whole = eventually("the whole text", async || {
        (content(&node, NOTES).await == "three two one base").then_some(())
    });
    meanwhile(&mut editor, whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_closes_its_own_socket_only() {
    let node = Node::start();
    node.put(NOTES, &json!({"content": "text"})).await.expect(201);
    let mut witness = Editor::open(node.address(), "notes", 99).await;
    let messages: [&[u8]; 12] = [
        b"",
        b"\x00",
        b"\x00\x07\x00",
        b"\x00\x02\x05\x00",
        b"\x00\x02\x04text",
        b"\x00\x01\x02\xff\xff",
        b"\x00\x00\x02\xff\xff",
        b"\x00\x00\x05\xff\xff\xff\xff\x0f",
        b"\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x01\x05\x01\x07\x01\x01{",
        b"\x01\x03\xff\xff\x7f",
        b"\x01",
    ];
    for message in messages {
        let mut editor = Editor::open(node.address(), "notes", 11).await;
        editor.send_frame(message.to_vec()).await;
        let (code, reason) = editor.closing().await;
        assert_eq!(code, 1007, "{message:?}: {reason}");
        assert!(!reason.is_empty());
    }
    let mut socket = Socket::open(node.address(), "/v1/yjs/notes").await;
    socket.send_text("{}").await;
    assert_eq!(socket.closing().await.0, 1007, "text");
    let mut editor = Editor::open(node.address(), "notes", 11).await;
    editor.send_frame(vec![0; 4 * 1024 * 1024 + 1]).await;
    assert_eq!(editor.closing().await.0, 1009, "too large a frame");
    // Messages of other kinds are passed over.
    witness.send_frame(vec![2, 0]).await;
    witness.send_frame(vec![77, 1, 2, 3]).await;
    witness.until("the text", |editor| editor.content() == "text").await;
    witness.insert(4, "!").await;
    eventually("the change", async || (content(&node, NOTES).await == "text!").then_some(())).await;
    assert_eq!(node.get(NOTES).await.expect(200).json()["version"], 2, "rubbish changed nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_would_be_too_large_is_refused() {
    let node = Node::start();
    let mut editor = Editor::open(node.address(), "large", 11).await;
    let part = "x".repeat(4 * 1024 * 1024 - 1_000);
    for _ in 0..5 {
        editor.insert(0, &part).await;
    }
    let (code, reason) = editor.closing().await;
    assert_eq!(code, 1009, "{reason}");
    assert!(reason.contains("16777216"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_handshakes() {
    let node = Node::start();
    node.get("/v1/yjs/").await.expect_problem(404, "not_found");
    node.get("/v1/yjs").await.expect_problem(404, "not_found");
    node.get("/v1/yjs/..").await.expect_problem(400, "invalid_request");
    node.get("/v1/yjs/%zz").await.expect_problem(400, "invalid_request");
    node.get("/v1/yjs/notes").await.expect_problem(426, "upgrade_required");
    node.post("/v1/yjs/notes", &json!({})).await.expect_problem(405, "method_not_allowed");
    // A name may have slashes, as they are or escaped; the query is the provider's own.
    let mut plain = Editor::open(node.address(), "a/b%20c?token=1", 11).await;
    plain.insert(0, "text").await;
    let mut escaped = Editor::open(node.address(), "a%2Fb%20c", 22).await;
    escaped.until("the text", |editor| editor.content() == "text").await;
    eventually("the object", async || {
        let answer = node.get("/v1/objects/document/a%2Fb%20c").await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editors_see_each_other_through_all_nodes() {
    let members = Members::three().await;
    let mut first = Editor::open(members.get(1).address(), "notes", 11).await;
    let mut second = Editor::open(members.get(2).address(), "notes", 22).await;
    first.show(11, 1, r#"{"user":"a"}"#).await;
    second.show(22, 1, r#"{"user":"b"}"#).await;
    let is_settled =
        |editor: &Editor| editor.people.len() == 2 && editor.people.values().all(|(clock, _)| *clock == 2);
    meanwhile(&mut second, first.until("both", is_settled)).await;
    meanwhile(&mut first, second.until("both", is_settled)).await;
    for editor in [&first, &second] {
        assert_eq!(editor.people[&11].1, r#"{"user":"a"}"#);
        assert_eq!(editor.people[&22].1, r#"{"user":"b"}"#);
    }
    // Who repeats what was heard changes nothing; who moves is seen; a late one is told of all at once.
    second.tell(11, 2, r#"{"user":"a"}"#).await;
    first.show(11, 3, r#"{"user":"a","at":5}"#).await;
    second.until("the move", |editor| editor.people[&11].0 == 3).await;
    let mut third = Editor::open(members.get(3).address(), "notes", 33).await;
    third.until("those present", |editor| editor.people.len() == 2).await;
    third.people.clear();
    third.ask_for_people().await;
    third.until("those present", |editor| editor.people.len() == 2).await;
    // A native subscriber sees them too.
    let mut native = members.get(1).socket("/v1/objects/document/notes/live").await;
    let init = native.json().await;
    let ids: Vec<&str> = init["presence"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|member| member["id"].as_str())
        .collect();
    assert_eq!(ids, ["yjs-11", "yjs-22"]);
    // One says goodbye, one just goes.
    second.show(22, 3, "null").await;
    first.until("the goodbye", |editor| editor.people[&22].1 == "null").await;
    drop(first);
    third.until("both to be known", |editor| editor.people.len() == 2).await;
    third.until("the end", |editor| editor.people[&11].1 == "null" && editor.people[&22].1 == "null").await;
    third.people.clear();
    third.show(33, 1, "{}").await;
    third.until("its own", |editor| editor.people.contains_key(&33)).await;
    assert_eq!(third.people.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_read_through_any_node() {
    let members = Members::three().await;
    let node = members.get(1);
    let versions = format!("{NOTES}/versions");
    node.get(&versions).await.expect_problem(404, "object_not_found");
    node.put(NOTES, &json!({"content": "over HTTP"})).await.expect(201);
    let mut editor = Editor::open(members.get(2).address(), "notes", 11).await;
    editor.until("the text", |editor| editor.content() == "over HTTP").await;
    editor.insert(0, "typed, then ").await;
    editor.until("its own", |editor| editor.heard.contains(&"update")).await;
    node.post(&format!("{NOTES}/methods/delete"), &json!({"index": 0, "length": 7})).await.expect(200);
    for number in 1..=3 {
        let node = members.get(number);
        let page = node.get(&format!("{versions}?limit=2")).await.expect(200).json();
        let found: Vec<_> =
            page["versions"].as_array().expect("a list").iter().map(|row| &row["version"]).collect();
        assert_eq!((found, &page["cursor"]), (vec![&json!(3), &json!(2)], &json!("2")), "{page}");
        assert_eq!(page["versions"][0]["by"], "local");
        let rest = node.get(&format!("{versions}?cursor=2")).await.expect(200).json();
        assert_eq!((&rest["versions"][0]["version"], &rest["cursor"]), (&json!(1), &json!(null)));
        for (version, content) in [(1, "over HTTP"), (2, "typed, then over HTTP"), (3, "then over HTTP")] {
            let read = node.get(&format!("{versions}/{version}")).await.expect(200).json();
            assert_eq!(read, json!({"version": version, "content": content}));
        }
        node.get(&format!("{versions}/4")).await.expect_problem(404, "not_found");
        node.get(&format!("{versions}/x")).await.expect_problem(400, "invalid_request");
        node.get(&format!("{versions}?cursor=x")).await.expect_problem(400, "invalid_request");
        node.get("/v1/objects/counter/notes/versions").await.expect_problem(404, "not_found");
    }
    // Other routes of documents are found as before.
    node.get(&format!("{NOTES}/state/content")).await.expect(200);
    node.get(&format!("{NOTES}/location")).await.expect(200);
    node.delete(NOTES).await.expect(204);
    node.get(&versions).await.expect_problem(404, "object_not_found");
}
