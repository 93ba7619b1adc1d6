//! Class feeds on their way between nodes. Frozen like all messages between nodes: a version byte and JSON, to which
//! fields can be added; updates are embedded in the text they have everywhere else.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stead_cluster::{LogIndex, ShardId};

use super::page::Selection;
use super::{Logged, Part};
use crate::caller::Caller;
use crate::object::{ClassName, ObjectAddress, ObjectName, Update};
use crate::runtime::wire::{CallerForm, ErrorForm, NotReadable};

/// What a stream is asked for that says its kind.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::runtime) enum StreamForm {
    /// The feed of a class in one shard: [`PartForm`]s.
    Feed(FeedForm),
}

/// The feed of a class in one shard.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::runtime) struct FeedForm {
    pub(super) caller: CallerForm,
    pub(super) class: String,
    pub(super) shard: u16,
    /// From behind this index on; from now on without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<LogIndex>,
}

/// What lies between two indices.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::runtime) struct PageForm {
    pub(super) feed: FeedForm,
    pub(super) until: LogIndex,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::runtime) enum PageReply {
    Part(PartForm),
    /// The log of the shard's leader does not reach back so far.
    Lost,
    /// The node does not have it.
    Absent,
    Error(ErrorForm),
}

/// A part of a feed of one shard.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::runtime) struct PartForm {
    reached: LogIndex,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    updates: Vec<UpdateForm>,
}

#[derive(Debug, Serialize, Deserialize)]
struct UpdateForm {
    index: LogIndex,
    nth: u32,
    name: String,
    update: Box<RawValue>,
}

impl FeedForm {
    pub(super) fn of(caller: &Caller, class: &ClassName, shard: ShardId, after: Option<LogIndex>) -> Self {
        let (caller, class) = (CallerForm::of(caller), class.as_str().to_owned());
        Self { caller, class, shard: shard.0, after }
    }
}

impl PartForm {
    pub(super) fn of(part: &Part) -> Self {
        let updates = part.updates.iter().map(|logged| UpdateForm {
            index: logged.index,
            nth: logged.nth,
            name: logged.address.name().as_str().to_owned(),
            update: RawValue::from_string(logged.update.to_json_text()).expect("an update's text is JSON"),
        });
        Self { reached: part.reached, lost: part.is_lost, updates: updates.collect() }
    }

    pub(super) fn parse(self, shard: usize, selection: &Selection) -> Result<Part, NotReadable> {
        let (tenant, class) = (selection.tenant(), selection.class());
        let updates = self.updates.into_iter().map(|form| {
            let name = ObjectName::parse(&form.name).map_err(|_| NotReadable)?;
            let address = ObjectAddress::new(tenant.clone(), class.clone(), name);
            let update = Update::parse(form.update.get()).map_err(|_| NotReadable)?;
            Ok(Logged { index: form.index, nth: form.nth, address, update: Arc::new(update) })
        });
        let updates = updates.collect::<Result<Vec<_>, _>>()?;
        Ok(Part { shard, is_lost: self.lost, updates, reached: self.reached })
    }
}
