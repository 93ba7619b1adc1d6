//! Who a node is: what its data directory says; in an empty one, the founder of a new cluster, or whom a member
//! lets in.
//!
//! A number is asked for under a token that is on disk before anybody hears of it. Asking again, after a crash
//! or a lost answer, gives the same number, so that no number ever has two data directories.

use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

use crate::groups::OpenError;
use crate::groups::recover::Parts;
use crate::layout::NodeId;
use crate::map::ClusterId;
use crate::network::{JoinError, JoinRequest, Joined};
use crate::storage::codec::{self, Identity};
use crate::storage::keys::{self, Column};
use crate::storage::writer::{Change, Row};

/// The number of the node that makes a cluster.
pub(super) const FOUNDER: NodeId = NodeId(1);
/// Between two tries to join.
const JOIN_AGAIN: Duration = Duration::from_millis(200);
/// How long a node that is a member already waits for the address it was given to answer; it can do without.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// Random bytes of a token.
const TOKEN_BYTES: usize = 16;

/// Who this node is, and where the others are, if somebody was asked.
pub(super) async fn identify(parts: &Parts) -> Result<(Identity, Option<Joined>), OpenError> {
    let storage = |error: String| OpenError::Storage(error);
    let stored = parts.read(&keys::node_record()).map_err(storage)?;
    let stored = stored.map(|stored| codec::decode_identity(&stored)).transpose();
    let stored = stored.map_err(|error| OpenError::Storage(error.to_string()))?;
    let (identity, joined) = match (stored, &parts.options.join) {
        (Some(identity), join) => {
            check_shards(parts, &identity)?;
            let joined = match join {
                Some(address) => look_up(parts, address, &identity).await?,
                None => None,
            };
            (Identity { epoch: identity.epoch + 1, ..identity }, joined)
        }
        (None, None) => (found(parts), None),
        (None, Some(address)) => {
            let joined = join(parts, address).await?;
            (member(&joined)?, Some(joined))
        }
    };
    // Opening flushes nothing of what it recovered, so nothing of that may be confirmed before this.
    let row = Row::Put(Column::Map, keys::node_record(), codec::encode_identity(&identity));
    let flushed = parts.writer.write(Change::Rows { rows: vec![row], flush: true }).await;
    flushed.map_err(|error| OpenError::Storage(error.to_string()))?;
    Ok((identity, joined))
}

fn found(parts: &Parts) -> Identity {
    let cluster = ClusterId(parts.options.random().random());
    Identity { cluster, node: FOUNDER, shards: parts.options.shards, epoch: 1 }
}

fn member(joined: &Joined) -> Result<Identity, OpenError> {
    let cluster = joined.cluster.parse().map_err(|error| OpenError::Join(format!("{error}")))?;
    Ok(Identity { cluster, node: joined.node, shards: joined.shards, epoch: 1 })
}

/// The number of shards is an option of whoever makes the cluster; others take what they find.
fn check_shards(parts: &Parts, identity: &Identity) -> Result<(), OpenError> {
    let options = &parts.options;
    if identity.node == FOUNDER && options.join.is_none() && identity.shards != options.shards {
        return Err(OpenError::Mismatch(format!(
            "the cluster in {} was made with {} shards, the options say {}: the number of shards is set when a \
             cluster is made, so give {} or another data directory",
            options.data_dir.display(),
            identity.shards,
            options.shards,
            identity.shards,
        )));
    }
    Ok(())
}

/// Asks until somebody lets this node in, or refuses it, or the time is over.
async fn join(parts: &Parts, address: &str) -> Result<Joined, OpenError> {
    let token = token(parts).await?;
    let until = Instant::now() + parts.options.join_within;
    let mut said = None;
    loop {
        match parts.network.join(address.to_owned(), request(parts, token.clone(), None)).await {
            Ok(joined) => return Ok(joined),
            Err(JoinError::Refused(why)) => return Err(OpenError::Join(why)),
            Err(JoinError::NotReached(why)) if Instant::now() >= until => {
                return Err(OpenError::Join(format!("{address} did not let this node in: {why}")));
            }
            Err(JoinError::NotReached(why)) => {
                if said.as_ref() != Some(&why) {
                    tracing::warn!(address, why, "the cluster can not be joined yet; trying again");
                    said = Some(why);
                }
                tokio::time::sleep(JOIN_AGAIN).await;
            }
        }
    }
}

/// Asks where the others are. A cluster that knows better who this node is says so; one that can not be reached
/// is no reason not to start, for it may be starting too.
async fn look_up(parts: &Parts, address: &str, identity: &Identity) -> Result<Option<Joined>, OpenError> {
    let member = Some((identity.cluster.to_string(), identity.node));
    let asked = parts.network.join(address.to_owned(), request(parts, String::new(), member));
    match tokio::time::timeout(ASK_WITHIN, asked).await {
        Ok(Ok(joined)) => Ok(Some(joined)),
        Ok(Err(JoinError::Refused(why))) => Err(OpenError::Join(why)),
        Ok(Err(JoinError::NotReached(_))) | Err(_) => Ok(None),
    }
}

fn request(parts: &Parts, token: String, member: Option<(String, NodeId)>) -> JoinRequest {
    let options = &parts.options;
    JoinRequest {
        token,
        member,
        address: options.address.clone(),
        peer_address: options.peer_address.clone(),
        zone: options.zone.clone(),
        version: options.version.clone(),
    }
}

/// The token of this data directory, made at the first time.
async fn token(parts: &Parts) -> Result<String, OpenError> {
    let stored = parts.read(&keys::join_record()).map_err(OpenError::Storage)?;
    if let Some(stored) = stored.and_then(|stored| String::from_utf8(stored).ok()) {
        return Ok(stored);
    }
    let mut bytes = [0; TOKEN_BYTES];
    parts.options.random().fill(&mut bytes);
    let token = bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let row = Row::Put(Column::Map, keys::join_record(), token.clone().into_bytes());
    let written = parts.writer.write(Change::Rows { rows: vec![row], flush: true }).await;
    written.map_err(|error| OpenError::Storage(error.to_string()))?;
    Ok(token)
}
