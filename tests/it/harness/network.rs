//! A network of a test's own, on which packets can be dropped: each node on a host of its own (a network
//! namespace), all of them on one bridge, which the test stands on as well.
//!
//! Namespaces need no root: a test that wants a network is run again by [`enter`] in a user namespace in which
//! it is root, alone. It takes `unshare` and `nsenter` (util-linux), `ip` (iproute2) and `nft` (nftables).
//! Packets are dropped silently, as a broken cable or a switch does it: nobody is told by a reset.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::PATIENCE;

/// Set in the environment of the test that runs inside.
const INSIDE: &str = "IN_A_NETWORK_OF_ITS_OWN";
/// The bridge's own address, from which the test speaks.
const BRIDGE: &str = "10.99.0.254/24";

/// Runs the test of this name again in namespaces of its own, and fails if it fails there. True is inside.
pub(crate) fn enter(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let own = std::env::current_exe().expect("a test has a path");
    // Where Debian has the tools of root, which one becomes.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let ended = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "--"])
        .arg(own)
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .env("PATH", path)
        .status()
        .expect("unshare is there (Debian: util-linux)");
    assert!(
        ended.success(),
        "it failed in its namespaces, or they can not be made: see above, and whether this user may make user \
         namespaces (sysctl kernel.unprivileged_userns_clone)"
    );
    false
}

/// Hosts on a bridge.
pub(crate) struct Network {
    hosts: Vec<Child>,
    /// The firewall's chain that packets between hosts pass.
    chain: &'static str,
}

impl Network {
    /// So many hosts, numbered from 1, all reaching all.
    pub(crate) fn of(hosts: usize) -> Self {
        loopback();
        run("ip", "link add bridge type bridge");
        run("ip", &format!("addr add {BRIDGE} dev bridge"));
        run("ip", "link set bridge up");
        run("nft", "add table bridge cuts");
        let chain = "bridge cuts forward";
        run("nft", &format!("add chain {chain} {{ type filter hook forward priority 0 ; }}"));
        let mut network = Self { hosts: Vec::new(), chain };
        for host in 1..=hosts {
            network.hosts.push(hold_namespace());
            let holder = network.holder(host);
            run("ip", &format!("link add host{host} type veth peer name wire netns {holder}"));
            run("ip", &format!("link set host{host} master bridge up"));
            for inside in [
                format!("addr add {}/24 dev wire", address(host)),
                "link set wire up".into(),
                "link set lo up".into(),
            ] {
                run("nsenter", &format!("--net=/proc/{holder}/ns/net ip {inside}"));
            }
        }
        network
    }

    /// The namespace of a host, for a node to be started in.
    pub(crate) fn namespace(&self, host: usize) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder(host)).into()
    }

    /// What one host sends to the other is lost.
    pub(crate) fn cut_one_way(&self, from: usize, to: usize) {
        run("nft", &format!("add rule {} iifname host{from} oifname host{to} drop", self.chain));
    }

    /// Nothing passes between the two.
    pub(crate) fn cut(&self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// A host is cut off from all others; the test still reaches it.
    pub(crate) fn cut_off(&self, host: usize) {
        for other in (1..=self.hosts.len()).filter(|other| *other != host) {
            self.cut(host, other);
        }
    }

    /// Everything passes again.
    pub(crate) fn heal(&self) {
        run("nft", &format!("flush chain {}", self.chain));
    }

    fn holder(&self, host: usize) -> u32 {
        self.hosts[host - 1].id()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            let _ = host.kill();
            let _ = host.wait();
        }
    }
}

/// Lets processes of this namespace speak to each other.
pub(crate) fn loopback() {
    run("ip", "link set lo up");
}

/// The address of a host.
pub(crate) fn address(host: usize) -> String {
    format!("10.99.0.{host}")
}

/// A process that holds a network namespace open, and ends with this one.
fn hold_namespace() -> Child {
    let holder = Command::new("unshare")
        .args(["--net", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("unshare is there");
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let (own, id) = (namespace("self"), holder.id().to_string());
    let deadline = Instant::now() + PATIENCE;
    while namespace(&id).is_none_or(|held| Some(held) == own) {
        assert!(Instant::now() < deadline, "no network namespace was made");
        std::thread::yield_now();
    }
    holder
}

fn run(program: &str, words: &str) {
    let output = Command::new(program)
        .args(words.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("{program} can not be run: {error} (make deps installs it)"));
    assert!(output.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&output.stderr));
}
