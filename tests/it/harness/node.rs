//! A node: the real binary, its data directory, its log, and the signals one can send it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{Answer, Connection, PATIENCE, Socket};

/// Lines of the log kept to be shown when a test fails.
const LOG_LINES_MAX: usize = 200;

/// How a node is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// Configuration, TOML.
    pub(crate) config: String,
    /// Variables of its environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Another program, an embedder's own `main`, that takes its configuration from the environment.
    pub(crate) program: Option<PathBuf>,
    /// The network namespace it is started in, if not the test's.
    pub(crate) namespace: Option<PathBuf>,
}

pub(crate) struct Node {
    home: tempfile::TempDir,
    settings: Settings,
    running: Option<Running>,
}

struct Running {
    child: Child,
    address: SocketAddr,
    log: Arc<Log>,
}

/// What a process has said so far.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: VecDeque<String>,
    address: Option<SocketAddr>,
    open_streams: usize,
}

impl Node {
    /// A node with the defaults, ready to serve.
    pub(crate) fn start() -> Self {
        Self::start_with(Settings::default())
    }

    /// A node with this configuration (TOML).
    pub(crate) fn configured(config: &str) -> Self {
        Self::start_with(Settings { config: config.to_owned(), ..Settings::default() })
    }

    pub(crate) fn start_with(settings: Settings) -> Self {
        Self::start_on(settings, |_| {})
    }

    /// A node whose data directory was made by somebody else before it starts.
    pub(crate) fn start_on(settings: Settings, make: impl FnOnce(&Path)) -> Self {
        raise_descriptor_limit();
        let home = tempfile::tempdir().expect("a directory for the node's data");
        let mut node = Self { home, settings, running: None };
        make(&node.data());
        node.start_again();
        node
    }

    /// Starts the stopped node on the same data, and waits until it is ready.
    pub(crate) fn start_again(&mut self) {
        if let Err(log) = self.try_start() {
            panic!("the node did not become ready; its log:\n{log}");
        }
    }

    /// Starts the stopped node on the same data; gives its log where it does not become ready.
    pub(crate) fn try_start(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        self.try_listen()?;
        let running = self.running.as_mut().expect("it listens");
        if wait_ready(running.address, &mut running.child, deadline) {
            return Ok(());
        }
        let log = running.log.text();
        self.kill9();
        Err(log)
    }

