//! What waits to be written to one connection: bounded in frames and in bytes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::network::tcp::frame::{FRAME_MAX_BYTES, Frame};

/// Frames that may wait to be written to one connection.
const FRAMES_WAITING_MAX: usize = 8_192;
/// Bytes of the frames that may wait: the largest frame, and what is sent beside it.
const BYTES_WAITING_MAX: usize = 2 * FRAME_MAX_BYTES;
/// What a frame counts for beside its payload, so that empty ones count too.
const FRAME_COST_BYTES: usize = 64;

/// The way into the queue.
#[derive(Clone)]
pub(super) struct Outgoing {
    frames: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

/// A frame that waits; dropping it makes room for another.
pub(super) struct Queued {
    pub(super) frame: Frame,
    _room: OwnedSemaphorePermit,
}

/// The queue is full, or its connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom;

/// A queue.
pub(super) fn queue() -> (Outgoing, mpsc::Receiver<Queued>) {
    let (frames, queued) = mpsc::channel(FRAMES_WAITING_MAX);
    (Outgoing { frames, room: Arc::new(Semaphore::new(BYTES_WAITING_MAX)) }, queued)
}

impl Outgoing {
    /// Queues a frame, if there is room now.
    pub(super) fn try_send(&self, frame: Frame) -> Result<(), NoRoom> {
        let room = self.room.clone().try_acquire_many_owned(cost(&frame)).map_err(|_| NoRoom)?;
        self.frames.try_send(Queued { frame, _room: room }).map_err(|_| NoRoom)
    }

    /// Queues a frame once there is room.
    pub(super) async fn send(&self, frame: Frame) -> Result<(), NoRoom> {
        let room = tokio::select! {
            biased;
            room = self.room.clone().acquire_many_owned(cost(&frame)) => room.map_err(|_| NoRoom)?,
            () = self.frames.closed() => return Err(NoRoom),
        };
        self.frames.send(Queued { frame, _room: room }).await.map_err(|_| NoRoom)
    }
}

fn cost(frame: &Frame) -> u32 {
    let bytes = (FRAME_COST_BYTES + frame.payload.len()).min(BYTES_WAITING_MAX);
    u32::try_from(bytes).expect("BYTES_WAITING_MAX is below 4 GiB")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{BYTES_WAITING_MAX, NoRoom, queue};
    use crate::network::tcp::frame::{Frame, Kind};

    #[tokio::test]
    async fn large_frames_fill_the_queue_before_many_do_and_taking_one_makes_room() {
        let (outgoing, mut queued) = queue();
        let large = || Frame::new(Kind::Request, 1, Bytes::from(vec![0; BYTES_WAITING_MAX / 2 - 64]));
        assert_eq!(outgoing.try_send(large()), Ok(()));
        assert_eq!(outgoing.try_send(large()), Ok(()));
        assert_eq!(outgoing.try_send(Frame::bare(Kind::Ping, 2)), Err(NoRoom));
        drop(queued.recv().await);
        assert_eq!(outgoing.try_send(Frame::bare(Kind::Ping, 2)), Ok(()));
    }

    #[tokio::test]
    async fn who_waits_for_room_on_a_closed_connection_is_told() {
        let (outgoing, queued) = queue();
        let whole = Frame::new(Kind::Request, 1, Bytes::from(vec![0; BYTES_WAITING_MAX]));
        assert_eq!(outgoing.try_send(whole), Ok(()));
        let late = outgoing.send(Frame::bare(Kind::Ping, 2));
        drop(queued);
        assert_eq!(late.await, Err(NoRoom));
    }
}
