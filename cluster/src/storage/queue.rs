//! The writer thread's queue: many tasks put writes in, one thread takes out all there are, and sleeps no
//! longer than until a time it names. In a simulation a task stands in the thread's place.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};

/// The end that many hold. When the last is dropped, the queue is closed.
pub(super) struct Sender<T>(Arc<Open<T>>);

/// The end that the thread holds. When it is dropped, what waits is dropped, and nothing more is taken.
pub(super) struct Receiver<T>(Arc<Shared<T>>);

struct Open<T>(Arc<Shared<T>>);

struct Shared<T> {
    room: Semaphore,
    waiting: Mutex<Waiting<T>>,
    /// For the thread.
    filled: Condvar,
    /// For the task in its place.
    told: Notify,
}

impl<T> Shared<T> {
    fn wake(&self) {
        self.filled.notify_one();
        self.told.notify_one();
    }
}

struct Waiting<T> {
    items: Vec<T>,
    /// The thread sleeps; whoever puts something in wakes it.
    is_asleep: bool,
    is_closed: bool,
}

/// The other end is gone.
#[derive(Debug)]
pub(super) struct Closed;

/// A queue of at most `most` items.
pub(super) fn queue<T>(most: usize) -> (Sender<T>, Receiver<T>) {
    let waiting = Waiting { items: Vec::new(), is_asleep: false, is_closed: false };
    let (room, waiting) = (Semaphore::new(most), Mutex::new(waiting));
    let shared = Arc::new(Shared { room, waiting, filled: Condvar::new(), told: Notify::new() });
    (Sender(Arc::new(Open(shared.clone()))), Receiver(shared))
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Sender<T> {
    /// Puts an item in; waits for room. Items of one sender keep their order.
    pub(super) async fn send(&self, item: T) -> Result<(), Closed> {
        let shared = &self.0.0;
        shared.room.acquire().await.map_err(|_| Closed)?.forget();
        self.put(item)
    }

    /// Puts an item in if there is room for it now.
    pub(super) fn try_send(&self, item: T) -> Result<(), Closed> {
        self.0.0.room.try_acquire().map_err(|_| Closed)?.forget();
        self.put(item)
    }

    fn put(&self, item: T) -> Result<(), Closed> {
        let shared = &self.0.0;
        let mut waiting = shared.waiting.lock();
        if waiting.is_closed {
            return Err(Closed);
        }
        waiting.items.push(item);
        if std::mem::take(&mut waiting.is_asleep) {
            drop(waiting);
            shared.wake();
        }
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Moves everything there is to `items`, which is empty; sleeps until there is something, but not beyond
    /// `until`. False once the queue is closed and empty.
    pub(super) fn take(&self, items: &mut Vec<T>, until: Option<Instant>) -> bool {
        let mut waiting = self.0.waiting.lock();
        while waiting.items.is_empty() && !waiting.is_closed {
            waiting.is_asleep = true;
            let timed_out = if let Some(until) = until {
                self.0.filled.wait_until(&mut waiting, until.into_std()).timed_out()
            } else {
                self.0.filled.wait(&mut waiting);
                false
            };
            waiting.is_asleep = false;
            if timed_out {
                break;
            }
        }
        self.hand_over(waiting, items)
    }

    /// The same for a task.
    pub(super) async fn take_async(&self, items: &mut Vec<T>, until: Option<Instant>) -> bool {
        loop {
            {
                let mut waiting = self.0.waiting.lock();
                let is_time = until.is_some_and(|until| until <= Instant::now());
                if !waiting.items.is_empty() || waiting.is_closed || is_time {
                    waiting.is_asleep = false;
                    return self.hand_over(waiting, items);
                }
                waiting.is_asleep = true;
            }
            match until {
                // Told or late: the loop sees which.
                Some(until) => drop(timeout_at(until, self.0.told.notified()).await),
                None => self.0.told.notified().await,
            }
        }
    }

    fn hand_over(&self, mut waiting: MutexGuard<'_, Waiting<T>>, items: &mut Vec<T>) -> bool {
        std::mem::swap(&mut waiting.items, items);
        let is_over = waiting.is_closed && items.is_empty();
        drop(waiting);
        self.0.room.add_permits(items.len());
        !is_over
    }

    /// How many items wait.
    pub(super) fn len(&self) -> usize {
        self.0.waiting.lock().items.len()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.room.close();
        let items = {
            let mut waiting = self.0.waiting.lock();
            waiting.is_closed = true;
            std::mem::take(&mut waiting.items)
        };
        drop(items);
    }
}

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        self.0.waiting.lock().is_closed = true;
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::queue;

    #[tokio::test]
    async fn everything_comes_out_in_order_and_the_end_is_told() {
        let (sender, receiver) = queue(4);
        let thread = std::thread::spawn(move || {
            let (mut all, mut items) = (Vec::new(), Vec::new());
            while receiver.take(&mut items, None) {
                assert!(items.len() <= 4, "no more than there is room for");
                all.append(&mut items);
            }
            all
        });
        let other = sender.clone();
        for number in 0..1_000 {
            sender.send(number).await.expect("the thread is there");
        }
        drop((sender, other));
        assert_eq!(thread.join().expect("it does not panic"), (0..1_000).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_task_gets_everything_in_order_too() {
        let (sender, receiver) = queue(4);
        let take = async {
            let (mut all, mut items) = (Vec::new(), Vec::new());
            while receiver.take_async(&mut items, None).await {
                all.append(&mut items);
            }
            all
        };
        let send = async move {
            for number in 0..100 {
                sender.send(number).await.expect("the task is there");
            }
        };
        let (all, ()) = tokio::join!(take, send);
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        let (_sender, receiver) = queue::<()>(1);
        let until = Instant::now() + Duration::from_millis(20);
        assert!(receiver.take_async(&mut Vec::new(), Some(until)).await, "the sender is still there");
        assert!(Instant::now() >= until);
    }

    #[test]
    fn it_sleeps_no_longer_than_it_is_told() {
        let (sender, receiver) = queue::<()>(1);
        let until = Instant::now() + Duration::from_millis(20);
        let mut items = Vec::new();
        assert!(receiver.take(&mut items, Some(until)), "the sender is still there");
        assert!(items.is_empty() && Instant::now() >= until);
        drop(sender);
    }

    #[tokio::test]
    async fn what_waits_is_dropped_with_the_receiver() {
        let (sender, receiver) = queue(1);
        let (item, dropped) = tokio::sync::oneshot::channel::<()>();
        sender.send(item).await.expect("there is room");
        let (late, _) = tokio::sync::oneshot::channel();
        let (blocked, ()) = tokio::join!(sender.send(late), async { drop(receiver) });
        blocked.expect_err("whoever waits for room is told");
        dropped.await.expect_err("it was dropped");
        let (later, _) = tokio::sync::oneshot::channel();
        assert!(sender.send(later).await.is_err());
    }
}
