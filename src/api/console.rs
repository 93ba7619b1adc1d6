//! The page for people at `/`: the cluster, its objects and what happens to them, live in a browser; and what each
//! error code means.
//!
//! The page is plain files, kept in the program: `console/` beside this module, and the JavaScript client of
//! `clients/js` as it is. Nothing builds them. They are served under `/v1/console/`, for no other first part of a path
//! is ours, and a browser asks each time whether it has the right ones: a node that was updated shows its own page.
//!
//! The policy sent with the page lets it run its own files and reach its own server, and nothing else: what comes out
//! of objects is never markup.

mod files;

use std::fmt::Write;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::AnyErrors;
use super::{ApiState, reply};
use crate::error::{Code, Error, Retry};

const PAGE: &str = include_str!("console/page.html");
/// Where the page's files are.
const FILES: &str = "/v1/console/";
/// `trusted-types` without a name and `require-…`: no script of the page may make markup of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
static RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The page, and its files. The files stand in no description: they are the page's own.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(show)).route("/v1/console/{*file}", routing::get(file))
}

/// A page for people.
#[utoipa::path(get, path = "/", tag = "server", operation_id = "get_console",
    responses((status = 200, description = "HTML", body = String, content_type = "text/html"), AnyErrors))]
async fn show(request: Request) -> Response {
    static SHOWN: LazyLock<Tagged> = LazyLock::new(|| Tagged::of(page().into()));
    SHOWN.answer("text/html; charset=utf-8", request.headers())
}

/// One of the page's files.
async fn file(request: Request) -> Response {
    static TAGGED: LazyLock<Vec<(&str, &str, Tagged)>> = LazyLock::new(|| {
        let tagged = |(name, media_type, text): &(_, _, &'static str)| {
            (*name, *media_type, Tagged::of(Bytes::from_static(text.as_bytes())))
        };
        files::ALL.iter().map(tagged).collect()
    });
    let path = request.uri().path();
    let wanted = path.strip_prefix(FILES).unwrap_or_default();
    match TAGGED.iter().find(|(name, ..)| *name == wanted) {
        Some((_, media_type, tagged)) => tagged.answer(media_type, request.headers()),
        None => Error::new(Code::NotFound, format!("there is nothing at {path:?}")).into_response(),
    }
}

/// The page with this version and the error codes in it.
fn page() -> String {
    let mut errors = String::new();
    for code in Code::ALL {
        let retry = match code.retry() {
            Retry::Safe => "safe",
            Retry::Unknown => "unknown",
            Retry::Never => "never",
        };
        let (word, status, title) = (code.as_str(), code.status(), code.title());
        writeln!(errors, "  <tr id=\"{word}\"><td><code>{word}</code><td>{status}<td>{retry}<td>{title}")
            .expect("writing to a string does not fail");
    }
    PAGE.replace("{version}", env!("CARGO_PKG_VERSION")).replace("{errors}", &errors)
}

/// What is served, and the tag that says which it is.
struct Tagged {
    content: Bytes,
    tag: HeaderValue,
}

impl Tagged {
    /// Bytes of the tag: enough that no two files of one name have the same.
    const TAG_BYTES: usize = 12;

    fn of(content: Bytes) -> Self {
        let mut tag = String::from("\"");
        for byte in Sha256::digest(&content).iter().take(Self::TAG_BYTES) {
            write!(tag, "{byte:02x}").expect("writing to a string does not fail");
        }
        tag.push('"');
        Self { content, tag: HeaderValue::from_str(&tag).expect("hex digits in quotes make a header") }
    }

