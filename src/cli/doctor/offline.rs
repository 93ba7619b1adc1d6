//! What can be seen of a data directory. It is changed in nothing: the database is opened for reading only, and only
//! while no process uses it.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, StatVfsMountFlags, fcntl_lock, statvfs};

use super::super::failure::{Failure, Kind};
use super::{Finding, Verdict, owner, size};
use crate::config::Config;

/// Most files of a data directory that are looked at; RocksDB makes far fewer.
const FILES_MAX: usize = 100_000;
/// How deep the database may lie below the data directory.
const DEPTH_MAX: usize = 3;

/// A file that was seen.
struct Seen {
    path: PathBuf,
    bytes: u64,
}

/// Looks at `directory` and changes nothing in it.
pub(super) fn examine(directory: &Path) -> Result<Vec<Finding>, Failure> {
    let shown = directory.display();
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return Err(Failure::usage(format!("{shown} is no directory: name the one given to --data")));
        }
        Err(problem) if problem.kind() == ErrorKind::NotFound => {
            return Err(Failure::new(
                Kind::NotFound,
                format!("there is no directory {shown}: name the one given to --data"),
            ));
        }
        Err(problem) => return Err(Failure::failed(format!("cannot look at {shown}: {problem}"))),
    }
    let mut files = Vec::new();
    let mut findings = Vec::new();
    gather(directory, 0, &mut files, &mut findings);
    findings.extend(space(directory));
    findings.extend(database(directory, &files));
    findings.extend(owner::examine(directory, is_free(&files)));
    Ok(findings)
}

/// All files below, and a finding for each directory that cannot be read.
fn gather(directory: &Path, depth: usize, files: &mut Vec<Seen>, findings: &mut Vec<Finding>) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(problem) => {
            findings.push(Finding::bad(
                format!("{} cannot be read: {problem}", directory.display()),
                "run this as the user that runs the node, or give the directory to it",
            ));
            return;
        }
    };
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() && depth < DEPTH_MAX {
            gather(&entry.path(), depth + 1, files, findings);
        } else if metadata.is_file() && files.len() < FILES_MAX {
            files.push(Seen { path: entry.path(), bytes: metadata.len() });
        }
    }
}

fn space(directory: &Path) -> Vec<Finding> {
    let shown = directory.display();
    let disk = match statvfs(directory) {
        Ok(disk) => disk,
        Err(problem) => {
            return vec![Finding::bad(
                format!("the disk of {shown} cannot be asked: {problem}"),
                "see the system's log",
            )];
        }
    };
    let mut findings = Vec::new();
    if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
        findings.push(Finding::bad(
            format!("the disk of {shown} is mounted read-only"),
            "see the system's log for errors of the disk, and mount it for writing",
        ));
    }
    let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
    let free = format!("{} are free on the disk of {shown}", size(free_bytes));
    findings.push(if free_bytes < Config::default().storage.disk_free_min_bytes {
        Finding::bad(free, "make room, or move the directory to a larger disk")
    } else {
        Finding::good(free)
    });
    findings
}

fn database(directory: &Path, files: &[Seen]) -> Vec<Finding> {
    let named = |name: &str| files.iter().find(|file| file.path.file_name().is_some_and(|own| own == name));
    let Some(current) = named("CURRENT") else {
        return vec![Finding::doubtful(
            format!("{} holds no database", directory.display()),
            "name the directory given to --data; a node that never started has none",
        )];
    };
    let mut findings = Vec::new();
    if let Some(lock) = named("LOCK") {
        findings.push(in_use(&lock.path));
    }
    findings.push(manifest(&current.path));
    let unreadable: Vec<_> = files.iter().filter(|file| File::open(&file.path).is_err()).collect();
    if let Some(first) = unreadable.first() {
        findings.push(Finding::bad(
            format!("{} files cannot be read, the first is {}", unreadable.len(), first.path.display()),
            "run this as the user that runs the node, or give the files to it",
        ));
    }
    let empty =
        files.iter().find(|file| file.bytes == 0 && file.path.extension().is_some_and(|own| own == "sst"));
    if let Some(table) = empty {
        findings.push(Finding::bad(
            format!("the table {} is empty: the disk lost what was written", table.path.display()),
            "check the disk; let the node copy its data from the others, or take a copy of the directory",
        ));
    }
    let bytes = files.iter().map(|file| file.bytes).sum();
    findings.push(Finding::good(format!("the data are {} in {} files", size(bytes), files.len())));
    findings
}

/// Whether there is a database, and no process has it open.
fn is_free(files: &[Seen]) -> bool {
    let named = |name: &str| files.iter().find(|file| file.path.file_name().is_some_and(|own| own == name));
    let lock = named("CURRENT").and_then(|_| named("LOCK"));
    lock.is_some_and(|lock| in_use(&lock.path).verdict == Verdict::Good)
}

/// Whether a process holds the database. The lock is tried and let go at once.
fn in_use(lock: &Path) -> Finding {
    let file = match OpenOptions::new().read(true).write(true).open(lock) {
        Ok(file) => file,
        Err(problem) => {
            return Finding::bad(
                format!("{} cannot be opened: {problem}", lock.display()),
                "run this as the user that runs the node",
            );
        }
    };
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Finding::good("no process uses the data"),
        Err(_) => Finding::doubtful(
            "a process uses the data: a node is running here",
            "ask the node itself: `stead doctor` without --offline",
        ),
    }
}

/// `CURRENT` names the manifest, the list of the database's tables.
fn manifest(current: &Path) -> Finding {
    let to_do = "take a copy of the directory, or let the node copy its data from the others";
    let name = match fs::read_to_string(current) {
        Ok(name) => name,
        Err(problem) => {
            return Finding::bad(format!("{} cannot be read: {problem}", current.display()), to_do);
        }
    };
    let manifest = current.with_file_name(name.trim());
    match fs::metadata(&manifest) {
        Ok(metadata) if metadata.len() > 0 && name.starts_with("MANIFEST-") => {
            Finding::good("the database has its list of tables")
        }
        _ => Finding::bad(
            format!("the database's list of tables, {}, is missing or empty", manifest.display()),
            to_do,
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Verdict, show};
    use super::examine;

    fn bad(directory: &std::path::Path) -> Vec<String> {
        let findings = examine(directory).expect("the directory is there");
        let bad = findings.into_iter().filter(|finding| finding.verdict == Verdict::Bad);
        bad.map(|finding| finding.what).collect()
    }

    #[test]
    fn a_directory_is_examined() {
        let home = tempfile::tempdir().expect("a directory for the test");
        let shown = show(&examine(home.path()).expect("it is there"));
        assert!(shown.contains("holds no database"), "{shown}");
        let inside = home.path().join("db");
        fs::create_dir(&inside).expect("it is made");
        for (file, text) in
            [("CURRENT", "MANIFEST-000005\n"), ("MANIFEST-000005", "x"), ("LOCK", ""), ("7.sst", "x")]
        {
            fs::write(inside.join(file), text).expect("it is written");
        }
        assert_eq!(bad(home.path()), Vec::<String>::new());
        fs::write(inside.join("7.sst"), "").expect("it is written");
        fs::remove_file(inside.join("MANIFEST-000005")).expect("it is removed");
        let bad = bad(home.path());
        assert!(bad.iter().any(|what| what.contains("list of tables")), "{bad:?}");
        assert!(bad.iter().any(|what| what.contains("is empty")), "{bad:?}");
        assert!(examine(&home.path().join("absent")).is_err());
    }
}
