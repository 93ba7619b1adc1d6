//! What was applied, read again from the log.

use openraft::storage::{IOFlushed, RaftLogStorage};

use super::{
    Arc, Bytes, CacheBounds, Commands, Ends, Entry, EntryPayload, LogIndex, RaftStateMachine, Replica,
    log_id, over_a_wire, replica, stream,
};
use crate::group::replay::{Replay, ReplayError};
use crate::options::ENTRIES_IN_FLIGHT_MAX;

/// A term, and the number of an entry with the command `k<index>`; 0 for one without commands.
type Shape = (u64, u64);

/// Appends entries from index `from` on and applies them.
async fn write(replica: &mut Replica, from: LogIndex, shapes: &[Shape]) {
    let entries = (from..).zip(shapes).map(|(index, (term, sequence))| {
        let commands = [Bytes::from(format!("k{index}"))];
        let commands = Commands::pack(*sequence, commands.iter());
        let payload = if *sequence == 0 { EntryPayload::Blank } else { EntryPayload::Normal(commands) };
        Entry { log_id: log_id(*term, index), payload }
    });
    let entries: Vec<Entry> = entries.collect();
    replica.log.append(entries.clone(), IOFlushed::noop()).await.expect("they are appended");
    let entries = stream::iter(entries.into_iter().map(|entry| Ok((entry, None))));
    replica.machine.apply(entries).await.expect("they are applied");
}

fn replay(replica: &Replica, after: Option<LogIndex>) -> Replay {
    Replay::new(replica.standing.clone(), Some(replica.log.clone()), after)
}

/// The indices of the entries that took effect, as pages of so many bytes give them.
fn read(replay: &mut Replay, bytes_max: usize) -> Result<Vec<LogIndex>, ReplayError> {
    let mut indices = Vec::new();
    loop {
        let before = replay.reached();
        let page = replay.next_page(bytes_max)?;
        for entry in &page.entries {
            let key = format!("k{}", entry.index);
            assert_eq!(entry.commands().collect::<Vec<_>>(), [key.as_bytes()]);
            indices.push(entry.index);
        }
        assert_eq!(page.reached, replay.reached());
        if page.reached == before {
            return Ok(indices);
        }
    }
}

/// Term 1 with a gap behind its second entry, then a term with many, then a short one.
fn shapes() -> Vec<Shape> {
    let mut shapes = vec![(1, 0), (1, 1), (1, 2), (1, 4), (1, 5), (2, 0)];
    shapes.extend((1..=100).map(|sequence| (2, sequence)));
    shapes.extend([(2, 102), (2, 103), (3, 0), (3, 1)]);
    shapes
}

/// Those of [`shapes`] that take effect, from index 0 on.
fn taken() -> Vec<LogIndex> {
    [1, 2].into_iter().chain(6..106).chain([109]).collect()
}

async fn each_start_gives_what_took_effect_behind_it(cache: CacheBounds) {
    let ends = Ends::default();
    let mut replica = replica(cache, &ends);
    write(&mut replica, 0, &shapes()).await;
    for after in 0..=110 {
        let expected: Vec<LogIndex> = taken().into_iter().filter(|index| *index > after).collect();
        for bytes_max in [1, 1_000, usize::MAX / 2] {
            let mut replay = replay(&replica, Some(after));
            assert_eq!(read(&mut replay, bytes_max), Ok(expected.clone()), "after {after}");
            assert_eq!(replay.reached(), after.max(109));
        }
    }
    let mut live = replay(&replica, None);
    assert_eq!((live.reached(), read(&mut live, 1)), (109, Ok(Vec::new())));
    write(&mut replica, 110, &[(3, 2), (3, 4), (3, 5)]).await;
    assert_eq!((read(&mut live, 1), live.reached()), (Ok(vec![110]), 112));
    drop((live, replica));
    ends.wait().await;
}

#[tokio::test]
async fn what_took_effect_is_read_again_from_memory() {
    each_start_gives_what_took_effect_behind_it(CacheBounds { entries: 1_000, bytes: 1024 * 1024 }).await;
}

