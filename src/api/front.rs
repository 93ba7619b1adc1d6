//! What every request passes before it is routed, and every answer on its way out: limits of the head,
//! `Host` and `Origin`, the caller and its deadline, the request id, one line of log, the metrics.
//!
//! One function and no layers: this is the hot path.

mod template;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use tower::Service;

use super::origin::Relation;
use super::{ApiState, headers, reply};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::telemetry::RequestNames;

/// Longest path and query, in bytes: a name and a key, every byte escaped, and room to spare.
const URI_MAX_BYTES: usize = 16 * 1024;
/// Largest sum of a request's header names and values, in bytes.
const HEADERS_MAX_BYTES: usize = 32 * 1024;
/// Paths that answer whatever the `Host`: machines ask them by any name, and they tell nothing that matters.
const EXEMPT: [&str; 4] = ["/livez", "/ready", "/health", "/metrics"];
const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

static REQUEST_ID: HeaderName = HeaderName::from_static(headers::REQUEST_ID);

/// The whole HTTP surface of a node: the checks, and the routes behind them. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    state: ApiState,
    router: Router,
}

/// What the checks found out about a request that may pass.
struct Passed {
    /// The origin to name in `Access-Control-Allow-Origin`.
    cross_origin: Option<HeaderValue>,
    caller: Caller,
}

impl Front {
    /// Puts the checks before a router.
    #[must_use]
    pub fn new(state: ApiState, router: Router) -> Self {
        Self { state, router }
    }

    /// The state that the routes share.
    #[must_use]
    pub fn state(&self) -> &ApiState {
        &self.state
    }

    /// Answers one request of a peer. Never fails: every failure is an answer.
    pub async fn answer(&self, request: Request<Body>, peer: SocketAddr) -> Response {
        let started = Instant::now();
        let request_id: Arc<str> = match headers::request_id(request.headers()) {
            Some(id) => id.into(),
            None => fresh_request_id(),
        };
        let traceparent = headers::traceparent(request.headers()).map(Arc::from);
        let names = RequestNames::new(request_id.clone(), traceparent);
        names.during(self.serve(request, peer, request_id, started)).await
    }

    async fn serve(
        &self,
        mut request: Request<Body>,
        peer: SocketAddr,
        request_id: Arc<str>,
        started: Instant,
    ) -> Response {
        let template = template::of(request.uri().path());
        let method = request.method().clone();
        let id = HeaderValue::from_str(&request_id).expect("a request id is visible ascii");
        let mut response = match self.check(&request, peer, request_id, started) {
            Err(refusal) => refusal.into_response(),
            Ok(passed) => {
                let mut response = if passed.cross_origin.is_some() && is_preflight(&request) {
                    preflight(&request)
                } else {
                    request.extensions_mut().insert(passed.caller);
                    let Ok(response) = self.router.clone().call(request).await;
                    response
                };
                if let Some(origin) = passed.cross_origin {
                    open_to(&mut response, origin);
                }
                response
            }
        };
        response.headers_mut().insert(REQUEST_ID.clone(), id);
        self.record(template, &method, response.status(), started);
        response
    }

