//! The secret that the nodes of a cluster share: who has it may be one of them.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rand::RngExt;

use crate::network::tcp::handshake::hex;

/// The file in the data directory that keeps a secret made there.
pub const FILE: &str = "join-secret";
/// Shortest secret, in characters: what is shorter can be guessed.
pub const SECRET_MIN_CHARS: usize = 16;
/// Random bytes of a secret that is made; twice as many hexadecimal digits.
const MADE_BYTES: usize = 32;

/// The join secret. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinSecret(String);

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is too short.
    #[error("the join secret has fewer than {SECRET_MIN_CHARS} characters; make it longer")]
    TooShort,
    /// The file can not be read or made.
    #[error("the join secret's file {0} can not be used: {1}")]
    File(String, io::Error),
}

impl JoinSecret {
    /// A secret as somebody has it: white space at its ends is not part of it.
    ///
    /// # Errors
    ///
    /// When it is too short.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        if text.chars().count() < SECRET_MIN_CHARS {
            Err(SecretError::TooShort)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The secret in a file.
    ///
    /// # Errors
    ///
    /// When the file can not be read, or the secret is too short.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let text = std::fs::read_to_string(path).map_err(|error| file(path, error))?;
        Self::new(&text)
    }

    /// The secret of a data directory, made at random the first time and flushed; only its owner may read it.
    ///
    /// # Errors
    ///
    /// When it can not be read or written.
    pub fn of_directory(directory: &Path) -> Result<Self, SecretError> {
        let path = directory.join(FILE);
        if path.try_exists().map_err(|error| file(&path, error))? {
            return Self::read(&path);
        }
        let mut bytes = [0_u8; MADE_BYTES];
        rand::rng().fill(&mut bytes);
        let text = hex(&bytes);
        write(directory, &path, &text).map_err(|error| file(&path, error))?;
        Self::new(&text)
    }

    /// Its text, to be shown to an operator who asks for it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn file(path: &Path, error: io::Error) -> SecretError {
    SecretError::File(path.display().to_string(), error)
}

/// Beside its place first, then moved there: there is never half a secret.
fn write(directory: &Path, path: &Path, text: &str) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let beside = path.with_extension("new");
    let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    writeln!(new, "{text}")?;
    new.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{FILE, JoinSecret};

    #[test]
    fn a_secret_is_made_once_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let made = JoinSecret::of_directory(&data).expect("it is made");
        assert_eq!(JoinSecret::of_directory(&data).expect("it is there"), made);
        assert_eq!(made.reveal().len(), 64);
        let mode = std::fs::metadata(data.join(FILE)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(format!("{made:?}"), "JoinSecret(…)");
    }

    #[test]
    fn a_short_secret_is_refused_and_white_space_does_not_count() {
        assert!(JoinSecret::new("fifteen chars..").is_err());
        let secret = JoinSecret::new("  sixteen chars...\n").expect("long enough");
        assert_eq!(secret.reveal(), "sixteen chars...");
    }
}
