//! The class `change-policy`: the policy of change management as an object.
//!
//! The configuration seeds it once; from then on it is replaced whole. The object's version is the policy's version,
//! and the history that every object has is the policy's history.

use serde_json::{Value as Json, json};

use crate::object::{Key, Refusal, Turn};

use super::change_request::Policy;
use super::parameters::required;
use super::{Access, Class, Parameters};

const POLICY: &str = "policy";

/// The policy. `seed{policy}` puts it if there is none yet, `replace{policy}` in place of the one there is; both answer
/// `{"policy","version"}` with the one that holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChangePolicy;

impl Class for ChangePolicy {
    fn access(&self) -> Access {
        Access::Internal
    }

    fn call(&self, turn: &mut Turn<'_>, method: &str, parameters: Parameters) -> Result<Json, Refusal> {
        let policy = match method {
            "seed" => {
                if let Some(policy) = turn.get(POLICY)? {
                    return Ok(json!({ "policy": policy.to_json(), "version": turn.version() }));
                }
                parse(required(&parameters, POLICY)?)?
            }
            "replace" => {
                let given = required(&parameters, POLICY)?;
                ensure_whole(given)?;
                parse(given)?
            }
            _ => return Err(Refusal::MethodNotFound { method: method.to_owned() }),
        };
        turn.put(POLICY, &policy)?;
        Ok(json!({ "policy": policy, "version": turn.next_version() }))
    }

    fn put(&self, _: &mut Turn<'_>, _: &Key, _: Json) -> Result<(), Refusal> {
        Err(Refusal::Forbidden { detail: "a policy is replaced whole, by the method replace".to_owned() })
    }

    fn delete(&self, _: &mut Turn<'_>, _: &Key) -> Result<(), Refusal> {
        Err(Refusal::Forbidden { detail: "there is always a policy; replace it".to_owned() })
    }
}

fn parse(given: &Json) -> Result<Policy, Refusal> {
    let policy: Policy = serde::Deserialize::deserialize(given).map_err(|error: serde_json::Error| {
        Refusal::invalid(format!("the policy cannot be read: {error}"))
    })?;
    policy.validate().map_err(|error| Refusal::invalid(format!("the policy cannot hold: {error}")))?;
    Ok(policy)
}

/// What is left out of a configuration is as shipped; left out of a replacement it would bring the shipped example's
/// approvers back unnoticed.
fn ensure_whole(given: &Json) -> Result<(), Refusal> {
    let shipped = serde_json::to_value(Policy::default()).expect("a policy has a form in JSON");
    let mut missing = Vec::new();
    find_missing("", &shipped, given, &mut missing);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid(format!("a policy is replaced whole; this one lacks {}", missing.join(", "))))
}

/// The parts of the shipped policy that a given one does not have. Its keywords are its own.
fn find_missing(path: &str, shipped: &Json, given: &Json, missing: &mut Vec<String>) {
    for (name, part) in shipped.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match given.get(name) {
            None => missing.push(path),
            Some(given) if name != "keywords" => find_missing(&path, part, given, missing),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Rehearsal;
    use crate::object::Version;

    fn policy(time_zone: &str) -> Json {
        let policy = Policy { time_zone: time_zone.to_owned(), ..Policy::default() };
        serde_json::to_value(policy).unwrap()
    }

    fn check_refused(object: &mut Rehearsal, method: &str, given: Json, expected: &str) {
        let before = (object.version(), object.storage().clone());
        assert_eq!(object.call(method, given), Err(Refusal::invalid(expected)));
        assert_eq!(before, (object.version(), object.storage().clone()), "a refusal changes nothing");
    }

    #[test]
    fn it_is_seeded_once_and_replaced_whole() {
        let mut object = Rehearsal::new(ChangePolicy);
        let first = json!({ "policy": policy("UTC"), "version": 1 });
        assert_eq!(object.call("seed", json!({ "policy": {} })), Ok(first.clone()), "left out is as shipped");
        assert_eq!(object.call("seed", json!({ "policy": policy("Europe/Zurich") })), Ok(first.clone()));
        assert_eq!(object.version(), Version(1), "the second seed changes nothing");
        let second = json!({ "policy": policy("Europe/Zurich"), "version": 2 });
        assert_eq!(object.call("replace", json!({ "policy": policy("Europe/Zurich") })), Ok(second.clone()));
        assert_eq!(object.call("seed", json!({ "policy": policy("UTC") })), Ok(second));
        assert_eq!(object.get("policy").unwrap(), Some(policy("Europe/Zurich")));
    }

    #[test]
    fn what_cannot_hold_is_refused() {
        let mut object = Rehearsal::new(ChangePolicy);
        object.call("seed", json!({ "policy": policy("UTC") })).unwrap();
        let mut short = policy("UTC");
        short.as_object_mut().unwrap().retain(|part, _| part != "approvers" && part != "freezes");
        short["approvals_required"] = json!({ "low": 1, "medium": 1, "high": 1 });
        short["risk"]["keywords"] = json!({});
        check_refused(
            &mut object,
            "replace",
            json!({ "policy": short }),
            "a policy is replaced whole; this one lacks approvals_required.critical, approvers, freezes",
        );
        let mut odd = policy("UTC");
        odd["windws"] = json!([]);
        let refused = object.call("replace", json!({ "policy": odd })).unwrap_err().to_string();
        assert!(refused.starts_with("the policy cannot be read: unknown field `windws`"), "{refused}");
        let mut lonely = policy("UTC");
        lonely["approvers"] = json!([]);
        check_refused(
            &mut object,
            "replace",
            json!({ "policy": lonely }),
            "the policy cannot hold: approvers: at least two must be there for changes of type standard; there are 0",
        );
        check_refused(&mut object, "replace", json!({}), "parameter \"policy\" is required");
        assert!(object.put("policy", json!({})).is_err() && object.delete("policy").is_err());
    }
}
