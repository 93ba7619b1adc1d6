//! Whether this node can do its work: what `/health` and `/ready` tell.

use std::path::Path;

use stead_cluster::Shard;

use super::Runtime;

/// Memory the machine should have left, in bytes: below it the kernel may end the process any moment.
const MEMORY_LEFT_MIN_BYTES: u64 = 64 * 1024 * 1024;

/// The room of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that a process may still write.
    pub free_bytes: u64,
    /// Bytes it has in all.
    pub size_bytes: u64,
}

impl Runtime {
    /// Whether the disk takes what is written, and gives back what was.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in a sentence.
    pub fn storage(&self) -> Result<(), String> {
        let cluster = &self.inner().cluster;
        cluster.storage_health()?;
        let stopped = |shard: &Shard| Some((shard.id(), shard.lead().err()?.stopped?));
        match cluster.shards().iter().find_map(stopped) {
            Some((shard, reason)) => Err(format!("shard {} has stopped on this node: {reason}", shard.0)),
            None => Ok(()),
        }
    }

    /// Whether every shard has a leader that answers.
    ///
    /// # Errors
    ///
    /// What does not, in a sentence.
    pub fn consensus(&self) -> Result<(), String> {
        let shards = self.inner().cluster.shards();
        let silent = shards.iter().filter(|shard| !self.is_served(shard)).count();
        if silent == 0 {
            Ok(())
        } else {
            Err(format!("{silent} of {} shards have no leader that answers", shards.len()))
        }
    }

    /// Whether a shard has a leader that this node, or a client through it, can reach.
    fn is_served(&self, shard: &Shard) -> bool {
        let cluster = &self.inner().cluster;
        match shard.lead() {
            Ok(_) => true,
            Err(_) if *shard.leader().borrow() == Some(cluster.node_id()) => false,
            Err(_) => self.leader_of(shard, 0).is_some_and(|leader| cluster.reaches(leader)),
        }
    }

    /// Whether the machine has memory left.
    ///
    /// # Errors
    ///
    /// How little there is, in a sentence.
    pub fn memory(&self) -> Result<(), String> {
        memory_left(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default())
    }

    /// Whether the disk of the data directory has room left.
    ///
    /// # Errors
    ///
    /// How little there is, in a sentence.
    pub fn disk(&self) -> Result<(), String> {
        room_left(&self.inner().options.data_dir, self.inner().options.disk_free_min_bytes)
    }

    /// How much room the disk of the data directory has; none where it cannot be asked.
    #[must_use]
    pub fn disk_room(&self) -> Option<Room> {
        room_of(&self.inner().options.data_dir).ok()
    }

    /// Whether the disk of another directory has as much room left as that of the data directory should have.
    ///
    /// # Errors
    ///
    /// How little there is, in a sentence.
    pub(crate) fn room_in(&self, directory: &Path) -> Result<(), String> {
        room_left(directory, self.inner().options.disk_free_min_bytes)
    }

    /// Whether this node can answer for every object.
    ///
    /// # Errors
    ///
    /// What it waits for, in a sentence.
    pub fn ready(&self) -> Result<(), String> {
        if self.inner().stopping.is_cancelled() {
            return Err("the node is stopping".to_owned());
        }
        self.storage().and_then(|()| self.consensus())
    }
}

/// Reads what the kernel says of the machine's memory; a kernel that says nothing is not a problem.
fn memory_left(meminfo: &str) -> Result<(), String> {
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = available
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok());
    match available.map(|kib| kib.saturating_mul(1024)) {
        Some(bytes) if bytes < MEMORY_LEFT_MIN_BYTES => Err(format!(
            "the machine has {bytes} bytes of memory left; give it more, or stop what else runs on it"
        )),
        _ => Ok(()),
    }
}

fn room_of(data_dir: &Path) -> Result<Room, String> {
    let disk = rustix::fs::statvfs(data_dir)
        .map_err(|error| format!("the disk of {} cannot be asked: {error}", data_dir.display()))?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Ok(Room { free_bytes: bytes(disk.f_bavail), size_bytes: bytes(disk.f_blocks) })
}

fn room_left(data_dir: &Path, free_min_bytes: u64) -> Result<(), String> {
    let shown = data_dir.display();
    let free = room_of(data_dir)?.free_bytes;
    if free < free_min_bytes {
        return Err(format!(
            "the disk of {shown} has {free} bytes left, less than {free_min_bytes}; make room on it"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::memory_left;

    #[test]
    fn little_memory_is_told() {
        assert_eq!(memory_left(""), Ok(()));
        assert_eq!(memory_left("MemTotal: 1 kB\nMemAvailable:   24000000 kB\n"), Ok(()));
        assert!(memory_left("MemAvailable: 65535 kB\n").is_err());
    }
}
