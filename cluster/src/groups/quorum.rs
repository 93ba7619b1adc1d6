//! Whether a wish would cost a group its majority. Pure.
//!
//! A group's leader takes no step towards voters of which no majority lives ([`crate::reconcile`]), so such a wish
//! would not lose anything; it would stand in the map undone until the dead come back. Who wishes it is told so at
//! once, and what to do first.

use std::collections::BTreeSet;

use crate::layout::NodeId;

/// What a wish would leave of a group: too few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The group: a shard, or the map.
    pub group: String,
    /// The replicas it would have.
    pub replicas: Vec<NodeId>,
    /// Those of them that can not be reached.
    pub dead: Vec<NodeId>,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { group, replicas, dead } = self;
        write!(
            f,
            "{group} would be left without a majority: of its replicas on {} {} can not be reached; start {} first, or \
             remove {} instead",
            listed(replicas),
            listed(dead),
            if dead.len() == 1 { "it" } else { "them" },
            if dead.len() == 1 { "that node" } else { "those nodes" },
        )
    }
}

pub(super) fn listed(nodes: &[NodeId]) -> String {
    let numbers: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
    format!("{} {}", if nodes.len() == 1 { "node" } else { "nodes" }, numbers.join(", "))
}

/// What a group would lose by having these replicas, while only these nodes live.
pub(super) fn lost(
    group: impl FnOnce() -> String,
    wished: &[NodeId],
    alive: &BTreeSet<NodeId>,
) -> Option<Lost> {
    let dead: Vec<NodeId> = wished.iter().filter(|node| !alive.contains(node)).copied().collect();
    let living = wished.len() - dead.len();
    (living <= wished.len() / 2).then(|| Lost { group: group(), replicas: wished.to_vec(), dead })
}

#[cfg(test)]
mod tests {
    use super::lost;
    use crate::layout::NodeId;

    fn check(wished: &[u64], alive: &[u64], dead: Option<&[u64]>) {
        let wished: Vec<NodeId> = wished.iter().copied().map(NodeId).collect();
        let alive = alive.iter().copied().map(NodeId).collect();
        let found = lost(|| "shard 3".to_owned(), &wished, &alive).map(|lost| lost.dead);
        let dead = dead.map(|dead| dead.iter().copied().map(NodeId).collect::<Vec<_>>());
        assert_eq!(found, dead, "{wished:?} of {alive:?}");
    }

    #[test]
    fn a_majority_has_to_live() {
        check(&[1], &[1, 2], None);
        check(&[1], &[2], Some(&[1]));
        check(&[1, 2], &[1, 2], None);
        check(&[1, 3], &[1, 2], Some(&[3]));
        check(&[1, 2, 3], &[1, 2], None);
        check(&[1, 2, 3], &[1], Some(&[2, 3]));
        check(&[1, 2, 3, 4], &[1, 2, 5], Some(&[3, 4]));
        check(&[1, 2, 3, 4], &[1, 2, 3], None);
    }

    #[test]
    fn it_is_said_what_to_do() {
        let alive = [NodeId(1)].into();
        let said =
            |wished: &[NodeId]| lost(|| "shard 3".to_owned(), wished, &alive).map(|lost| lost.to_string());
        expect_test::expect!["shard 3 would be left without a majority: of its replicas on nodes 1, 3 node 3 can not be reached; start it first, or remove that node instead"]
            .assert_eq(&said(&[NodeId(1), NodeId(3)]).unwrap_or_default());
        expect_test::expect!["shard 3 would be left without a majority: of its replicas on nodes 2, 3 nodes 2, 3 can not be reached; start them first, or remove those nodes instead"]
            .assert_eq(&said(&[NodeId(2), NodeId(3)]).unwrap_or_default());
    }
}
