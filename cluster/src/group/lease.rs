//! Until when a leader may answer by itself: what its voters promised, counted from when it asked.
//!
//! A voter that takes a request of a leader grants no other candidate for a while. The leader counts from the moment
//! before it sent the request, so the promise is never shorter than it believes. Each answer counts for the request it
//! answers and for no other. (openraft keeps such a time too, but it takes an answer for every request on its way
//! that ends at the same entry: a process that was paused between two of them, and on waking sends the second
//! before it sees the answer to the first, would count the promise from its waking.)

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::layout::{NodeId, Term};
use crate::raft::Membership;

/// What the voters of one group promised this node as their leader.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// When each was asked for what it last answered, and in which term.
    promised: Mutex<BTreeMap<NodeId, (Term, Instant)>>,
}

impl Lease {
    /// A node has taken a request that was sent at `asked` under the leader of `term`.
    pub(crate) fn promise(&self, node: NodeId, term: Term, asked: Instant) {
        let mut promised = self.promised.lock();
        let known = promised.entry(node).or_insert((term, asked));
        *known = (*known).max((term, asked));
    }

    /// Whether in every configuration a majority, `own` among them, promised in this term less than `length` ago.
    pub(crate) fn runs(&self, own: NodeId, term: Term, membership: &Membership, length: Duration) -> bool {
        let (promised, now) = (self.promised.lock(), Instant::now());
        let is_bound = |node: &NodeId| {
            let until = |asked: Instant| now.saturating_duration_since(asked) < length;
            *node == own || promised.get(node).is_some_and(|(of, asked)| *of == term && until(*asked))
        };
        let configs = membership.get_joint_config();
        !configs.is_empty()
            && configs
                .iter()
                .all(|config| config.iter().filter(|node| is_bound(node)).count() > config.len() / 2)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Lease;
    use crate::layout::NodeId;
    use crate::raft::{Membership, Peer};

    const LENGTH: Duration = Duration::from_mins(1);

    fn check(configs: &[&[u64]], promised: &[(u64, u64)], expected: bool) {
        let set = |nodes: &&[u64]| nodes.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let nodes: BTreeMap<_, _> =
            configs.iter().flat_map(set).map(|node| (node, Peer::default())).collect();
        let membership =
            Membership::new(configs.iter().map(set).collect(), nodes).expect("the nodes are known");
        let lease = Lease::default();
        for (node, term) in promised {
            lease.promise(NodeId(*node), *term, Instant::now());
        }
        assert_eq!(lease.runs(NodeId(1), 5, &membership, LENGTH), expected, "{configs:?} {promised:?}");
    }

    #[test]
    fn a_majority_of_every_configuration_binds() {
        check(&[&[1, 2, 3]], &[], false);
        check(&[&[1, 2, 3]], &[(2, 5)], true);
        check(&[&[1, 2, 3]], &[(2, 4)], false); // of an earlier term
        check(&[&[1, 2, 3]], &[(9, 5)], false); // not a voter
        check(&[&[2, 3, 4]], &[(2, 5)], false); // this node is none
        check(&[&[2, 3, 4]], &[(2, 5), (4, 5)], true);
        check(&[&[1, 2, 3], &[4, 5, 6]], &[(2, 5), (4, 5)], false);
        check(&[&[1, 2, 3], &[4, 5, 6]], &[(2, 5), (4, 5), (5, 5)], true);
        check(&[&[1, 2, 3, 4]], &[(2, 5)], false);
    }

    #[test]
    fn a_promise_ends_and_an_older_answer_does_not_shorten_it() {
        let set = BTreeSet::from([NodeId(1), NodeId(2)]);
        let nodes: BTreeMap<_, _> = set.iter().map(|node| (*node, Peer::default())).collect();
        let membership = Membership::new(vec![set], nodes).expect("the nodes are known");
        let (lease, asked) = (Lease::default(), Instant::now());
        lease.promise(NodeId(2), 5, asked);
        lease.promise(NodeId(2), 5, asked - Duration::from_mins(2));
        assert!(lease.runs(NodeId(1), 5, &membership, LENGTH));
        assert!(!lease.runs(NodeId(1), 5, &membership, Duration::ZERO));
    }
}
