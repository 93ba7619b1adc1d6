//! The console as a browser is served it. What it does there: `tests/browser.sh`.

use serde_json::json;

use crate::harness::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_and_its_files() {
    let node = Node::start();
    let page = node.get("/").await.expect(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("the page has a policy");
    for rule in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"] {
        assert!(policy.split(';').any(|given| given.trim() == rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");

    // Every file that the page names, and what a browser asks about it when it comes again.
    let text = page.text();
    let files: Vec<&str> = text.split('"').filter(|text| text.starts_with("/v1/console/")).collect();
    assert!(files.len() >= 3, "{text}");
    for path in files.into_iter().chain(["/", "/v1/console/client/stead.js", "/v1/console/vendor/yjs.js"]) {
        let file = node.get(path).await.expect(200);
        let media_type = file.header("content-type").expect("a file has a type").to_owned();
        let expected = match path.rsplit_once('.').map_or("", |(_, kind)| kind) {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            "txt" => "text/plain; charset=utf-8",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(media_type, expected, "{path}");
        assert_eq!(file.header("cache-control"), Some("no-cache"), "{path}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"), "{path}");
        let tag = file.header("etag").expect("a file has a tag").to_owned();
        let again = node.request("GET", path, &[("If-None-Match", &tag)], b"").await.expect(304);
        assert_eq!((again.text().as_str(), again.header("etag")), ("", Some(tag.as_str())), "{path}");
        node.request("GET", path, &[("If-None-Match", "\"another\"")], b"").await.expect(200);
    }

    node.get("/v1/console/none.js").await.expect_problem(404, "not_found");
    node.get("/v1/console/..%2F..%2FCargo.toml").await.expect_problem(404, "not_found");
    let refused =
        node.post("/v1/console/main.js", &json!({})).await.expect_problem(405, "method_not_allowed");
    assert!(refused.header("allow").is_some_and(|allow| allow.contains("GET")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_problem_leads_to_its_place_on_the_page() {
    let node = Node::start();
    let page = node.get("/").await.expect(200).text();
    for (path, code) in
        [("/v1/objects/object/none", "object_not_found"), ("/v1/objects/none", "class_not_found")]
    {
        let problem = node.get(path).await.expect_problem(404, code).json();
        let place =
            problem["type"].as_str().and_then(|kind| kind.strip_prefix("/#")).expect("a place on the page");
        assert!(page.contains(&format!("id=\"{place}\"")), "{place}");
    }
}
