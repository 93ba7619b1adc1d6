//! Nodes whose links are encrypted, as the configuration says. (Who is kept out by that: cluster/tests/link/encrypted.rs.)

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::harness::Members;

/// An authority's certificate, and one that it signed for this machine, in files; as the environment names them.
fn certificates(directory: &Path) -> Vec<(String, String)> {
    let mut params = CertificateParams::new([]).expect("no name is a valid name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&authority_key).expect("it can sign itself").pem();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address is a valid name");
    let certificate = params.signed_by(&key, &issuer).expect("it can be signed").pem();
    let file = |name: &str, text: &str| -> String {
        let file: PathBuf = directory.join(name);
        std::fs::write(&file, text).expect("it can be written");
        file.to_string_lossy().into_owned()
    };
    vec![
        ("STEAD_PEER_CERTIFICATE_FILE".to_owned(), file("node.pem", &certificate)),
        ("STEAD_PEER_KEY_FILE".to_owned(), file("node.key", &key.serialize_pem())),
        ("STEAD_PEER_AUTHORITY_FILE".to_owned(), file("authority.pem", &authority)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_tls_serves_and_takes_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = certificates(directory.path());
    let mut members = Members::found_with(files.clone());
    members.join_with(files.clone()).await;
    members.join_with(files).await;
    members.settled(3).await;
    let path = "/v1/objects/counter/secret/methods/increment";
    for node in 1..=3 {
        assert_eq!(members.get(node).post(path, &json!({})).await.expect(200).version(), node as u64);
    }
    let leader = members.leader_of(1, "counter/secret").await;
    members.get_mut(leader).kill9();
    let other = leader % 3 + 1;
    let key = [("Idempotency-Key", "after")];
    assert_eq!(members.get(other).request("POST", path, &key, b"").await.expect(200).version(), 4);
}
