//! Making a change: its id, and the turn that makes it.
//!
//! With an idempotency key, an object named by the hash of tool and key first fixes the id in a turn of its own, so
//! that whoever comes again with the key finds the same change, after midnight too. Without one, an id that is taken
//! already, of which there are two thousand million a day, is tried no further.

use std::sync::Arc;

use jiff::tz::TimeZone;
use rand::RngExt as _;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::objects::{Class, Fields, With, fields, refused, text};
use super::{CallOptions, Inner, Refused};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::limits;
use crate::object::Timestamp;
use crate::object::idempotency::IdempotencyKey;

const TOOL: &str = "create_change_request";
/// What follows the day in an id: so many of these.
const SUFFIX_LENGTH: usize = 6;
const SUFFIX_LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

impl Inner {
    /// `create_change_request`.
    pub(super) async fn create(
        self: &Arc<Self>,
        caller: &Caller,
        arguments: Fields,
        options: &CallOptions,
    ) -> Result<Json, Refused> {
        if let Some(key) = &options.idempotency_key {
            let id = self.fixed_id(caller, key).await?;
            return self.create_as(caller, &id, arguments, Some(key.clone())).await;
        }
        let mut tried = 0;
        loop {
            tried += 1;
            let id = self.fresh_id();
            match self.create_as(caller, &id, arguments.clone(), None).await {
                // Somebody has that id.
                Err(Refused::Failed(error)) if error.code == Code::Conflict => {
                    if tried >= limits::CHANGE_IDS_TRIED {
                        return Err(Refused::Failed(error));
                    }
                }
                answer => return answer,
            }
        }
    }

    async fn create_as(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        arguments: Fields,
        key: Option<IdempotencyKey>,
    ) -> Result<Json, Refused> {
        let context = self.context(caller).await?;
        let call = ("create", arguments);
        let made =
            self.objects.call(caller, (Class::Request, id), call, With { context, key, ..With::default() });
        made.await.map(|(result, _)| result).map_err(|error| refused(id, error))
    }

    /// The id that a key stands for: made now, or when it came first.
    async fn fixed_id(&self, caller: &Caller, key: &IdempotencyKey) -> Result<String, Error> {
        let name = key_name(TOOL, key);
        let call = ("fix", fields(json!({ "id": self.fresh_id() })));
        let (fixed, _) = self.objects.call(caller, (Class::Key, &name), call, With::default()).await?;
        let id = text(&fixed, "id").map(str::to_owned);
        id.ok_or_else(|| Error::new(Code::Internal, "an idempotency key has no id"))
    }

    fn fresh_id(&self) -> String {
        change_id(Timestamp(self.clock.now_ms()), || rand::rng().random_range(0..SUFFIX_LETTERS.len()))
    }
}

/// The name of the object that keeps what was made for a key.
fn key_name(tool: &str, key: &IdempotencyKey) -> String {
    let mut digest = Sha256::new();
    for part in [tool, key.as_str()] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    data_encoding::HEXLOWER.encode(&digest.finalize())
}

/// `CHG-YYYYMMDD-XXXXXX`, of a moment and what gives places of letters.
fn change_id(now: Timestamp, letter: impl FnMut() -> usize) -> String {
    let ms = i64::try_from(now.0).unwrap_or(i64::MAX);
    let day = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_zoned(TimeZone::UTC);
    format!("CHG-{}-{}", day.strftime("%Y%m%d"), suffix(letter))
}

/// Six of A-Z and 0-9, of what gives places of letters.
pub(super) fn suffix(mut letter: impl FnMut() -> usize) -> String {
    (0..SUFFIX_LENGTH)
        .filter_map(|_| SUFFIX_LETTERS.get(letter() % SUFFIX_LETTERS.len()).copied().map(char::from))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_day_in_utc_and_six_letters() {
        let at = |text| Timestamp::parse(text).unwrap();
        let mut place = 24..;
        assert_eq!(
            change_id(at("2026-11-28T23:59:59.999Z"), || place.next().unwrap()),
            "CHG-20261128-YZ0123"
        );
        assert_eq!(change_id(at("2026-11-29T00:30:00+01:00"), || 35), "CHG-20261128-999999");
        assert_eq!(change_id(at("2027-01-01T00:00:00Z"), || 0), "CHG-20270101-AAAAAA");
    }

    #[test]
    fn a_key_of_another_tool_is_another_key() {
        let key = |text| IdempotencyKey::parse(text).unwrap();
        let name = key_name("a", &key("bc"));
        assert_eq!(name.len(), 64);
        assert_eq!(name, key_name("a", &key("bc")));
        assert_ne!(name, key_name("ab", &key("c")));
        assert_ne!(name, key_name("a", &key("bd")));
    }
}
