//! Who is present, in the form that Phoenix's own `Presence` reads: for each id its metas, each with a `phx_ref`.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::live::LivePresence;
use crate::runtime::Member;

/// Who is present, as a channel's client was told. A client drops a meta by its `phx_ref`, so each is remembered.
#[derive(Debug, Default)]
pub(super) struct Metas {
    told: HashMap<Arc<str>, Json>,
    next: u64,
}

impl Metas {
    /// The payload of `presence_state`: everybody; what was told before does not hold any more.
    pub(super) fn state(&mut self, present: &[Member]) -> String {
        self.told.clear();
        let mut state = Map::new();
        for member in present {
            let meta = self.meta(member);
            state.insert(member.id.to_string(), metas([meta.clone()]));
            self.told.insert(member.id.clone(), meta);
        }
        Json::Object(state).to_string()
    }

    /// The payload of `presence_diff`; none if it is known already.
    pub(super) fn diff(&mut self, presence: &LivePresence) -> Option<String> {
        let (mut joins, mut leaves) = (Map::new(), Map::new());
        for id in &presence.left {
            if let Some(meta) = self.told.remove(id) {
                leaves.insert(id.to_string(), metas([meta]));
            }
        }
        for member in presence.joined.iter().chain(&presence.changed) {
            let meta = self.meta(member);
            if let Some(old) = self.told.insert(member.id.clone(), meta.clone()) {
                leaves.insert(member.id.to_string(), metas([old]));
            }
            joins.insert(member.id.to_string(), metas([meta]));
        }
        let is_empty = joins.is_empty() && leaves.is_empty();
        (!is_empty).then(|| json!({ "joins": joins, "leaves": leaves }).to_string())
    }

    fn meta(&mut self, member: &Member) -> Json {
        self.next += 1;
        let mut meta = match member.data.to_json() {
            Json::Object(fields) => fields,
            Json::Null => Map::new(),
            other => Map::from_iter([("data".to_owned(), other)]),
        };
        meta.insert("phx_ref".to_owned(), Json::from(self.next.to_string()));
        Json::Object(meta)
    }
}

fn metas(metas: impl Into<Vec<Json>>) -> Json {
    json!({ "metas": metas.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Value;

    fn member(id: &str, data: Json) -> Member {
        Member { id: id.into(), data: Value::from_json(data), clock: 0 }
    }

    #[test]
    fn metas_go_by_the_ref_that_they_came_with() {
        let mut metas = Metas::default();
        assert_eq!(
            metas.state(&[member("a", json!({"name": "Ada"})), member("b", json!(7))]),
            r#"{"a":{"metas":[{"name":"Ada","phx_ref":"1"}]},"b":{"metas":[{"data":7,"phx_ref":"2"}]}}"#
        );
        let changed = vec![member("a", json!({"name": "Ada", "at": 1}))];
        let presence = LivePresence::new(Vec::new(), vec!["b".into(), "nobody".into()], changed);
        assert_eq!(
            metas.diff(&presence).expect("somebody moved"),
            r#"{"joins":{"a":{"metas":[{"at":1,"name":"Ada","phx_ref":"3"}]}},"leaves":{"a":{"metas":[{"name":"Ada","phx_ref":"1"}]},"b":{"metas":[{"data":7,"phx_ref":"2"}]}}}"#
        );
        assert_eq!(metas.diff(&LivePresence::new(Vec::new(), vec!["b".into()], Vec::new())), None);
        assert_eq!(metas.state(&[]), "{}");
    }
}
