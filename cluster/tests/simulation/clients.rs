//! The clients of a run: each asks one thing at a time of whichever node it believes to lead, and writes down what
//! it asked and what it was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;
use stead_cluster::NodeId;

use crate::application::{OperationId, Register};
use crate::history::Action;
use crate::host::{Host, Surroundings};
use crate::service::{Answer, Question};
use crate::wire::{Arrival, CLIENTS, End, HostId};

/// How many there are.
const CLIENTS_COUNT: usize = 6;
/// How many registers they share.
pub(crate) const REGISTERS: Register = 6;
/// How long a client waits for an answer, in milliseconds.
const PATIENCE_MS: u64 = 1_500;
/// How long a client thinks between two questions at most, in milliseconds.
const THINK_MS: u64 = 60;

/// The clients of a run.
pub(crate) struct Clients {
    each: Vec<Client>,
    asked: OperationId,
    /// Who was last seen to answer for a register.
    leaders: BTreeMap<Register, HostId>,
    /// Until then they ask at random; afterwards each register is asked until it has answered.
    is_closing: bool,
    /// Registers that answered a write since the closing began.
    pub(crate) answered: BTreeMap<Register, u64>,
}

enum Client {
    Thinks { until_ms: u64 },
    Waits { question: Question, host: HostId, until_ms: u64, answer: Arc<Mutex<Option<Answer>>> },
}

impl Clients {
    pub(crate) fn new() -> Self {
        let each = (0..CLIENTS_COUNT).map(|_| Client::Thinks { until_ms: 0 }).collect();
        Self { each, asked: 0, leaders: BTreeMap::new(), is_closing: false, answered: BTreeMap::new() }
    }

    /// From now on every register is to answer.
    pub(crate) fn close(&mut self) {
        self.is_closing = true;
    }

    pub(crate) fn have_all_answered(&self) -> bool {
        self.answered.len() == REGISTERS as usize
    }

    /// Lets no client begin anything any more; whether none waits.
    pub(crate) fn are_done(&self) -> bool {
        self.each.iter().all(|client| matches!(client, Client::Thinks { .. }))
    }

    /// Lets each client do what it does now.
    pub(crate) fn act(&mut self, now_ms: u64, hosts: &[Host], around: &Surroundings, random: &mut StdRng) {
        for at in 0..self.each.len() {
            match &self.each[at] {
                Client::Thinks { until_ms } if *until_ms <= now_ms => {
                    if self.is_closing && self.have_all_answered() {
                        continue;
                    }
                    self.each[at] = self.ask(now_ms, hosts, around, random);
                }
                Client::Thinks { .. } => {}
                Client::Waits { question, host, until_ms, answer } => {
                    let told = *answer.lock();
                    let told = told.or_else(|| (*until_ms <= now_ms).then_some(Answer::Unknown));
                    if let Some(told) = told {
                        let (question, host) = (*question, *host);
                        self.hear(now_ms, question, host, told, hosts, around);
                        let until_ms = now_ms + random.random_range(1..=THINK_MS);
                        self.each[at] = Client::Thinks { until_ms };
                    }
                }
            }
        }
    }

    fn ask(&mut self, now_ms: u64, hosts: &[Host], around: &Surroundings, random: &mut StdRng) -> Client {
        self.asked += 1;
        let open: Vec<Register> = (0..REGISTERS)
            .filter(|register| !self.is_closing || !self.answered.contains_key(register))
            .collect();
        let register = open[random.random_range(0..open.len())];
        let action = match random.random_range(0..10) {
            0..4 => Action::Add(random.random_range(1..10)),
            4..6 => Action::Write(self.asked * 1_000),
            _ if self.is_closing => Action::Add(1),
            _ => Action::Read,
        };
        let question = Question { operation: self.asked, register, action, from_disk: random.random() };
        let guess = random.random_range(0..hosts.len());
        let is_wandering = random.random_ratio(1, 5);
        let believed = self.leaders.get(&register).copied().filter(|_| !is_wandering);
        let host = believed.unwrap_or(guess);
        around.observer.with(|seen| seen.history.ask(question.operation, register, action));
        around.trace.note(now_ms, format_args!("ask {host} {question:?}"));
        let answer = Arc::new(Mutex::new(None));
        send(question, host, around, answer.clone());
        Client::Waits { question, host, until_ms: now_ms + PATIENCE_MS, answer }
    }

    fn hear(
        &mut self,
        now_ms: u64,
        question: Question,
        host: HostId,
        told: Answer,
        hosts: &[Host],
        around: &Surroundings,
    ) {
        let Question { operation, register, action, .. } = question;
        around.trace.note(now_ms, format_args!("told {host} {operation} {told:?}"));
        around.observer.with(|seen| match told {
            Answer::Done(value) => seen.history.answer(operation, value),
            Answer::NotHere(_) => seen.history.forget(operation),
            Answer::Unknown => {}
        });
        match told {
            Answer::Done(_) => {
                self.leaders.insert(register, host);
                if self.is_closing && action != Action::Read {
                    self.answered.insert(register, now_ms);
                }
            }
            Answer::NotHere(leader) => {
                self.leaders.remove(&register);
                if let Some(host) = leader.and_then(|leader| host_of_node(hosts, leader)) {
                    self.leaders.insert(register, host);
                }
            }
            Answer::Unknown => drop(self.leaders.remove(&register)),
        }
    }
}

fn host_of_node(hosts: &[Host], node: NodeId) -> Option<HostId> {
    hosts.iter().find(|host| host.node() == Some(node)).map(|host| host.id)
}

/// Sends a question to a host, whose answer goes into `told`.
fn send(question: Question, host: HostId, around: &Surroundings, told: Arc<Mutex<Option<Answer>>>) {
    let me = End { host: CLIENTS, incarnation: 1 };
    let to = around.wire.end_of(host);
    let door = around.doors.lock().get(&host).cloned();
    let wire = around.wire.clone();
    let parcel = move |arrival| {
        let service = door.as_ref().and_then(|door| door.service.lock().clone());
        match (arrival, door, service) {
            (Arrival::Taken, Some(door), Some(service)) => door.put(Box::new(move || {
                async move {
                    let answer = service.answer(question).await;
                    let reply = move |_: Arrival| *told.lock() = Some(answer);
                    wire.send(to, me, "answer", None, Box::new(reply));
                }
                .boxed()
            })),
            (Arrival::Taken | Arrival::Refused, _, _) => *told.lock() = Some(Answer::NotHere(None)),
        }
    };
    around.wire.send(me, to, "ask", None, Box::new(parcel));
}
