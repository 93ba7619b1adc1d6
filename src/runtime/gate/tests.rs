//! The gate when commits are refused out of their order, as a leader that hands over refuses them.

use stead_cluster::{LogIndex, Term, Verdict, Why};
use tokio::sync::oneshot;

use super::{Gate, Output, Settled};
use crate::clock::Clock;
use crate::object::{ObjectAddress, Version};
use crate::runtime::activation::Supervisor;
use crate::runtime::failure::Failure;
use crate::runtime::parts::Parts;
use crate::runtime::presence::{Admission, Presence};
use crate::runtime::streams::Streams;
use crate::runtime::timers::Timers;
use crate::runtime::work::{Given, Reply};
use crate::runtime::{Answer, Outcome};
use crate::telemetry::Metrics;

async fn gate() -> Gate {
    let metrics = Metrics::new();
    let supervisor = ractor::Actor::spawn(None, Supervisor::new(metrics.clone()), ()).await;
    let parts = Parts {
        supervisor: supervisor.expect("it starts").0,
        streams: Streams::default(),
        timers: Timers::default(),
        clock: Clock::default().into(),
        metrics,
        own_subject: "stead".into(),
    };
    Gate::new(ObjectAddress::parse("default", "counter", "one").expect("an address"), parts.into())
}

fn output() -> (Output, oneshot::Receiver<Given>) {
    let admission = Admission::to(&Presence::new(Term::default())).expect("there is room");
    let (reply, answer) = Reply::new(admission);
    let outcome = Answer { version: Version(1), outcome: Outcome::Put };
    (Output { update: None, timer: None, reply, answer: Ok(outcome) }, answer)
}

/// What a caller was told: `none` yet, `answer`, or the code of an error.
fn told(answer: &mut oneshot::Receiver<Given>) -> &'static str {
    match answer.try_recv() {
        Ok(Ok(_)) => "answer",
        Ok(Err(Failure::Answered(error))) => error.code.as_str(),
        Ok(Err(Failure::NotRun(_))) => "not run",
        Err(_) => "none",
    }
}

fn commit(gate: &Gate) -> (u64, oneshot::Receiver<Given>) {
    let (output, answer) = output();
    (gate.after_commit(output).expect("no commit was refused"), answer)
}

fn read(gate: &Gate) -> oneshot::Receiver<Given> {
    let (output, answer) = output();
    gate.after_reads(output);
    answer
}

fn repeat(gate: &Gate) -> oneshot::Receiver<Given> {
    let (output, answer) = output();
    gate.after_repeated(output);
    answer
}

#[tokio::test]
async fn what_repeats_a_commit_of_unknown_outcome_is_of_unknown_outcome() {
    let gate = gate().await;
    let (first, mut one) = commit(&gate);
    let (mut repeated, mut seen) = (repeat(&gate), read(&gate));
    gate.settle(first, &Verdict::Unknown(Why::LeaderChanged));
    assert_eq!([told(&mut one), told(&mut repeated)], ["outcome_unknown"; 2]);
    assert_eq!(told(&mut seen), "unavailable");
    // And what comes after that: the record it found may be of that commit.
    assert_eq!(told(&mut repeat(&gate)), "outcome_unknown");
}

const fn applied(index: LogIndex) -> Verdict {
    Verdict::Applied { index }
}

#[tokio::test]
async fn what_is_ahead_of_a_refused_commit_stands() {
    let gate = gate().await;
    let (first, mut one) = commit(&gate);
    let mut seen_one = read(&gate);
    let (second, mut two) = commit(&gate);
    let mut seen_two = read(&gate);
    let (third, mut three) = commit(&gate);
    gate.settle(second, &Verdict::NotProposed(Why::NotLeading));
    assert_eq!([told(&mut one), told(&mut seen_one)], ["none"; 2]);
    assert_eq!([told(&mut two), told(&mut seen_two), told(&mut three)], ["unavailable"; 3]);
    assert!(gate.is_over() && !gate.has_room_for(10));
    gate.settle(third, &Verdict::NotProposed(Why::NotLeading));
    gate.settle(first, &applied(7));
    assert_eq!([told(&mut one), told(&mut seen_one)], ["answer"; 2]);
    assert_eq!(gate.settled(), Settled { all: true, number: 1, index: 7 });
    gate.at_most(0).await;
}

#[tokio::test]
async fn a_turn_that_ran_beside_a_refusal_gives_nothing_out() {
    let gate = gate().await;
    let (first, mut one) = commit(&gate);
    let (second, _) = commit(&gate);
    gate.settle(second, &Verdict::NotProposed(Why::Overloaded));
    let (late, mut answer) = output();
    assert_eq!(gate.after_commit(late), None, "it would build on what is in no log");
    assert_eq!(told(&mut answer), "unavailable");
    assert_eq!(told(&mut read(&gate)), "unavailable", "it may have read what is in no log");
    gate.settle(first, &applied(3));
    assert_eq!(told(&mut one), "answer");
    assert_eq!(told(&mut read(&gate)), "unavailable");
}

#[tokio::test]
async fn a_read_beside_a_failure_gives_nothing_out() {
    let gate = gate().await;
    let (first, mut one) = commit(&gate);
    gate.settle(first, &Verdict::Unknown(Why::LeaderChanged));
    assert_eq!(told(&mut one), "outcome_unknown");
    assert_eq!(told(&mut read(&gate)), "unavailable");
}

#[tokio::test]
async fn everything_behind_a_failure_fails() {
    let gate = gate().await;
    let (first, mut one) = commit(&gate);
    let (second, mut two) = commit(&gate);
    let mut seen = read(&gate);
    let (third, mut three) = commit(&gate);
    gate.settle(first, &Verdict::Unknown(Why::LeaderChanged));
    gate.settle(second, &Verdict::Unknown(Why::LeaderChanged));
    gate.settle(third, &Verdict::NotProposed(Why::NotLeading));
    assert_eq!([told(&mut one), told(&mut two)], ["outcome_unknown"; 2]);
    assert_eq!([told(&mut seen), told(&mut three)], ["unavailable"; 2]);
    gate.at_most(0).await;
}
