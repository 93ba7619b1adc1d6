//! Feeds of real nodes in one process.

mod node;

use std::time::Duration;

use self::node::{Node, Seen, Setup, caller, three, until};
use super::{FeedEvent, cursor};
use crate::error::Code;
use crate::limits;
use crate::object::ClassName;

/// Whoever comes back at any place gets exactly what is behind it, also in the middle of an entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cursor_leads_to_exactly_what_is_behind_it() {
    let node = Node::found(Setup::default()).await;
    let mut feed = node.feed(None).await;
    let opening = feed.take_opening();
    assert!(opening.is_complete);
    let others = (0..30).map(|object| {
        let node = &node;
        async move { node.put(&format!("o{object}"), 10, &format!("other-{object}")).await }
    });
    tokio::join!(node.increment_all(10, 20, "first"), futures_util::future::join_all(others));
    let expected = Seen::all(10, 20);
    let (mut seen, mut places) = (Seen::default(), vec![(opening.cursor, Seen::default())]);
    while seen != expected {
        let cursor = seen.next(&mut feed).await;
        places.push((cursor, seen.clone()));
    }
    let within = places.iter().filter(|(text, _)| cursor::decode(text).expect("a cursor").within.is_some());
    assert!(within.count() > 0, "an entry with several updates is what this is about");
    for (cursor, mut seen) in places {
        let mut again = node.feed(Some(&cursor)).await;
        let opening = again.take_opening();
        assert_eq!((opening.is_complete, opening.cursor), (true, cursor));
        seen.until(&mut again, &expected).await;
    }
    // And then it goes on with what is new, and nothing else.
    node.increment_all(10, 1, "second").await;
    seen.until(&mut feed, &Seen::all(10, 21)).await;
    drop(feed);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_change_under_writers_and_each_version_comes_once_everywhere() {
    let [one, two, three] = three().await;
    let mut feeds = [one.feed(None).await, three.feed(None).await];
    let cursor = feeds[0].take_opening().cursor;
    // What each node leads, and so the feeds' way, differs with every round.
    let writing = async { one.increment_all(20, 40, "one").await };
    let stopping = async {
        until("some of it is written", async || one.metrics.commits.get() > 20).await;
        two.stop().await
    };
    let mut seen = [Seen::default(), Seen::default()];
    let expected = Seen::all(20, 40);
    let (one_seen, three_seen) = seen.each_mut().into();
    let (at_one, at_three) = feeds.each_mut().into();
    let ((), directory, (), ()) = tokio::join!(
        writing,
        stopping,
        one_seen.until(at_one, &expected),
        three_seen.until(at_three, &expected)
    );
    let two = Node::open(directory, Some(one.peer_address()), Setup::default()).await;
    let handing = async {
        until("it leads again", async || two.leads() > 0).await;
        two.cluster.hand_over().await;
    };
    let expected = Seen::all(20, 60);
    let (one_seen, three_seen) = seen.each_mut().into();
    let (at_one, at_three) = feeds.each_mut().into();
    tokio::join!(
        three.increment_all(20, 20, "three"),
        handing,
        one_seen.until(at_one, &expected),
        three_seen.until(at_three, &expected)
    );
    // The node that was away knows all of it too, from the place where it began.
    let mut again = two.feed(Some(&cursor)).await;
    assert!(again.take_opening().is_complete);
    Seen::default().until(&mut again, &expected).await;
    drop((feeds, again));
    for node in [one, two, three] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_one_node_goes_on_at_another_and_the_last_one_ends_the_feed() {
    let [one, two, three] = three().await;
    let mut feed = one.feed(None).await;
    let (mut seen, mut cursor) = (Seen::default(), feed.take_opening().cursor);
    for (round, node) in [&two, &three, &one].into_iter().enumerate() {
        node.increment_all(8, 10, &format!("round-{round}")).await;
        // Half of it here, and the rest at the next node.
        for _ in 0..40 {
            cursor = seen.next(&mut feed).await;
        }
        feed = node.feed(Some(&cursor)).await;
        assert!(feed.take_opening().is_complete);
    }
    seen.until(&mut feed, &Seen::all(8, 30)).await;
    let nodes = [one, two, three];
    let counts = || nodes.iter().map(|node| node.metrics.feeds.get()).collect::<Vec<_>>();
    until("one feed is left", async || counts() == [1, 0, 0]).await;
    let relayed = || nodes.iter().map(|node| node.metrics.feeds_relayed.get()).sum::<i64>();
    assert!(relayed() > 0, "others lead some of the shards");
    drop(feed);
    until("no feed is left", async || counts() == [0, 0, 0] && relayed() == 0).await;
    assert!(nodes.iter().all(|node| node.hub.subscribers() == 0));
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_or_of_another_cluster_begins_now_and_says_so() {
    let node = Node::found(Setup { log_kept_entries: 40, ..Setup::default() }).await;
    let other = Node::found(Setup::default()).await;
    let (old, foreign) = (node.feed(None).await.take_opening(), other.feed(None).await.take_opening());
    assert!(old.is_complete && foreign.is_complete);
    node.increment("c0", "before").await;
    node.purge("purge").await;
    let (mut too_old, mut strange) =
        (node.feed(Some(&old.cursor)).await, node.feed(Some(&foreign.cursor)).await);
    for feed in [&mut too_old, &mut strange] {
        let opening = feed.take_opening();
        assert!(!opening.is_complete);
        assert_ne!(opening.cursor, old.cursor);
        assert_ne!(opening.cursor, foreign.cursor);
    }
    node.increment("c0", "after").await;
    let mut seen = [Seen::all(1, 1), Seen::all(1, 1)];
    seen[0].until(&mut too_old, &Seen::all(1, 2)).await;
    seen[1].until(&mut strange, &Seen::all(1, 2)).await;
    drop((too_old, strange));
    node.stop().await;
    other.stop().await;
}

/// Where nothing of the class happens, the logs are read all the same, and cursors are as new as they can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_class_does_not_make_cursors_old() {
    let node = Node::found(Setup { log_kept_entries: 40, ..Setup::default() }).await;
    let mut feed = node.feed(None).await;
    let reached = |text: &str| cursor::decode(text).expect("a cursor").reached;
    let began = reached(&feed.take_opening().cursor);
    node.purge("purge").await;
    until("the feed has passed what is purged", async || {
        let now = reached(&node.feed(None).await.take_opening().cursor);
        now.iter().zip(&began).all(|(now, began)| *now > began + 40)
    })
    .await;
    node.increment("c0", "one").await;
    let cursor = Seen::default().next(&mut feed).await;
    let mut again = node.feed(Some(&cursor)).await;
    assert!(again.take_opening().is_complete, "of every shard the cursor is new");
    node.increment("c0", "two").await;
    Seen::all(1, 1).until(&mut again, &Seen::all(1, 2)).await;
    drop((feed, again));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_overtaken_by_the_purge_while_catching_up_is_told_and_goes_on() {
    let node = Node::found(Setup { log_kept_entries: 40, ..Setup::default() }).await;
    let cursor = node.feed(None).await.take_opening().cursor;
    node.increment("c0", "first").await;
    // More than one page of the log of the counter's shard lies behind it.
    let fillers = (0..30).map(|object| {
        let node = &node;
        async move {
            node.put(&format!("o{object}"), limits::FEED_PAGE_BYTES / 4, &format!("filler-{object}")).await;
        }
    });
    futures_util::future::join_all(fillers).await;
    let mut feed = node.feed(Some(&cursor)).await;
    assert!(feed.take_opening().is_complete);
    node.increment("c0", "second").await;
    node.purge("purge").await;
    let mut updates = 0;
    let opening = loop {
        match feed.next().await {
            FeedEvent::Update(_) => updates += 1,
            FeedEvent::Lost(opening) => break opening,
            other => panic!("it goes on after a loss: {other:?}"),
        }
    };
    assert!(updates <= 1, "only the first page was read in time");
    assert_eq!((opening.is_complete, opening.cursor.as_str()), (false, feed.cursor()));
    node.increment("c1", "third").await;
    Seen::default().until(&mut feed, &Seen([("c1".to_owned(), 1)].into())).await;
    drop(feed);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_let_go_and_comes_back_while_others_notice_nothing() {
    let node = Node::found(Setup::default()).await;
    let (mut idle, mut keen) = (node.feed(None).await, node.feed(None).await);
    let times = limits::SUBSCRIBER_MAX_FRAMES / 10 + 20;
    let expected = Seen::all(10, times as u64);
    let cursor = idle.take_opening().cursor;
    let mut seen = Seen::default();
    let writing = async {
        for time in 0..times {
            node.increment_all(10, 1, &format!("time-{time}")).await;
        }
    };
    tokio::join!(writing, seen.until(&mut keen, &expected));
    assert!(matches!(idle.next().await, FeedEvent::TooSlow));
    assert!(matches!(idle.next().await, FeedEvent::TooSlow));
    assert_eq!((idle.cursor(), node.metrics.slow_closes.get()), (cursor.as_str(), 1));
    let mut again = node.feed(Some(&cursor)).await;
    Seen::default().until(&mut again, &expected).await;
    drop((idle, keen, again));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_feed_is_refused_and_a_stop_ends_all() {
    let node = Node::found(Setup { max_subscribers: 2, ..Setup::default() }).await;
    let counter = ClassName::parse("counter").expect("a class");
    let refused = async |class: &str, cursor| {
        let class = ClassName::parse(class).expect("a class");
        node.hub.feed(&caller(), &class, cursor).await.err().map(|error| error.code)
    };
    assert_eq!(refused("none", None).await, Some(Code::ClassNotFound));
    assert_eq!(refused("counter", Some("rubbish")).await, Some(Code::InvalidRequest));
    let stranger = crate::caller::Caller { tenant: "no tenant".into(), ..caller() };
    let strange = node.hub.feed(&stranger, &counter, None).await.err();
    assert_eq!(strange.map(|error| error.code), Some(Code::Forbidden));
    // A place in the logs where nobody has been is waited for, but not for ever.
    let mut feed = node.feed(None).await;
    let mut ahead = cursor::decode(&feed.take_opening().cursor).expect("a cursor");
    ahead.reached[1] += 1_000;
    let ahead = cursor::encode(ahead.cluster, &ahead.reached, None);
    let hasty =
        crate::caller::Caller { deadline: std::time::Instant::now() + Duration::from_millis(50), ..caller() };
    let late = node.hub.feed(&hasty, &counter, Some(&ahead)).await.err();
    assert_eq!(late.map(|error| error.code), Some(Code::Unavailable));
    let second = node.feed(None).await;
    assert_eq!(refused("counter", None).await, Some(Code::Overloaded));
    assert_eq!(node.hub.subscribers(), 2);
    drop(second);
    node.hub.close();
    assert!(matches!(feed.next().await, FeedEvent::GoingAway));
    assert_eq!(refused("counter", None).await, Some(Code::Unavailable));
    drop(feed);
    node.stop().await;
}
