//! What the clients send: everything that can be made beforehand is.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::Full;

use super::super::client::part;
use super::super::failure::Failure;
use super::{Bench, Operation};

/// The servers and the requests, one for each object.
#[derive(Debug)]
pub(super) struct Work {
    /// One, or the nodes of a cluster; clients are spread over them.
    pub(super) servers: Vec<Target>,
    method: Method,
    paths: Vec<Uri>,
    body: Bytes,
}

/// A server that is measured.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    host: http::HeaderValue,
}

impl Target {
    async fn find(server: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::usage(format!("`{server}` is no server: {why}"));
        let uri: Uri = server.parse().map_err(|_| wrong("give http://HOST:PORT"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("give http://HOST:PORT"));
        }
        let host = uri.host().ok_or_else(|| wrong("it has no host"))?;
        let port = uri.port_u16().unwrap_or(80);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address = tokio::net::lookup_host((bare, port))
            .await
            .map_err(|problem| Failure::unavailable(format!("cannot find {host}: {problem}")))?
            .next()
            .ok_or_else(|| Failure::unavailable(format!("{host} has no address")))?;
        let host = http::HeaderValue::from_str(&format!("{host}:{port}"))
            .map_err(|_| wrong("it has no plain host"))?;
        Ok(Self { address, host })
    }
}

impl Work {
    pub(super) async fn prepare(bench: &Bench, server: &str) -> Result<Self, Failure> {
        let mut servers = vec![Target::find(server).await?];
        for server in &bench.also {
            servers.push(Target::find(server).await?);
        }
        let method = match &bench.method {
            Some(verb) => Method::from_bytes(verb.as_bytes())
                .map_err(|_| Failure::usage(format!("`{verb}` is no verb")))?,
            None => bench.operation.method(),
        };
        let paths = (0..bench.objects)
            .map(|number| path(bench, number))
            .map(|path| path.parse().map_err(|_| Failure::usage(format!("`{path}` is no path"))))
            .collect::<Result<_, _>>()?;
        let body = match &bench.body {
            Some(body) => Bytes::from(body.clone()),
            None => Bytes::from_static(bench.operation.body()),
        };
        Ok(Self { servers, method, paths, body })
    }

    /// The server of a client.
    pub(super) fn server(&self, client: u32) -> &Target {
        let count = u32::try_from(self.servers.len()).unwrap_or(u32::MAX).max(1);
        let number = usize::try_from(client % count).unwrap_or(0);
        self.servers.get(number).expect("there is a server at least, and the number is below their count")
    }

    /// The request to the object that `choice`, any number, falls on.
    pub(super) fn request(&self, server: &Target, choice: u64) -> Request<Full<Bytes>> {
        let objects = u64::try_from(self.paths.len()).unwrap_or(u64::MAX).max(1);
        let index = usize::try_from(choice % objects).unwrap_or(0);
        let path = self.paths.get(index).cloned().unwrap_or_default();
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = path;
        request.headers_mut().insert(http::header::HOST, server.host.clone());
        if !self.body.is_empty() {
            let json = http::HeaderValue::from_static("application/json");
            request.headers_mut().insert(http::header::CONTENT_TYPE, json);
        }
        request
    }
}

impl Operation {
    fn method(self) -> Method {
        match self {
            Self::Increment => Method::POST,
            Self::Read => Method::GET,
            Self::Put => Method::PUT,
        }
    }

    fn body(self) -> &'static [u8] {
        match self {
            Self::Increment | Self::Read => b"",
            Self::Put => br#"{"value":{"written":"by stead bench","n":1}}"#,
        }
    }
}

fn path(bench: &Bench, number: u32) -> String {
    if let Some(template) = &bench.url_template {
        return template.replace("{n}", &number.to_string());
    }
    let name = part(&format!("{}{number}", bench.prefix));
    match bench.operation {
        Operation::Increment => format!("/v1/objects/counter/{name}/methods/increment"),
        Operation::Read => format!("/v1/objects/counter/{name}"),
        Operation::Put => format!("/v1/objects/object/{name}/state/value"),
    }
}