    /// Starts the stopped node on the same data; gives its log where it ends before it listens. It may
    /// be listening and have reasons not to be ready.
    pub(crate) fn try_listen(&mut self) -> Result<(), String> {
        assert!(self.running.is_none(), "the node runs already");
        let mut child = self.command().spawn().expect("the server's binary can be started");
        let log = Arc::new(Log::default());
        log.follow(child.stdout.take().expect("its output is piped"));
        log.follow(child.stderr.take().expect("its errors are piped"));
        let Some(address) = log.address(Instant::now() + PATIENCE) else {
            let ended = child.try_wait();
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("{}(it had ended when it was given up: {ended:?})", log.text()));
        };
        self.running = Some(Running { child, address, log });
        Ok(())
    }

    fn command(&self) -> Command {
        let program = self.settings.program.clone().unwrap_or_else(|| env!("CARGO_BIN_EXE_stead").into());
        let mut command = match &self.settings.namespace {
            Some(namespace) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", namespace.display())).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.env_remove("PORT");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STEAD_"))
        {
            command.env_remove(name);
        }
        if self.settings.program.is_none() {
            command.arg("serve");
        }
        if !self.settings.config.is_empty() {
            let file = self.home.path().join("stead.toml");
            std::fs::write(&file, &self.settings.config).expect("the configuration can be written");
            command.arg("--config").arg(file);
        }
        command.env("STEAD_DATA", self.data());
        command.env("STEAD_LISTEN", "127.0.0.1:0").env("STEAD_PEER_LISTEN", "127.0.0.1:0");
        command.envs(self.settings.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Where its data lies.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A directory beside the data that lives as long.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        self.settings.environment.clone()
    }

    pub(crate) fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.settings.environment = environment;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running().address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub(crate) fn log(&self) -> String {
        self.running.as_ref().map(|running| running.log.text()).unwrap_or_default()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.running().child.id()
    }

    /// Ends the process at once, as a crash does: nothing is flushed, nobody is told.
    pub(crate) fn kill9(&mut self) {
        let mut running = self.running.take().expect("the node runs");
        running.child.kill().expect("a process of ours can be killed");
        running.child.wait().expect("a killed process ends");
    }

    /// Kills it and starts it again on the same data (on another port).
    pub(crate) fn restart(&mut self) {
        self.kill9();
        self.start_again();
    }

    /// Asks it to stop, as an init system does, and waits for its end.
    pub(crate) fn term(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait_end()
    }

    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("the node runs");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = running.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = running.child.kill();
                let _ = running.child.wait();
                panic!("the node did not end after SIGTERM; its log:\n{}", running.log.text());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process_id()).expect("a process id fits");
        kill(Pid::from_raw(id), signal).expect("a process of ours takes a signal");
    }

    /// Memory it holds, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process_id())).expect("it runs");
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
            .expect("the kernel says how much memory a process holds")
    }

    /// File descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process_id())).expect("it runs").count()
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address()).await.expect("the server accepts")
    }

    /// One request on a connection of its own.
    pub(crate) async fn request(
        &self,
        verb: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let answer = self.connect().await.request(verb, path, headers, body).await;
        answer.unwrap_or_else(|error| panic!("{verb} {path}: {error}\n{}", self.log()))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, &[], body.to_string().as_bytes()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.request("PUT", path, &[], body.to_string().as_bytes()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, &[], b"").await
    }

    /// A number among its metrics.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").await.expect(200).text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let number = line.and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("{name} is no number of {text}"))
    }

    pub(crate) async fn socket(&self, path: &str) -> Socket {
        Socket::open(self.address(), path).await
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the node runs")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
            if std::thread::panicking() {
                eprintln!("the node's log:\n{}", running.log.text());
            }
        }
    }
}

impl Log {
    /// Reads a stream of the process to its end, in a thread of its own.
    fn follow(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        log.lock().open_streams += 1;
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let Ok(line) = line else { break };
                log.add(line);
            }
            log.lock().open_streams -= 1;
            log.changed.notify_all();
        });
    }

    fn add(&self, line: String) {
        let mut state = self.lock();
        if let Some((_, rest)) = line.split_once("listening on http://") {
            let end =
                rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
            state.address = state.address.or_else(|| rest[..end].parse().ok());
        }
        if state.lines.len() == LOG_LINES_MAX {
            state.lines.pop_front();
        }
        state.lines.push_back(line);
        self.changed.notify_all();
    }

    /// Waits for the address it says; None when it ends or is silent until the deadline.
    fn address(&self, deadline: Instant) -> Option<SocketAddr> {
        let mut state = self.lock();
        while state.address.is_none() && state.open_streams > 0 {
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self.changed.wait_timeout(state, left).expect("no holder of the log panics").0;
        }
        state.address
    }

    fn text(&self) -> String {
        self.lock().lines.iter().fold(String::new(), |text, line| text + line + "\n")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LogState> {
        self.state.lock().expect("no holder of the log panics")
    }
}

/// Thousands of connections need as many descriptors, here and in the server, which inherits the limit.
fn raise_descriptor_limit() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a process may ask for its limits");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("a process may use all that it is allowed");
}

fn wait_ready(address: SocketAddr, child: &mut Child, deadline: Instant) -> bool {
    while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
        if ask_ready(address).unwrap_or(false) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

fn ask_ready(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0_u8; 12];
    stream.read_exact(&mut answer)?;
    Ok(answer.ends_with(b" 200"))
}
