//! Whether this node can do its work: what `/health` and `/ready` tell.

use std::path::Path;

use super::Runtime;

/// Memory the machine should have left, in bytes: below it the kernel may end the process any moment.
const MEMORY_LEFT_MIN_BYTES: u64 = 64 * 1024 * 1024;

/// What was looked at, each well or with what is wrong, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthChecks {
    /// Whether the store takes what is written.
    pub storage: Result<(), String>,
    /// Whether every shard has a leader that answers.
    pub consensus: Result<(), String>,
    /// Whether the machine has memory left.
    pub memory: Result<(), String>,
    /// Whether the disk has room left.
    pub disk: Result<(), String>,
}

impl Runtime {
    /// Whether this node can do its work.
    #[must_use]
    pub fn health(&self) -> HealthChecks {
        HealthChecks {
            storage: self.storage(),
            consensus: self.consensus(),
            memory: memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default()),
            disk: disk(&self.inner().options.data_dir, self.inner().options.disk_free_min_bytes),
        }
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
fn memory(meminfo: &str) -> Result<(), String> {
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

fn disk(data_dir: &Path, free_min_bytes: u64) -> Result<(), String> {
    let shown = data_dir.display();
    let room = rustix::fs::statvfs(data_dir)
        .map_err(|error| format!("the disk of {shown} cannot be asked: {error}"))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < free_min_bytes {
        return Err(format!(
            "the disk of {shown} has {free} bytes left, less than {free_min_bytes}; make room on it"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::memory;

    #[test]
    fn little_memory_is_told() {
        assert_eq!(memory(""), Ok(()));
        assert_eq!(memory("MemTotal: 1 kB\nMemAvailable:   24000000 kB\n"), Ok(()));
        assert!(memory("MemAvailable: 65535 kB\n").is_err());
    }
}
