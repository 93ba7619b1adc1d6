//! The page for people at `/`: what runs here, and what each error code means.

use std::fmt::Write;

use axum::response::Response;
use http::{HeaderValue, StatusCode};

use super::describe::AnyErrors;
use super::reply;
use crate::error::{Code, Retry};

const BEFORE: &str = include_str!("console/before.html");
const AFTER: &str = "</table>\n</main>\n";

/// A page for people.
#[utoipa::path(get, path = "/", tag = "server", operation_id = "get_console",
    responses((status = 200, description = "HTML", body = String, content_type = "text/html"), AnyErrors))]
pub(super) async fn show() -> Response {
    let mut page = BEFORE.replace("{version}", env!("CARGO_PKG_VERSION"));
    for code in Code::ALL {
        let retry = match code.retry() {
            Retry::Safe => "safe",
            Retry::Unknown => "unknown",
            Retry::Never => "never",
        };
        let (word, status, title) = (code.as_str(), code.status(), code.title());
        writeln!(page, "<tr id=\"{word}\"><td><code>{word}</code><td>{status}<td>{retry}<td>{title}")
            .expect("writing to a string does not fail");
    }
    page.push_str(AFTER);
    let mut response =
        reply::typed(StatusCode::OK, HeaderValue::from_static("text/html; charset=utf-8"), page.into());
    let headers = response.headers_mut();
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    headers.insert("content-security-policy", HeaderValue::from_static(policy));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}
