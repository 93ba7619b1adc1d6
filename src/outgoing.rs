//! HTTP to other servers: the one place where its clients are made.
//!
//! The library takes the provider of its cryptography from the whole process unless it is given one; here it is given
//! the one that the links between nodes have.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Why there is no client for `https`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system's certificates of authorities are not there, or not readable.
    #[error("the certificates of this system's authorities cannot be read: {0}; install ca-certificates")]
    Certificates(tokio_rustls::rustls::Error),
}

/// What makes a client for `http://` only: it trusts nobody.
pub(crate) fn plain() -> reqwest::ClientBuilder {
    let config = versions().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(config)
}

/// What makes a client that trusts the authorities of this system. It reads their certificates.
pub(crate) fn trusting() -> Result<reqwest::ClientBuilder, Error> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let config = versions().with_platform_verifier().map_err(Error::Certificates)?.with_no_client_auth();
    Ok(reqwest::Client::builder().tls_backend_preconfigured(config))
}

fn versions() -> tokio_rustls::rustls::ConfigBuilder<ClientConfig, tokio_rustls::rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
}