#[tokio::test]
async fn what_took_effect_is_read_again_from_the_disk() {
    each_start_gives_what_took_effect_behind_it(CacheBounds { entries: 1, bytes: 1 }).await;
}

#[tokio::test]
async fn what_is_purged_is_said_to_be_and_nothing_uncertain_is_given() {
    let ends = Ends::default();
    let mut replica = replica(CacheBounds { entries: 8, bytes: 1024 }, &ends);
    write(&mut replica, 0, &shapes()).await;
    let mut overtaken = replay(&replica, Some(3));
    replica.log.purge(log_id(2, 50)).await.expect("it is purged");
    assert_eq!(overtaken.next_page(1), Err(ReplayError::Purged));
    // So near to the purged, nobody can tell whether something is missing before.
    let most = ENTRIES_IN_FLIGHT_MAX as u64;
    for after in 0..50 + most {
        assert_eq!(replay(&replica, Some(after)).next_page(1), Err(ReplayError::Purged), "after {after}");
    }
    for after in 51 + most..110 {
        let expected: Vec<LogIndex> = taken().into_iter().filter(|index| *index > after).collect();
        assert_eq!(read(&mut replay(&replica, Some(after)), 1), Ok(expected), "after {after}");
    }
    drop((overtaken, replica));
    ends.wait().await;
}

#[tokio::test]
async fn what_came_in_a_snapshot_is_not_read_from_the_log() {
    let ends = Ends::default();
    let cache = CacheBounds { entries: 8, bytes: 1024 };
    let (mut from, mut to) = (replica(cache, &ends), replica(cache, &ends));
    write(&mut from, 0, &shapes()).await;
    write(&mut to, 0, &[(1, 0), (1, 1), (1, 2)]).await;
    // Of a leader that was deposed, committed by nobody, and not purged yet.
    let lost = Commands::pack(3, [Bytes::from_static(b"lost")].iter());
    let lost = Entry { log_id: log_id(1, 3), payload: EntryPayload::Normal(lost) };
    to.log.append([lost], IOFlushed::noop()).await.expect("it is appended");
    let snapshot = from.machine.get_current_snapshot().await.expect("it can be read").expect("there is one");
    let (mut behind, mut live) = (replay(&to, Some(1)), replay(&to, None));
    to.machine
        .install_snapshot(&snapshot.meta, over_a_wire(snapshot.snapshot))
        .await
        .expect("it is installed");
    assert_eq!(behind.next_page(1), Err(ReplayError::Purged));
    assert_eq!(live.next_page(1), Err(ReplayError::Purged));
    assert_eq!(replay(&to, Some(108)).next_page(1), Err(ReplayError::Purged));
    // What follows on it is read again, from its end and from now.
    let (mut from_end, mut from_now) = (replay(&to, Some(109)), replay(&to, None));
    to.log.purge(log_id(3, 109)).await.expect("it is purged");
    write(&mut to, 110, &[(3, 2), (3, 4)]).await;
    assert_eq!(read(&mut from_end, 1), Ok(vec![110]));
    assert_eq!((read(&mut from_now, 1), from_now.reached()), (Ok(vec![110]), 111));
    drop((behind, live, from_end, from_now, from, to));
    ends.wait().await;
}

#[tokio::test]
async fn who_waits_is_woken_by_what_is_applied_and_by_the_end() {
    let ends = Ends::default();
    let mut replica = replica(CacheBounds { entries: 8, bytes: 1024 }, &ends);
    let standing: Arc<_> = replica.standing.clone();
    let (waiting, three) = (standing.wait_applied_beyond(1), [(1, 0), (1, 1), (1, 2)]);
    let (waited, ()) = tokio::join!(waiting, write(&mut replica, 0, &three));
    assert_eq!(waited, Ok(()));
    let waiting = standing.wait_applied_beyond(2);
    let (waited, ()) = tokio::join!(waiting, async { standing.end("it ends".to_owned()) });
    assert_eq!(waited, Err("it ends".to_owned()));
    drop(replica);
    ends.wait().await;
}