    fn check(
        &self,
        request: &Request<Body>,
        peer: SocketAddr,
        request_id: Arc<str>,
        started: Instant,
    ) -> Result<Passed, Error> {
        let settings = self.state.settings();
        check_size(request)?;
        let host = host_of(request)?;
        let admission = self.state.admission();
        if !EXEMPT.contains(&request.uri().path()) && !host.is_some_and(|host| admission.admits_host(host)) {
            let detail = match host {
                Some(host) => format!("{host:?} is not a host of this server; add it to allowed_hosts"),
                None => "the request names no host".to_owned(),
            };
            return Err(Error::new(Code::HostNotAllowed, detail));
        }
        let proxied = settings.trusts_proxy(peer.ip());
        let cross_origin = match headers::once(request.headers(), ORIGIN.as_str())? {
            None => None,
            Some(origin) => {
                let scheme =
                    if proxied { last_item(request, FORWARDED_PROTO).unwrap_or("http") } else { "http" };
                match admission.relation(origin, scheme, host.unwrap_or_default()) {
                    Relation::Own => None,
                    Relation::Allowed => request.headers().get(ORIGIN).cloned(),
                    Relation::Foreign => {
                        return Err(Error::new(
                            Code::OriginNotAllowed,
                            format!(
                                "pages of {origin:?} may not call this server; add it to allowed_origins"
                            ),
                        ));
                    }
                }
            }
        };
        let address = if proxied {
            self.client_behind(request).map_or(peer, |ip| SocketAddr::new(ip, 0))
        } else {
            peer
        };
        let deadline = started + headers::deadline_in(request.headers(), settings.request_deadline)?;
        let traceparent = headers::traceparent(request.headers()).map(Arc::from);
        let caller = self.state.caller(Some(address), request_id, traceparent, deadline);
        Ok(Passed { cross_origin, caller })
    }

    /// The client that the proxies before us speak of: the last address that is not one of them.
    fn client_behind(&self, request: &Request<Body>) -> Option<IpAddr> {
        let values = request.headers().get_all(FORWARDED_FOR);
        let mut addresses: Vec<IpAddr> = Vec::new();
        for item in values.iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')) {
            addresses.push(item.trim().parse().ok()?);
        }
        let trusted = |address: &IpAddr| self.state.settings().trusts_proxy(*address);
        addresses.iter().rev().find(|address| !trusted(address)).or(addresses.first()).copied()
    }

    fn record(&self, template: &'static str, method: &Method, status: StatusCode, started: Instant) {
        let took = started.elapsed();
        self.state.metrics().request_answered(template, method.as_str(), status.as_u16(), took);
        let (took_us, status) = (took.as_micros(), status.as_u16());
        if status >= 500 {
            tracing::warn!(%method, route = template, status, took_us, "answered");
        } else if status >= 400 {
            tracing::info!(%method, route = template, status, took_us, "answered");
        } else {
            tracing::debug!(%method, route = template, status, took_us, "answered");
        }
    }
}

/// An id for a request that brings none.
pub(super) fn fresh_request_id() -> Arc<str> {
    HEXLOWER.encode(&rand::random::<[u8; 8]>()).into()
}

fn check_size(request: &Request<Body>) -> Result<(), Error> {
    let uri = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if uri > URI_MAX_BYTES {
        return Err(Error::new(
            Code::UriTooLong,
            format!("path and query have at most {URI_MAX_BYTES} bytes"),
        ));
    }
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > HEADERS_MAX_BYTES {
        return Err(Error::new(
            Code::HeadersTooLarge,
            format!("headers have at most {HEADERS_MAX_BYTES} bytes together"),
        ));
    }
    Ok(())
}

/// The host that was asked. A target in absolute form goes before the header, which must agree with it.
fn host_of(request: &Request<Body>) -> Result<Option<&str>, Error> {
    let header = headers::once(request.headers(), HOST.as_str())?;
    if header.is_none() && request.version() == Version::HTTP_11 {
        return Err(Error::new(Code::InvalidRequest, "a request has the header Host"));
    }
    match request.uri().authority() {
        Some(target) if header.is_some_and(|header| !header.eq_ignore_ascii_case(target.as_str())) => {
            Err(Error::new(Code::InvalidRequest, "the header Host and the host of the target differ"))
        }
        Some(target) => Ok(Some(target.as_str())),
        None => Ok(header),
    }
}

fn last_item<'request>(request: &'request Request<Body>, name: &str) -> Option<&'request str> {
    request.headers().get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next().map(str::trim)
}

fn is_preflight(request: &Request<Body>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(request: &Request<Body>) -> Response {
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE"),
    );
    if let Some(asked) = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

fn open_to(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("ETag, Mcp-Session-Id, Retry-After, X-Request-Id, X-Stead-Version"),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
}
