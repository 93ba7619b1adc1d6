//! The state of a request that goes on in another round: it passes through the client, sealed with a key that all nodes
//! share, so that any of them takes it back and nobody else can make one.
//!
//! It is bound to who asks and to the request that is asked again, and is good for an hour.

use std::collections::BTreeMap;

use rmcp::model::{RequestStateCodec, SealOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use super::Failure;
use super::exchange::Rounds;
use crate::caller::Caller;
use crate::limits::MCP_STATE_TTL;
use crate::object::{ObjectAddress, Value};
use crate::runtime::{Action, Outcome, Runtime};

/// The key, once this node has it. There is one tenant while there is no authentication.
#[derive(Default)]
pub(super) struct Seal(OnceCell<RequestStateCodec>);

#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    answers: BTreeMap<String, Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<Json>,
}

impl Seal {
    /// The rounds before this one, and the answers that it brings.
    pub(super) async fn open(
        &self,
        runtime: &Runtime,
        caller: &Caller,
        method: &str,
        params: &mut Map<String, Json>,
    ) -> Result<Rounds, Failure> {
        let responses = match params.remove("inputResponses") {
            None | Some(Json::Null) => Map::new(),
            Some(Json::Object(responses)) => responses,
            Some(_) => return Err(Failure::invalid_params("inputResponses is a JSON object")),
        };
        let mut rounds = match params.remove("requestState") {
            None | Some(Json::Null) => Rounds::default(),
            Some(Json::String(sealed)) => {
                let bound = bound_to(caller, method, params);
                let opened = self.codec(runtime, caller).await?.open_with(&sealed, &bound);
                let refused = "requestState is not one that this server gave for this request, or is too old";
                let opened = opened.map_err(|_| Failure::invalid_params(refused))?;
                let kept: Kept =
                    serde_json::from_slice(&opened).map_err(|_| Failure::invalid_params(refused))?;
                Rounds { answers: kept.answers, open: BTreeMap::new(), kept: kept.kept }
            }
            Some(_) => return Err(Failure::invalid_params("requestState is a text")),
        };
        rounds.answers.extend(responses);
        Ok(rounds)
    }

    /// The state for the next round; none if there is nothing to keep.
    pub(super) async fn close(
        &self,
        runtime: &Runtime,
        caller: &Caller,
        method: &str,
        params: &Map<String, Json>,
        rounds: &Rounds,
    ) -> Result<Option<String>, Failure> {
        if rounds.answers.is_empty() && rounds.kept.is_none() {
            return Ok(None);
        }
        let kept = Kept { answers: rounds.answers.clone(), kept: rounds.kept.clone() };
        let payload = serde_json::to_vec(&kept).expect("what is kept came from JSON");
        let bound = bound_to(caller, method, params);
        let options = SealOptions::new().associated_data(&bound).ttl(MCP_STATE_TTL);
        Ok(Some(self.codec(runtime, caller).await?.seal_with(&payload, &options)))
    }

    async fn codec(&self, runtime: &Runtime, caller: &Caller) -> Result<&RequestStateCodec, Failure> {
        self.0.get_or_try_init(|| shared_key(runtime, caller)).await
    }
}

/// The key that all nodes share: the first that one of them offered.
async fn shared_key(runtime: &Runtime, caller: &Caller) -> Result<RequestStateCodec, Failure> {
    let address = ObjectAddress::parse(&caller.tenant, "mcp-secret", "request-state")
        .map_err(|error| Failure::internal(error.to_string()))?;
    let offered = data_encoding::HEXLOWER.encode(&rand::random::<[u8; 32]>());
    let mut params = Map::new();
    params.insert("key".to_owned(), offered.into());
    let action = Action::Call { method: "offer".to_owned(), params };
    let answer = runtime.call(&caller.through_module(), &address, action.into()).await?;
    let Outcome::Result(result) = answer.outcome else { unreachable!("a call is answered by a result") };
    let result = result.to_json();
    let key = result.get("key").and_then(Json::as_str).unwrap_or_default().as_bytes().to_vec();
    RequestStateCodec::try_new(key).map_err(|error| Failure::internal(error.to_string()))
}

/// Who asks for what: the method, and the parameters that make the request.
fn bound_to(caller: &Caller, method: &str, params: &Map<String, Json>) -> Vec<u8> {
    let mut named = params.clone();
    for passing in ["_meta", "inputResponses", "requestState"] {
        named.remove(passing);
    }
    let text = Value::from_json(Json::Object(named));
    let mut digest = Sha256::new();
    for part in [&*caller.tenant, &*caller.subject, method, text.as_str()] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().to_vec()
}
