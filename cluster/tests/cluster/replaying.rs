//! What was applied is read again from the log: after a restart, and the same on every replica.

use stead_cluster::{LogIndex, Options, ReplayError, Shard, ShardId, Verdict};

use crate::harness::{Node, directory, options};
use crate::several::{Member, three, until};

/// The commands behind an index, each with the index of its entry.
fn replayed(shard: &Shard, after: LogIndex) -> Result<Vec<(LogIndex, String)>, ReplayError> {
    let (mut replay, mut commands) = (shard.replay(Some(after)), Vec::new());
    while replay.reached() < shard.applied() {
        for entry in replay.next_page(100)?.entries {
            let texts = entry.commands().map(|command| String::from_utf8(command.to_vec()).unwrap());
            commands.extend(texts.map(|text| (entry.index, text)));
        }
    }
    Ok(commands)
}

#[tokio::test]
async fn what_was_applied_is_read_again_after_a_restart_as_far_as_the_log_reaches() {
    let directory = directory();
    let keeping = || Options {
        log_kept_entries: 100,
        heartbeat: std::time::Duration::from_millis(20),
        ..options(directory.path())
    };
    let node = Node::with(keeping()).await.unwrap();
    let mut expected = Vec::new();
    for number in 0..60 {
        let verdict = node.put(0, &format!("k{number}"), "v").await;
        let Verdict::Applied { index } = verdict else { panic!("{verdict:?}") };
        expected.push((index, format!("k{number}=v")));
    }
    assert_eq!(replayed(node.shard(0), 0).unwrap(), expected);
    node.cluster.shutdown().await;

    let node = Node::with(keeping()).await.unwrap();
    let mut live = node.shard(0).replay(None);
    assert_eq!(replayed(node.shard(0), 0).unwrap(), expected);
    let (behind, rest) = expected.split_at(31);
    assert_eq!(replayed(node.shard(0), behind.last().unwrap().0).unwrap(), rest);
    assert!(matches!(node.put(0, "more", "v").await, Verdict::Applied { .. }));
    let page = live.next_page(1).unwrap();
    assert_eq!(page.entries.first().unwrap().commands().collect::<Vec<_>>(), [b"more=v"]);

    for number in 0..300 {
        assert!(matches!(node.put(0, &format!("l{number}"), "v").await, Verdict::Applied { .. }));
    }
    until("it is purged", || node.shard(0).status().purged.is_some_and(|purged| purged > 100)).await;
    assert_eq!(replayed(node.shard(0), 0), Err(ReplayError::Purged));
    assert_eq!(replayed(node.shard(0), node.shard(0).applied() - 20).unwrap().len(), 20);
    node.cluster.shutdown().await;
    // Whoever still waits is told that nothing more comes.
    node.shard(0).wait_applied_beyond(LogIndex::MAX - 1).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_replica_has_the_same_at_the_same_indices() {
    let members = three().await;
    let all: Vec<&Member> = members.iter().collect();
    for number in 0..30 {
        Member::put(&all, 1, &format!("k{number}"), "v").await;
    }
    let shard = |at: usize| members[at].cluster.shard(ShardId(1));
    let last = (0..3).map(|at| shard(at).applied()).max().unwrap();
    until("everybody has applied it", || (0..3).all(|at| shard(at).applied() >= last)).await;
    let replays: Vec<_> = (0..3).map(|at| replayed(shard(at), 0).unwrap()).collect();
    assert_eq!(replays[0].len(), 30);
    assert!(replays.iter().all(|replay| *replay == replays[0]));
    for member in members {
        member.cluster.shutdown().await;
    }
}
