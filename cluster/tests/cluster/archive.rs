//! A cluster saved while it works, and another made from that.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use stead_cluster::archive::{inspect, restore};
use stead_cluster::{SaveProgress, ShardId, Space};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::harness::directory;
use crate::several::{Member, is_spread, leaders, three, until};

/// Keys of each shard, and bytes of each value: several chunks a shard.
const KEYS: usize = 40;
const VALUE_BYTES: usize = 20_000;

fn value(shard: u16, key: usize) -> String {
    format!("{shard}-{key}-{}", "x".repeat(VALUE_BYTES))
}

async fn fill(members: &[&Member]) {
    for shard in 0..3 {
        for key in 0..KEYS {
            Member::put(members, shard, &format!("k{key}"), &value(shard, key)).await;
        }
    }
}

fn has_everything(member: &Member) -> bool {
    (0..3).all(|shard| {
        let reader = member.cluster.shard(ShardId(shard)).reader();
        // The machine puts a row there for each command.
        let alarms = reader.scan(Space::Alarms, Vec::new()..vec![u8::MAX]).map(Result::unwrap).count();
        let has = |key| member.get(shard, &format!("k{key}")) == Some(value(shard, key));
        alarms >= KEYS && (0..KEYS).all(has)
    })
}

/// Restores into a new directory and starts a node there.
async fn restored(file: &Path) -> Member {
    let directory = directory();
    let made = restore(file, directory.path()).await.unwrap();
    let member = Member::start(directory, None).await;
    assert_eq!(member.cluster.id(), made.cluster);
    member
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_saved_under_writes_and_restored_into_another_that_grows() {
    let [one, two, three] = three().await;
    let members = [&one, &two, &three];
    until("each leads one of three shards", || leaders(&members) == [1, 1, 1]).await;
    fill(&members).await;
    let saves: TempDir = directory();
    let file = saves.path().join("a.snapshot");

    // A writer that counts up; what it has acknowledged before the save begins is to be in it.
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let writing = async {
        for number in 1.. {
            Member::put(&members, 1, "count", &number.to_string()).await;
            acknowledged.store(number, Ordering::SeqCst);
            if stop.load(Ordering::SeqCst) {
                return number;
            }
        }
        0
    };
    let saving = async {
        until("the writer has begun", || acknowledged.load(Ordering::SeqCst) > 3).await;
        let before = acknowledged.load(Ordering::SeqCst);
        let mut last = None;
        let saved = one.cluster.save(file.clone(), 1_000, |progress| {
            last = Some(progress);
            Ok(())
        });
        let saved = saved.await.unwrap();
        stop.store(true, Ordering::SeqCst);
        (before, saved, last.unwrap())
    };
    let (written, (before, saved, last)) = tokio::join!(writing, saving);
    assert_eq!((last.saved, last.shards), (2, 3));
    let contents = inspect(&file).unwrap();
    assert_eq!((contents.bytes, &contents.sha256), (saved.bytes, &saved.sha256));
    assert_eq!(contents.shards.iter().map(|shard| shard.rows).sum::<u64>(), saved.rows);
    let (cluster, id) = (contents.manifest.cluster, one.cluster.id());
    assert_eq!((cluster, contents.manifest.made_at_ms), (id.to_string(), 1_000));
    assert!(one.cluster.save(file.clone(), 1_000, |_| Ok(())).await.is_err(), "nothing is overwritten");

    let new = restored(&file).await;
    assert_ne!(new.cluster.id(), id);
    assert!(has_everything(&new));
    let count: u64 = new.get(1, "count").unwrap().parse().unwrap();
    assert!((before..=written).contains(&count), "{before} <= {count} <= {written}");

    // It grows like any other: what the others have came by a snapshot, for there is no log of it.
    Member::put(&[&new], 0, "after", "1").await;
    let at = new.peer_address();
    let second = Member::start(directory(), Some(&at)).await;
    let third = Member::start(directory(), Some(&at)).await;
    let grown = [&new, &second, &third];
    until("three replicas of every shard", || is_spread(&grown, 3)).await;
    until("everything is everywhere", || {
        grown.iter().all(|member| has_everything(member) && member.get(0, "after").is_some())
    })
    .await;
    let Member { cluster, directory } = new;
    cluster.shutdown().await;
    Member::put(&[&second, &third], 0, "later", "2").await;
    assert!(has_everything(&second) && has_everything(&third));
    let new = Member::start(directory, Some(&second.peer_address())).await;
    until("it has caught up", || new.get(0, "later").is_some()).await;
    for member in members.into_iter().chain([&new, &second, &third]) {
        member.cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_whose_leader_goes_away_is_saved_from_the_next() {
    let [one, two, three] = three().await;
    let members = [&one, &two, &three];
    until("each leads one of three shards", || leaders(&members) == [1, 1, 1]).await;
    fill(&members).await;
    // In the middle of a shard that another node leads, that node goes.
    let led_elsewhere = |shard: &u16| one.cluster.shard(ShardId(*shard)).lead().is_err();
    let shard = (0..3).find(led_elsewhere).unwrap();
    let leads = |member: &&&Member| member.cluster.shard(ShardId(shard)).lead().is_ok();
    let victim = members.iter().find(leads).unwrap().cluster.clone();
    let (go, told) = oneshot::channel();
    let (gone, is_gone) = oneshot::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        told.await.unwrap();
        victim.shutdown().await;
        gone.send(()).unwrap();
    });
    let saves = directory();
    let file = saves.path().join("a.snapshot");
    let (mut waits, mut sizes) = (Some((go, is_gone)), Vec::new());
    let watch = |progress: SaveProgress| {
        if progress.saved == shard
            && let Some((go, is_gone)) = waits.take()
        {
            go.send(()).unwrap();
            tokio::task::block_in_place(|| Handle::current().block_on(is_gone)).unwrap();
        }
        sizes.push(progress.bytes);
        Ok(())
    };
    let saved = one.cluster.save(file.clone(), 1_000, watch).await.unwrap();
    assert!(!sizes.is_sorted_by(|one, next| one < next), "the shard was begun again: {sizes:?}");
    assert_eq!(inspect(&file).unwrap().bytes, saved.bytes);
    assert_eq!(std::fs::read_dir(saves.path()).unwrap().count(), 1);
    let new = restored(&file).await;
    assert!(has_everything(&new));
    for member in members.into_iter().chain([&new]) {
        member.cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_leaves_nothing_that_could_be_started() {
    let one = Member::found().await;
    fill(&[&one]).await;
    let saves = directory();
    let file = saves.path().join("a.snapshot");
    let refused = one.cluster.save(file.clone(), 1_000, |_| Err("the disk is nearly full".to_owned())).await;
    assert_eq!(refused.unwrap_err().to_string(), "the disk is nearly full");
    assert_eq!(std::fs::read_dir(saves.path()).unwrap().count(), 0);
    one.cluster.save(file.clone(), 1_000, |_| Ok(())).await.unwrap();

    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.len() - 100_000;
    bytes[at] ^= 1;
    let damaged = saves.path().join("damaged.snapshot");
    std::fs::write(&damaged, &bytes).unwrap();
    let target = directory();
    let refused = restore(&damaged, target.path()).await.unwrap_err().to_string();
    assert!(refused.contains("it is damaged at byte") && refused.contains("shard 2 of 3"), "{refused}");
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
    let new = target.path().join("new");
    assert!(restore(&damaged, &new).await.is_err());
    assert!(!new.exists());

    // What a restore leaves that was killed is not started, and restored over.
    std::fs::create_dir(target.path().join("restore.unfinished")).unwrap();
    let refused = Member::try_start(&target).await.err().unwrap().to_string();
    assert!(refused.contains("restore again"), "{refused}");
    restore(&file, target.path()).await.unwrap();
    let refused = restore(&file, target.path()).await.unwrap_err().to_string();
    assert!(refused.contains("is not empty"), "{refused}");
    let again = Member::start(target, None).await;
    assert!(has_everything(&again));
    for member in [&one, &again] {
        member.cluster.shutdown().await;
    }
}
