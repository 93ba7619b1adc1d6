//! This node as other nodes ask it: calls, lists and streams of objects that it leads.
//!
//! It answers from its own objects only and sends nothing on; where it does not lead, it says so.

use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use stead_cluster::{Application, NodeId, ShardId};

use super::Runtime;
use super::feed::{self, StreamForm};
use super::forward::Message;
use super::gather::{ListForm, ListReply};
use super::handle::{Inner, Intent};
use super::relay::{Watch, hear, serve};
use super::wire::{CallForm, CallReply, ErrorForm, NotReadable, decode, encode};
use super::work::Task;
use crate::error::{Code, Error};
use crate::object::{ClassName, Tenant};
use crate::telemetry::RequestNames;

/// The runtime, for other nodes. It keeps the runtime no longer than others do.
pub(super) struct Neighbour(Weak<Inner>);

impl Neighbour {
    pub(super) fn new(runtime: &Runtime) -> Self {
        Self(Arc::downgrade(&runtime.0))
    }
}

impl Application for Neighbour {
    fn answer(&self, from: NodeId, request: Bytes) -> BoxFuture<'static, Bytes> {
        let runtime = self.0.upgrade().map(Runtime);
        async move {
            let Some(runtime) = runtime else { return encode(&CallReply::NotLeading { leader: None }) };
            match decode::<Message>(&request) {
                Ok(Message::Call(call)) => encode(&runtime.answer_call(from, call).await),
                Ok(Message::List(list)) => encode(&match runtime.answer_list(list).await {
                    Ok(reply) => reply,
                    Err(error) => ListReply::Error(ErrorForm::of(&error)),
                }),
                Ok(Message::Announce(announce)) => encode(&hear(&runtime, announce)),
                Ok(Message::Feed(page)) => encode(&runtime.answer_feed(page)),
                Err(NotReadable) => {
                    let error = Error::new(Code::Internal, NotReadable.to_string());
                    encode(&CallReply::Error(ErrorForm::of(&error)))
                }
            }
        }
        .boxed()
    }

    fn stream(&self, _from: NodeId, request: Bytes) -> BoxStream<'static, Bytes> {
        let Some(runtime) = self.0.upgrade().map(Runtime) else {
            return futures_util::stream::empty().boxed();
        };
        // A stream of an object's updates says no kind: it was the only one there was.
        if let Ok(StreamForm::Feed(feed)) = decode(&request) {
            return feed::serve(&runtime, feed);
        }
        match decode::<Watch>(&request) {
            Ok(watch) => serve(runtime, watch),
            Err(NotReadable) => futures_util::stream::empty().boxed(),
        }
    }
}

impl Runtime {
    async fn answer_call(&self, from: NodeId, call: CallForm) -> CallReply {
        let unreadable =
            |_| CallReply::Error(ErrorForm::of(&Error::new(Code::Internal, NotReadable.to_string())));
        let (caller, address, request) = match call.into_parts() {
            Ok(parts) => parts,
            Err(error) => return unreadable(error),
        };
        let intent = if request.action.is_write() { Intent::Write } else { Intent::Read };
        let class = match self.authorize(&caller, address.tenant(), address.class(), intent) {
            Ok(class) => class,
            Err(error) => return CallReply::Error(ErrorForm::of(&error)),
        };
        let names = RequestNames::forwarded(&caller, from.0);
        let answered = async {
            let began = Instant::now();
            let answered = self.try_here(&caller, &address, class, Task::Request(request), intent).await;
            let took_us = began.elapsed().as_micros();
            tracing::debug!(%address, took_us, is_led = answered.is_some(), "answered for another node");
            answered
        };
        let answered = names.during(answered).await;
        if let Some(answered) = answered {
            return CallReply::of(&answered);
        }
        let refused = self.shard_of(&address).lead().err();
        let own = self.inner().cluster.node_id();
        let leader = refused.and_then(|refused| refused.leader).filter(|leader| *leader != own);
        CallReply::NotLeading { leader: leader.map(|leader| leader.0) }
    }

    async fn answer_list(&self, list: ListForm) -> Result<ListReply, Error> {
        let part = list.part();
        let count = self.inner().cluster.layout().count();
        let shards: Vec<ShardId> =
            list.shards.iter().filter(|shard| **shard < count).copied().map(ShardId).collect();
        let invalid = |error: &dyn std::fmt::Display| Error::new(Code::InvalidRequest, error.to_string());
        let class = ClassName::parse(&list.class).map_err(|error| invalid(&error))?;
        let caller = list.caller.into_caller();
        let tenant = Tenant::try_from(caller.tenant.clone()).map_err(|error| invalid(&error))?;
        self.authorize(&caller, &tenant, &class, Intent::Read)?;
        let (rows, not_led) = self.list_here(&shards, tenant, class, part).await?;
        let rows = rows.into_iter().map(|row| (row.name.to_string(), row.version, row.updated_at.0));
        Ok(ListReply::Rows { rows: rows.collect(), not_led: not_led.iter().map(|shard| shard.0).collect() })
    }
}
