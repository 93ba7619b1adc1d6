//! A host: a disk, a clock that is a little wrong, and the processes that run there one after the other.

use std::path::PathBuf;
use std::sync::Arc;

use stead_cluster::network::Member;
use stead_cluster::{NodeId, Options};

use crate::disk::Log;
use crate::network::{Doors, address_of};
use crate::observer::Observer;
use crate::process::{Process, Start};
use crate::trace::Trace;
use crate::wire::{End, HostId, Incarnation, Wire};

/// What every host of a run shares.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) wire: Wire,
    pub(crate) trace: Trace,
    pub(crate) doors: Doors,
    pub(crate) observer: Arc<Observer>,
    pub(crate) options: Options,
}

/// How a process comes to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// It alone: its host answers for it that nobody listens.
    Kill,
    /// With its host: nobody answers, and what was not flushed is lost.
    PowerCut,
}

/// A host.
pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) data_dir: PathBuf,
    pub(crate) incarnation: Incarnation,
    pub(crate) process: Option<Process>,
    /// Who its last process was, once it had told.
    pub(crate) member: Option<Member>,
    /// How the last process ended, if it did.
    pub(crate) death: Option<Death>,
    /// When the next process starts, while none runs.
    pub(crate) starts_ms: u64,
    /// Since when the process is paused, and until when.
    pub(crate) paused: Option<(u64, u64)>,
    /// How much faster its clock runs, in parts of a million.
    pub(crate) skew_ppm: i64,
    /// Time that its clock has run and its process has not, in microseconds.
    owed_us: i64,
    is_stopping: bool,
    /// When somebody starts the process again, whose disk has failed.
    mended_ms: Option<u64>,
    /// What is flushed of the write-ahead log that the last process wrote.
    flushed: Option<Log>,
    surroundings: Surroundings,
}

impl Host {
    pub(crate) fn new(id: HostId, data_dir: PathBuf, skew_ppm: i64, surroundings: Surroundings) -> Self {
        Self {
            id,
            data_dir,
            incarnation: 0,
            process: None,
            member: None,
            death: None,
            starts_ms: 0,
            paused: None,
            skew_ppm,
            owed_us: 0,
            is_stopping: false,
            mended_ms: None,
            flushed: None,
            surroundings,
        }
    }

    fn note(&self, event: std::fmt::Arguments<'_>) {
        let Surroundings { trace, wire, .. } = &self.surroundings;
        trace.note(wire.now_ms(), format_args!("host {} {event}", self.id));
    }

    /// Starts a process.
    pub(crate) fn start(&mut self, seed: u64) {
        assert!(self.process.is_none(), "one process at a time has the disk");
        self.incarnation += 1;
        self.note(format_args!("starts, the {}.", self.incarnation));
        let Surroundings { wire, doors, observer, options, .. } = self.surroundings.clone();
        wire.set_running(self.id, Some(self.incarnation), false);
        let options = Options {
            address: address_of(self.id),
            peer_address: address_of(self.id),
            join: (self.id != 0).then(|| address_of(0)),
            ..options
        };
        let me = End { host: self.id, incarnation: self.incarnation };
        let start = Start {
            me,
            wire,
            doors,
            observer,
            data_dir: &self.data_dir,
            flushed: self.flushed.clone(),
            options,
            seed,
        };
        self.process = Some(Process::start(start));
    }

    /// Lets a millisecond pass. The process may end by itself.
    pub(crate) fn run(&mut self, now_ms: u64) {
        self.owed_us += 1_000 + self.skew_ppm / 1_000;
        if self.paused.is_some_and(|(_, until)| now_ms < until) {
            return;
        }
        let Some(process) = &mut self.process else {
            self.owed_us = 0;
            return;
        };
        let due_ms = u64::try_from(self.owed_us / 1_000).unwrap_or_default();
        self.owed_us %= 1_000;
        if self.paused.take().is_some() {
            process.resume_after_ms(due_ms);
            self.note(format_args!("goes on"));
        } else if due_ms > 0 {
            process.run_ms(due_ms);
        }
        self.look_after(now_ms);
    }

    /// What the process has become.
    fn look_after(&mut self, now_ms: u64) {
        let Some(process) = &self.process else { return };
        self.member = process.network.member.get().copied().or(self.member);
        if let Some(reason) = process.failure() {
            self.note(format_args!("does not open: {reason}"));
            let is_damage = !reason.contains("joined") && !process.disk.has_failed();
            if is_damage {
                self.surroundings.observer.violation(format!("host {} does not open: {reason}", self.id));
            }
            self.end(Death::Kill, now_ms + 500);
        } else if self.mended_ms.is_some_and(|mended| mended <= now_ms) {
            self.end(Death::Kill, now_ms + 1);
        } else if self.is_stopping && !process.is_busy() {
            self.note(format_args!("has shut down"));
            self.end(Death::Kill, now_ms + 100);
        }
    }

    /// Ends the process.
    pub(crate) fn end(&mut self, death: Death, starts_ms: u64) {
        let Some(process) = self.process.take() else { return };
        self.note(format_args!("ends: {death:?}, starts at {starts_ms}"));
        self.surroundings.wire.set_running(self.id, None, death == Death::PowerCut);
        self.surroundings.doors.lock().remove(&self.id);
        let disk = process.kill();
        if death == Death::PowerCut {
            disk.cut_power().expect("the files of a simulated disk can be changed");
        }
        self.flushed = disk.flushed();
        (self.death, self.starts_ms) = (Some(death), starts_ms);
        (self.paused, self.is_stopping, self.owed_us, self.mended_ms) = (None, false, 0, None);
    }

    /// Its disk has failed; somebody starts the process again then.
    pub(crate) fn is_mended_at(&mut self, mended_ms: u64) {
        self.mended_ms = Some(mended_ms);
    }

    pub(crate) fn shut_down(&mut self) {
        if let Some(process) = &mut self.process
            && process.service().is_some()
            && !self.is_stopping
        {
            process.shut_down();
            self.is_stopping = true;
            self.note(format_args!("is shut down"));
        }
    }

    /// Stops the process until then, as SIGSTOP does.
    pub(crate) fn pause(&mut self, now_ms: u64, until_ms: u64) {
        if self.process.is_some() && self.paused.is_none() {
            self.paused = Some((now_ms, until_ms));
            self.note(format_args!("is paused until {until_ms}"));
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some() && self.paused.is_none()
    }

    pub(crate) fn node(&self) -> Option<NodeId> {
        self.member.map(|member| member.node)
    }
}
