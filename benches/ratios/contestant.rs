//! The servers that are compared, each a process with fresh data, ended when it is dropped.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a server may take to begin.
const START_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Contestant {
    child: Child,
    pub(crate) address: SocketAddr,
    data: Option<tempfile::TempDir>,
}

/// What one slice of load showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// A load: what is done, by how many, on how many objects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) operation: &'static str,
    pub(crate) clients: u32,
    pub(crate) objects: u32,
}

impl Contestant {
    /// Stead with its defaults, on an empty data directory.
    pub(crate) fn stead() -> Self {
        Self::stead_on(directory())
    }

    /// Stead on the data that is there.
    pub(crate) fn stead_on(data: tempfile::TempDir) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0", "--data"]);
        command.arg(data.path());
        command.env("STEAD_LOG_FILTER", "warn,stead::server=info");
        let mut contestant = Self::spoken(command);
        contestant.data = Some(data);
        contestant
    }

    /// The bare axum handler: this program, another process.
    pub(crate) fn bare() -> Self {
        Self::of_this_program("bare")
    }

    /// The bare axum handler that broadcasts.
    pub(crate) fn broadcast() -> Self {
        Self::of_this_program("broadcast")
    }

    fn of_this_program(word: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg(word);
        Self::spoken(command)
    }

    /// workerd, or why not.
    pub(crate) fn workerd() -> Result<Self, String> {
        let program = workerd_program()?;
        let data = directory();
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| format!("no free port: {error}"))?
            .port();
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/workerd/config.capnp");
        let child = Command::new(program)
            .arg("serve")
            .arg(config)
            .arg(format!("--socket-addr=http=127.0.0.1:{port}"))
            .arg(format!("--directory-path=disk={}", data.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("workerd does not start: {error}"))?;
        let contestant = Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)), data: Some(data) };
        contestant.wait_open()?;
        Ok(contestant)
    }

    /// A server that says `listening on http://ADDRESS`.
    fn spoken(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server of ours can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            let read = lines.read_line(&mut line).expect("its output is text");
            assert!(read > 0, "the server ended before it listened");
            if let Some((_, rest)) = line.split_once("listening on http://") {
                break rest.trim().parse().expect("it says its address");
            }
        };
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new())); // so that its output is never full
        let contestant = Self { child, address, data: None };
        contestant.wait_open().expect("it listens");
        contestant
    }

    fn wait_open(&self) -> Result<(), String> {
        let begun = Instant::now();
        while TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_err() {
            if begun.elapsed() > START_MAX {
                return Err("it does not listen".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Loads it for a slice.
    pub(crate) fn load(&self, load: Load, slice_s: f64) -> Slice {
        load_on(&[self.address], load, slice_s)
    }

    /// Memory it holds, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
            .expect("the kernel says how much memory a process holds");
        kib * 1024
    }

    /// Kills it, and gives its data for another start.
    pub(crate) fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().expect("a process of ours can be killed");
        self.child.wait().expect("a killed process ends");
        self.data.take().expect("it has data")
    }
}

/// Loads nodes for a slice, the clients spread over them.
pub(crate) fn load_on(addresses: &[SocketAddr], load: Load, slice_s: f64) -> Slice {
    load_with(addresses, load, slice_s, &[])
}

/// The same with further words for the load generator.
pub(crate) fn load_with(addresses: &[SocketAddr], load: Load, slice_s: f64, words: &[&str]) -> Slice {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
    command.args(["bench", load.operation, "-o", "json", "--warmup", "0.3"]);
    for (number, address) in addresses.iter().enumerate() {
        command.args([if number == 0 { "--server" } else { "--also" }, &format!("http://{address}")]);
    }
    let output = command
        .args(["--clients", &load.clients.to_string(), "--objects", &load.objects.to_string()])
        .args(["--seconds", &slice_s.to_string()])
        .args(words)
        .output()
        .expect("the load generator can be started");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["errors"], serde_json::json!({}), "{load:?} had errors: {report}");
    let quantile_ms = |name: &str| report["latency_us"][name].as_f64().expect("a latency") / 1_000.0;
    Slice {
        per_second: report["per_second"].as_f64().expect("a rate"),
        p50_ms: quantile_ms("p50"),
        p99_ms: quantile_ms("p99"),
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory on the disk that data would lie on: `STEAD_BENCH_DIR`, or that of temporary files.
pub(crate) fn directory() -> tempfile::TempDir {
    match std::env::var_os("STEAD_BENCH_DIR") {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    }
    .expect("a directory for data")
}

/// workerd of npm, installed once beside the build.
fn workerd_program() -> Result<PathBuf, String> {
    let built = Path::new(env!("CARGO_BIN_EXE_stead")).parent().expect("a binary lies in a directory");
    let home = built.join("workerd");
    let program = home.join("node_modules/.bin/workerd");
    if !program.exists() {
        std::fs::create_dir_all(&home).map_err(|error| error.to_string())?;
        let installed = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--prefix"])
            .arg(&home)
            .arg("workerd@1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match installed {
            Ok(status) if status.success() && program.exists() => {}
            Ok(_) => return Err("npm cannot install workerd".to_owned()),
            Err(error) => return Err(format!("npm is not here: {error}")),
        }
    }
    Ok(program)
}