    fn answer(&self, media_type: &'static str, asked: &HeaderMap) -> Response {
        let mut response = if self.is_known(asked) {
            reply::empty(StatusCode::NOT_MODIFIED)
        } else {
            let body = Body::from(self.content.clone());
            reply::typed(StatusCode::OK, HeaderValue::from_static(media_type), body)
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, self.tag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(RESOURCE_POLICY.clone(), HeaderValue::from_static("same-origin"));
        response
    }

    /// Whether who asks has it already. A proxy that compresses marks the tag as weak.
    fn is_known(&self, asked: &HeaderMap) -> bool {
        let tags = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = tags.flat_map(|tags| tags.split(',')).map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.tag.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn text_of(name: &str) -> Option<&'static str> {
        files::ALL.iter().find(|(file, ..)| *file == name).map(|(_, _, text)| *text)
    }

    /// The files that a module imports, by the names that they are served under.
    fn imports(name: &str, text: &str) -> Vec<String> {
        let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
        let from = text.lines().filter_map(|line| {
            let (before, rest) = line.split_once(" from \"").or_else(|| line.split_once("import \""))?;
            let is_import =
                ["import", "export", "}"].iter().any(|word| before.trim_start().starts_with(word));
            is_import.then(|| rest.split_once('"').map(|(path, _)| path))?
        });
        from.map(|path| {
            let path = path
                .strip_prefix("./")
                .unwrap_or_else(|| panic!("{name} imports {path:?}, not a file beside it"));
            if directory.is_empty() { path.to_owned() } else { format!("{directory}/{path}") }
        })
        .collect()
    }

    #[test]
    fn everything_that_the_page_asks_for_is_served_and_nothing_else() {
        let mut wanted: Vec<String> =
            PAGE.split('"').filter_map(|text| text.strip_prefix(FILES)).map(str::to_owned).collect();
        let mut reached = BTreeSet::new();
        while let Some(name) = wanted.pop() {
            let text = text_of(&name).unwrap_or_else(|| panic!("{name} is not served"));
            if reached.insert(name.clone()) && Path::new(&name).extension().is_some_and(|kind| kind == "js") {
                wanted.extend(imports(&name, text));
            }
        }
        let served: BTreeSet<String> = files::ALL.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(reached, served);
    }

    #[test]
    fn files_have_their_types() {
        for (name, media_type, _) in files::ALL {
            let expected = match name.rsplit_once('.').expect("a file has an extension").1 {
                "js" => "text/javascript; charset=utf-8",
                "css" => "text/css; charset=utf-8",
                "svg" => "image/svg+xml",
                "txt" => "text/plain; charset=utf-8",
                other => panic!("{name}: what is {other}?"),
            };
            assert_eq!(*media_type, expected, "{name}");
        }
    }

    #[test]
    fn nothing_is_inline_or_made_markup() {
        assert!(!PAGE.contains("<style") && !PAGE.contains("style=") && !PAGE.contains("javascript:"));
        assert_eq!(
            PAGE.matches("<script").count(),
            PAGE.matches("<script type=\"module\" src=\"/v1/console/").count()
        );
        for (name, _, text) in files::ALL {
            for forbidden in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
            {
                assert!(!text.contains(forbidden), "{name} has {forbidden}");
            }
        }
    }

    #[test]
    fn every_error_code_has_its_place() {
        let page = page();
        for code in Code::ALL {
            assert_eq!(page.matches(&format!("<tr id=\"{}\">", code.as_str())).count(), 1, "{code:?}");
        }
        assert!(!page.contains("{errors}") && !page.contains("{version}"));
    }

    #[tokio::test]
    async fn who_has_a_file_is_not_sent_it_again() {
        let ask = async |path: &str, tag: Option<&HeaderValue>| {
            let mut request = http::Request::get(path);
            if let Some(tag) = tag {
                request = request.header(IF_NONE_MATCH, tag);
            }
            let request = request.body(Body::empty()).expect("a request of this test");
            if path == "/" { show(request).await } else { file(request).await }
        };
        for path in ["/", "/v1/console/main.js", "/v1/console/client/stead.js"] {
            let first = ask(path, None).await;
            assert_eq!(first.status(), StatusCode::OK, "{path}");
            assert_eq!(first.headers()[CONTENT_SECURITY_POLICY], POLICY);
            let tag = &first.headers()[ETAG];
            assert_eq!(ask(path, Some(tag)).await.status(), StatusCode::NOT_MODIFIED, "{path}");
            let weak = format!("\"other\", W/{}", tag.to_str().expect("a tag is text"));
            let weak = HeaderValue::from_str(&weak).expect("tags make a header");
            assert_eq!(ask(path, Some(&weak)).await.status(), StatusCode::NOT_MODIFIED, "{path}");
            let other = HeaderValue::from_static("\"other\"");
            assert_eq!(ask(path, Some(&other)).await.status(), StatusCode::OK, "{path}");
        }
        for absent in
            ["/v1/console/", "/v1/console/page.html", "/v1/console/client/../main.js", "/v1/console/Main.js"]
        {
            assert_eq!(ask(absent, None).await.status(), StatusCode::NOT_FOUND, "{absent}");
        }
    }
}
