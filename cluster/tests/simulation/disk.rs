//! The disk of a host: what it takes, and what of it is left after the power went.
//!
//! Writes take virtual time, before and after they happen, so that a process can die between the two. A killed
//! process loses nothing it had handed to the kernel. A power cut takes from the write-ahead log some or all of what
//! was not flushed, at any byte: the file is cut there, or ends in zeros. Of the witness it may tear the newest slot.
//! What `RocksDB` flushes of its own accord (tables, manifest) stays, as does the log it had closed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use stead_cluster::{SimulatedDisk, WriteHook, WriteKind};

/// How long each half of a write takes at most, in microseconds.
const HALF_US: u64 = 700;
/// How long each half of a write takes at most on a slow disk, in microseconds.
const SLOW_HALF_US: u64 = 120_000;
/// The witness has two slots, each a page here.
const SLOT_BYTES: u64 = 4_096;

/// The disk under one process.
#[derive(Clone)]
pub(crate) struct Disk(Arc<State>);

struct State {
    data_dir: PathBuf,
    now: Mutex<Now>,
}

struct Now {
    random: StdRng,
    is_slow: bool,
    fails: bool,
    /// The write-ahead log as of the last flush.
    flushed: Option<Log>,
    /// While a batch is being written: what was flushed before it, and the witness of then.
    during: Option<(Option<Log>, Vec<u8>)>,
}

/// A write-ahead log: its file, and how long it is.
pub(crate) type Log = (PathBuf, u64);

impl Disk {
    /// The disk as the process before left it: what was `flushed` of its write-ahead log is not lost any more.
    pub(crate) fn new(data_dir: &Path, seed: u64, flushed: Option<Log>) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let now = Mutex::new(Now { random, is_slow: false, fails: false, flushed, during: None });
        Self(Arc::new(State { data_dir: data_dir.to_owned(), now }))
    }

    /// What of the write-ahead log is flushed.
    pub(crate) fn flushed(&self) -> Option<Log> {
        self.0.now.lock().flushed.clone()
    }

    pub(crate) fn set_slow(&self, is_slow: bool) {
        self.0.now.lock().is_slow = is_slow;
    }

    /// Every write fails from now on.
    pub(crate) fn fail(&self) {
        self.0.now.lock().fails = true;
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.0.now.lock().fails
    }

    /// Takes away what a power cut takes. The process must be gone.
    pub(crate) fn cut_power(&self) -> io::Result<()> {
        let mut now = self.0.now.lock();
        let witness = self.0.data_dir.join("witness");
        // In the middle of a write the flush may not have been done yet, nor what comes after it.
        if let Some((flushed, noted)) = now.during.take()
            && now.random.random()
        {
            now.flushed = flushed;
            std::fs::write(&witness, noted)?;
        }
        if let Some((path, length)) = newest_log(&self.0.data_dir)? {
            let flushed = match &now.flushed {
                Some((flushed_path, flushed)) if *flushed_path == path => *flushed,
                _ => 0,
            };
            assert!(flushed <= length, "a log does not get shorter");
            let left = now.random.random_range(flushed..=length);
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(left)?;
            if now.random.random() {
                file.set_len(length)?; // its length had reached the disk, its bytes had not
            }
        }
        if now.random.random() {
            tear_witness(&witness)?;
        }
        // What the cut has left had reached the disk.
        now.flushed = newest_log(&self.0.data_dir)?;
        Ok(())
    }

    fn half(&self) -> BoxFuture<'static, ()> {
        let mut now = self.0.now.lock();
        let longest = if now.is_slow { SLOW_HALF_US } else { HALF_US };
        let duration = Duration::from_micros(now.random.random_range(0..=longest));
        tokio::time::sleep(duration).boxed()
    }

    fn note_begun(&self) {
        let witness = std::fs::read(self.0.data_dir.join("witness")).unwrap_or_default();
        let mut now = self.0.now.lock();
        now.during = Some((now.flushed.clone(), witness));
    }

    fn note_flushed(&self) {
        // Cannot be read: then nothing of it counts as flushed, and a power cut shows it.
        let newest = newest_log(&self.0.data_dir).ok().flatten();
        self.0.now.lock().flushed = newest;
    }
}

impl SimulatedDisk for Disk {
    fn begins(&self) -> BoxFuture<'static, ()> {
        let (disk, half) = (self.clone(), self.half());
        async move {
            half.await;
            disk.note_begun();
        }
        .boxed()
    }

    fn ends(&self, kind: WriteKind) -> BoxFuture<'static, ()> {
        if kind == WriteKind::Synced {
            self.note_flushed();
        }
        let (disk, half) = (self.clone(), self.half());
        async move {
            half.await;
            disk.0.now.lock().during = None;
        }
        .boxed()
    }
}

impl WriteHook for Disk {
    fn before(&self, _: WriteKind, _: usize) -> Result<(), String> {
        if self.0.now.lock().fails { Err("the simulated disk failed".to_owned()) } else { Ok(()) }
    }
}

/// The write-ahead log that is being written.
fn newest_log(data_dir: &Path) -> io::Result<Option<Log>> {
    let directory = data_dir.join("rocksdb");
    if !directory.exists() {
        return Ok(None);
    }
    let mut newest: Option<PathBuf> = None;
    for file in std::fs::read_dir(directory)? {
        let path = file?.path();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        // Their names are numbers of one width.
        if is_log && newest.as_ref().is_none_or(|newest| *newest < path) {
            newest = Some(path);
        }
    }
    newest
        .map(|path| {
            let length = std::fs::metadata(&path)?.len();
            Ok((path, length))
        })
        .transpose()
}

/// Spoils the newest slot of the witness, unless the other is of another mind about a shutdown.
fn tear_witness(path: &Path) -> io::Result<()> {
    let Ok(file) = File::options().read(true).write(true).open(path) else { return Ok(()) };
    let number = |slot: u64| -> io::Result<(u64, u8)> {
        let mut header = [0; 17];
        file.read_exact_at(&mut header, slot * SLOT_BYTES)?;
        let [_, _, _, _, _, _, _, _, number @ .., was_shut_down] = header;
        Ok((u64::from_be_bytes(number), was_shut_down))
    };
    let (Ok(first), Ok(second)) = (number(0), number(1)) else { return Ok(()) };
    let (newest, (_, was_shut_down)) = if first > second { (0, first) } else { (1, second) };
    if was_shut_down == 0 && first.0.min(second.0) > 0 {
        file.write_all_at(&[0xff; 4], newest * SLOT_BYTES + 13)?;
    }
    Ok(())
}
