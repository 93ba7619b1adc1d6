//! A request that answers with a stream of its own which nobody resumes: a request of the newest revision, or a bare one.
//! The stream is the request: a client that closes it takes the request back.

use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::Mcp;
use super::detached::make_task;
use super::done::{self, Done};
use super::events::Event;
use super::exchange::Outgoing;
use super::running::{First, Running};

/// What came of a request before it said anything, or that it speaks.
pub(super) enum Begun {
    /// It is over.
    Done(Done),
    /// It has something to say first.
    Speaks(Running),
}

/// Runs a request until it is over or speaks. One that takes long becomes a task on the way, if it may.
pub(super) async fn begin(mcp: &Mcp, mut running: Running) -> Begun {
    loop {
        match running.first().await {
            First::Done(done) if running.exchange.outbox.is_empty() => return Begun::Done(done),
            First::Done(done) => {
                running.give_back(done);
                return Begun::Speaks(running);
            }
            First::Speaks => return Begun::Speaks(running),
            First::Detaches => match make_task(mcp, running).await {
                Ok(done) => return Begun::Done(done),
                Err(goes_on) => running = goes_on,
            },
        }
    }
}

/// The events of a request that speaks; the last is its answer.
pub(super) fn speak(mcp: Mcp, running: Running) -> BoxStream<'static, Event> {
    stream::unfold(Some((mcp, running)), |going| async move {
        let (mcp, mut running) = going?;
        loop {
            match running.exchange.outbox.take() {
                Some(Outgoing::Notice(text)) => return Some((Event::passing(text), Some((mcp, running)))),
                // Nobody is asked on a stream of this kind, and there is nothing to come back for.
                Some(Outgoing::Question { .. } | Outgoing::BreakOff) => continue,
                None => {}
            }
            let (id, era) = (running.id.clone(), running.era());
            match begin(&mcp, running).await {
                Begun::Done(done) => return Some((Event::passing(done::message(&id, &done, era)), None)),
                Begun::Speaks(speaks) => running = speaks,
            }
        }
    })
    .boxed()
}
