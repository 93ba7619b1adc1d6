//! A request while it runs, and the first thing that comes of it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value as Json;

use super::done::Done;
use super::exchange::Exchange;
use super::revision::Era;
use super::work::{Origin, Work};
use super::{Mcp, dispatch};
use crate::limits::MCP_TASK_AFTER;

/// A request that runs. Dropping it ends it.
pub(super) struct Running {
    pub(super) exchange: Arc<Exchange>,
    pub(super) id: Json,
    call: BoxFuture<'static, Done>,
    /// A moment has passed, or the call has asked: it was tried to make it a task.
    settled: bool,
}

/// What comes first of a request.
pub(super) enum First {
    /// Its end.
    Done(Done),
    /// It has something to tell or ask before.
    Speaks,
    /// It takes long, or wants to be a task.
    Detaches,
}

impl Running {
    pub(super) fn start(mcp: &Mcp, exchange: Exchange, id: Json, work: Work, origin: Origin) -> Self {
        let exchange = Arc::new(exchange);
        let settled = !exchange.detach.may();
        let (mcp, within) = (mcp.clone(), exchange.clone());
        let call = async move { dispatch::run(&mcp, &within, work, &origin).await };
        Self { exchange, id, call: call.boxed(), settled }
    }

    /// Waits for the first thing. Cancel safe.
    pub(super) async fn first(&mut self) -> First {
        let Self { exchange, call, settled, .. } = self;
        let long = async {
            if *settled {
                std::future::pending::<()>().await;
            } else {
                tokio::time::sleep(MCP_TASK_AFTER).await;
            }
        };
        tokio::select! {
            biased;
            done = call => First::Done(done),
            () = exchange.outbox.filled() => First::Speaks,
            () = exchange.detach.asked(), if !*settled => First::Detaches,
            () = long => First::Detaches,
        }
    }

    /// Waits for its end.
    pub(super) async fn done(&mut self) -> Done {
        (&mut self.call).await
    }

    /// It was made a task, or could not be; that is not tried again.
    pub(super) fn settle(&mut self) {
        self.settled = true;
    }

    /// Its end was taken, and is given back for who waits for it next.
    pub(super) fn give_back(&mut self, done: Done) {
        self.call = std::future::ready(done).boxed();
        self.settled = true;
    }

    pub(super) fn era(&self) -> Era {
        self.exchange.era
    }
}
