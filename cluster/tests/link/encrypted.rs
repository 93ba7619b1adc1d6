//! Links with TLS: between nodes of one authority, and with nobody else.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use stead_cluster::network::tcp::TcpOptions;
use stead_cluster::network::tcp::tls::{Tls, TlsFiles};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::node::{Node, meet, member, options};

/// Who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A node's certificate for a name, beside the authority a node trusts.
    fn sign(&self, name: &str, trusted: &Self) -> Tls {
        let directory = TempDir::new().unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let files = TlsFiles {
            certificate: directory.path().join("node.pem"),
            key: directory.path().join("node.key"),
            authority: directory.path().join("authority.pem"),
        };
        let write = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
        write(&files.certificate, &certificate);
        write(&files.key, &key.serialize_pem());
        write(&files.authority, &trusted.certificate);
        Tls::load(&files).unwrap()
    }
}

async fn node(id: u64, tls: Option<Tls>) -> Node {
    Node::start_as(member(id, 1), TcpOptions { tls, ..options("127.0.0.1:0") }).await
}

#[tokio::test]
async fn nodes_of_one_authority_meet_and_what_they_say_is_not_readable() {
    let authority = Authority::new();
    let sign = || Some(authority.sign("127.0.0.1", &authority));
    let (one, two) = (node(1, sign()).await, node(2, sign()).await);
    meet(&one, &two).await;
    // Somebody without TLS is not even spoken to in clear.
    let mut stream = TcpStream::connect(one.address()).await.unwrap();
    stream.write_all(&[0, 0, 0, 2, b'{', b'}']).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.first().is_none_or(|byte| *byte == 0x15), "a TLS alert or nothing: {answer:?}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_on_both_sides() {
    let (authority, other) = (Authority::new(), Authority::new());
    let one = node(1, Some(other.sign("127.0.0.1", &authority))).await;
    let two = node(2, Some(authority.sign("127.0.0.1", &authority))).await;
    one.knows(&[(two.id, two.address().to_string())]);
    two.knows(&[(one.id, one.address().to_string())]);
    for (from, to) in [(&one, &two), (&two, &one)] {
        let state = from.sees(to.id, "is refused", |state| state.refused.is_some()).await;
        assert!(state.refused.unwrap().starts_with("TLS: "));
        assert!(!state.connected);
    }
}

#[tokio::test]
async fn a_certificate_for_another_address_is_refused() {
    let authority = Authority::new();
    let one = node(1, Some(authority.sign("127.0.0.1", &authority))).await;
    let two = node(2, Some(authority.sign("127.0.0.2", &authority))).await;
    one.knows(&[(two.id, two.address().to_string())]);
    let state = one.sees(two.id, "is refused", |state| state.refused.is_some()).await;
    assert!(state.refused.unwrap().contains("not valid for name"));
}

#[tokio::test]
async fn a_node_without_tls_does_not_meet_one_with_it() {
    let authority = Authority::new();
    let one = node(1, None).await;
    let two = node(2, Some(authority.sign("127.0.0.1", &authority))).await;
    one.knows(&[(two.id, two.address().to_string())]);
    let state = one.sees(two.id, "is refused", |state| state.refused.is_some()).await;
    assert!(state.refused.unwrap().contains("it speaks TLS and this node does not"));
}

#[test]
fn a_missing_file_is_named() {
    let missing = Path::new("/nowhere/node.pem").to_owned();
    let files = TlsFiles { certificate: missing.clone(), key: missing.clone(), authority: missing };
    let error = Tls::load(&files).unwrap_err().to_string();
    assert!(error.contains("/nowhere/node.pem"), "{error}");
}
