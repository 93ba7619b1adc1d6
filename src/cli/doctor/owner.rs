//! Whose a data directory is, and what else lies in it beside the data: the join secret, and what is kept of damage.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Finding;
use crate::server::directory::{Owner, evidence_in, owner_of};
use crate::server::{JOIN_SECRET_FILE, join_secret_in};

/// What others than its owner must not have of the secret's file.
const OTHERS_MODE: u32 = 0o077;

/// Looks at what is beside the data, and, if it is free, at whose they are.
pub(super) fn examine(directory: &Path, is_free: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if is_free {
        findings.push(match owner_of(directory) {
            Ok(owner) => belongs(owner.as_ref()),
            Err(problem) => Finding::bad(
                problem.to_string(),
                "keep a copy of the directory; then let the node join anew with an empty one, and copy its data from the others",
            ),
        });
    }
    findings.push(secret(directory));
    findings.extend(evidence_in(directory).map(|kept| {
        Finding::doubtful(
            format!("the logs from before a recovery that found damage are kept in {}", kept.display()),
            "see the node's log for the shards it stopped; keep a copy of the directory until they are restored, then \
             remove that one",
        )
    }));
    findings
}

fn belongs(owner: Option<&Owner>) -> Finding {
    match owner {
        None => Finding::doubtful(
            "the node belongs to no cluster yet",
            "start it; with --join it asks a member to let it in, without it makes a cluster of its own",
        ),
        Some(Owner { cluster, node, is_removed: true, .. }) => Finding::bad(
            format!("this was node {node} of the cluster {cluster}, which removed it"),
            "start the node with an empty directory to join again; what is here is not needed any more",
        ),
        Some(Owner { cluster, node, shards, opened, is_removed: false }) => {
            let times = if *opened == 1 { "once".to_owned() } else { format!("{opened} times") };
            Finding::good(format!(
                "it is node {node} of the cluster {cluster}, of {shards} shards, opened {times}"
            ))
        }
    }
}

fn secret(directory: &Path) -> Finding {
    let path = directory.join(JOIN_SECRET_FILE);
    let shown = path.display();
    match fs::metadata(&path) {
        Err(problem) if problem.kind() == ErrorKind::NotFound => Finding::good(
            "no join secret was made here: the node is given one (STEAD_JOIN_SECRET or --join-secret-file)",
        ),
        Err(problem) => Finding::bad(
            format!("the join secret {shown} cannot be looked at: {problem}"),
            "run this as the user that runs the node, or give the directory to it",
        ),
        Ok(metadata) if metadata.mode() & OTHERS_MODE != 0 => Finding::bad(
            format!("others may read the join secret {shown}"),
            format!(
                "chmod 600 {shown}; whoever has read it can be a node of the cluster, so give all nodes another"
            ),
        ),
        Ok(_) => match join_secret_in(directory) {
            Ok(_) => Finding::good("the join secret is there, and only its owner may read it"),
            Err(problem) => Finding::bad(
                problem.to_string(),
                "copy it from another node; without it the node can not prove to the others who it is",
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::show;
    use super::{Owner, belongs, examine};
    use crate::server::JOIN_SECRET_FILE;

    #[test]
    fn directories_belong_to_somebody() {
        let owner = |opened, is_removed| Owner {
            cluster: "ab12".to_owned(),
            node: 3,
            shards: 12,
            opened,
            is_removed,
        };
        let found = [
            belongs(None),
            belongs(Some(&owner(1, false))),
            belongs(Some(&owner(7, false))),
            belongs(Some(&owner(7, true))),
        ];
        expect_test::expect![[r"
            look  the node belongs to no cluster yet
                  to do: start it; with --join it asks a member to let it in, without it makes a cluster of its own
            ok    it is node 3 of the cluster ab12, of 12 shards, opened once
            ok    it is node 3 of the cluster ab12, of 12 shards, opened 7 times
            bad   this was node 3 of the cluster ab12, which removed it
                  to do: start the node with an empty directory to join again; what is here is not needed any more"]]
        .assert_eq(&show(&found));
    }

    #[test]
    fn the_secret_is_its_owners_and_damage_is_told() {
        let home = tempfile::tempdir().expect("a directory for the test");
        let path = home.path().join(JOIN_SECRET_FILE);
        let found = || show(&examine(home.path(), false)).replace(&home.path().display().to_string(), "DIR");
        assert!(found().starts_with("ok    no join secret was made here"), "{}", found());
        let put = |text: &str, mode| {
            fs::write(&path, text).expect("it is written");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
            found()
        };
        expect_test::expect!["ok    the join secret is there, and only its owner may read it"]
            .assert_eq(&put("0123456789abcdef", 0o600));
        expect_test::expect![[r"
            bad   others may read the join secret DIR/join-secret
                  to do: chmod 600 DIR/join-secret; whoever has read it can be a node of the cluster, so give all nodes another"]]
        .assert_eq(&put("0123456789abcdef", 0o640));
        assert!(put("short", 0o600).contains("fewer than 16 characters"), "{}", found());
        fs::create_dir(home.path().join("wal-before-recovery")).expect("it is made");
        assert!(
            found().contains("look  the logs from before a recovery that found damage are kept in DIR/wal"),
            "{}",
            found()
        );
    }
}
