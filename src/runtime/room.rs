//! Who is present at an object, on the node that leads it. Ephemeral: nothing of it is in the log.
//!
//! Members belong to the session of the gateway that told of them, so they go when its stream does: with the
//! gateway's node, or with this leader, whose successor is told again by every gateway.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{PRESENT_MAX, PRESENT_MAX_BYTES};
use crate::object::Value;

/// One stream of one gateway, for as long as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Session(u64);

impl Session {
    /// One that nobody has.
    pub(super) fn fresh() -> Self {
        Self(rand::random())
    }
}

/// Somebody present at an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What others know it by.
    pub id: Arc<str>,
    /// What it shows of itself.
    pub data: Value,
    /// Counts what an editor shows of itself; 0 for others.
    pub clock: u64,
}

/// Who came, changed or went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Movement {
    /// Who is here now, or shows something else than before.
    pub entered: Vec<Member>,
    /// Who is not here any more.
    pub left: Vec<Arc<str>>,
}

/// Something told to all who watch an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Who tells it.
    pub from: Arc<str>,
    /// What is told.
    pub data: Value,
}

/// What a gateway tells the leader of its own clients.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Announcement {
    /// These are all: others whom the session told of have left.
    pub(super) all: bool,
    pub(super) movement: Movement,
    pub(super) signals: Vec<Signal>,
}

impl Member {
    /// What it counts for against the limit, in bytes.
    fn weight(&self) -> usize {
        self.id.len() + self.data.len()
    }
}

impl Movement {
    /// Whether nobody moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entered.is_empty() && self.left.is_empty()
    }
}

/// Who is present at one object.
#[derive(Debug, Default)]
pub(super) struct Room {
    members: BTreeMap<Arc<str>, (Session, Member)>,
    bytes: usize,
}

impl Room {
    /// Everybody, in the order of ids.
    pub(super) fn everyone(&self) -> Vec<Member> {
        self.members.values().map(|(_, member)| member.clone()).collect()
    }

    /// Takes in what a session tells; gives who moved. What would be too many or too much is left out.
    pub(super) fn hear(&mut self, session: Session, all: bool, told: &Movement) -> Movement {
        let mut moved = Movement::default();
        if all {
            let stays = |id: &Arc<str>| told.entered.iter().any(|member| member.id == *id);
            let gone = self.members.iter().filter(|(id, (owner, _))| *owner == session && !stays(id));
            moved.left = gone.map(|(id, _)| id.clone()).collect();
        }
        let of_session =
            |id: &&Arc<str>| matches!(self.members.get(&**id), Some((owner, _)) if *owner == session);
        moved.left.extend(told.left.iter().filter(of_session).cloned());
        for id in &moved.left {
            self.remove(id);
        }
        for member in &told.entered {
            let known = self.members.get(&member.id).map(|(_, known)| known.clone());
            let freed = known.as_ref().map_or(0, Member::weight);
            let is_too_many = known.is_none() && self.members.len() >= PRESENT_MAX;
            if is_too_many || self.bytes - freed + member.weight() > PRESENT_MAX_BYTES {
                continue;
            }
            self.bytes = self.bytes - freed + member.weight();
            self.members.insert(member.id.clone(), (session, member.clone()));
            if known.as_ref() != Some(member) {
                moved.entered.push(member.clone());
            }
        }
        moved
    }

    /// A session is over; gives who left with it.
    pub(super) fn end(&mut self, session: Session) -> Movement {
        self.hear(session, true, &Movement::default())
    }

    fn remove(&mut self, id: &Arc<str>) {
        if let Some((_, member)) = self.members.remove(id) {
            self.bytes -= member.weight();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, data: i64) -> Member {
        Member { id: id.into(), data: Value::from(data), clock: 0 }
    }

    fn entered(members: &[(&str, i64)]) -> Movement {
        let entered = members.iter().map(|(id, data)| member(id, *data)).collect();
        Movement { entered, left: Vec::new() }
    }

    fn left(ids: &[&str]) -> Movement {
        Movement { entered: Vec::new(), left: ids.iter().map(|id| Arc::from(*id)).collect() }
    }

    #[test]
    fn members_come_change_and_go_with_their_session() {
        let (one, other) = (Session(1), Session(2));
        let mut room = Room::default();
        assert_eq!(room.hear(one, true, &entered(&[("a", 1), ("b", 1)])), entered(&[("a", 1), ("b", 1)]));
        assert_eq!(room.hear(one, false, &entered(&[("a", 1)])), Movement::default(), "it was known");
        assert_eq!(room.hear(one, false, &entered(&[("a", 2)])), entered(&[("a", 2)]));
        assert_eq!(room.hear(other, false, &left(&["a"])), Movement::default(), "it is not the other's");
        assert_eq!(room.hear(other, false, &entered(&[("c", 1)])), entered(&[("c", 1)]));
        assert_eq!(room.hear(one, true, &entered(&[("b", 1)])), left(&["a"]), "not among all");
        assert_eq!(room.everyone(), [member("b", 1), member("c", 1)]);
        assert_eq!(room.end(one), left(&["b"]));
        assert_eq!(room.hear(other, false, &left(&["c", "c"])), left(&["c", "c"]));
        assert_eq!((room.everyone(), room.bytes), (Vec::new(), 0));
    }

    #[test]
    fn a_member_told_of_by_another_session_is_that_ones() {
        let (old, new) = (Session(1), Session(2));
        let mut room = Room::default();
        room.hear(old, true, &entered(&[("a", 1)]));
        assert_eq!(room.hear(new, true, &entered(&[("a", 1)])), Movement::default());
        assert_eq!(room.end(old), Movement::default());
        assert_eq!(room.everyone(), [member("a", 1)]);
    }

    #[test]
    fn a_room_is_bounded() {
        let mut room = Room::default();
        let many = (0..=PRESENT_MAX).map(|id| (id.to_string(), 1)).collect::<Vec<_>>();
        let many: Vec<(&str, i64)> = many.iter().map(|(id, data)| (id.as_str(), *data)).collect();
        room.hear(Session(1), true, &entered(&many));
        assert_eq!(room.everyone().len(), PRESENT_MAX);
        let large = Value::from("x".repeat(PRESENT_MAX_BYTES).as_str());
        let large = Member { id: "0".into(), data: large, clock: 0 };
        let told = Movement { entered: vec![large], left: Vec::new() };
        assert_eq!(room.hear(Session(1), false, &told), Movement::default());
    }
}
