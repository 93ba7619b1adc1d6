//! What an object is: its address, its values, a turn on it, the commit that a turn becomes, and what
//! subscribers and later readers see of that commit.
//!
//! Everything here is pure: no clock, no I/O, no randomness but what the edge hands in, no tokio. The
//! runtime carries out what this module decides. What is serialized ([`codec`], [`keys`], the JSON of
//! [`Update`]) is frozen and has golden-byte tests.

pub mod address;
pub mod alarm;
pub mod codec;
pub mod commit;
pub mod effects;
pub mod history;
pub mod idempotency;
pub mod json;
pub mod keys;
pub mod meta;
pub mod refusal;
pub mod storage;
pub(crate) mod text;
pub mod time;
pub mod turn;
pub mod update;
pub mod upkeep;
pub mod value;
pub mod version;

mod buffer;
mod random;
#[cfg(test)]
pub(crate) mod samples;

pub use address::{AddressError, AddressHash, ClassName, Key, ObjectAddress, ObjectName, Tenant};
pub use buffer::WriteBuffer;
pub use commit::{Base, Commit};
pub use effects::Effects;
pub use json::{JsonError, parse_json};
pub use meta::Meta;
pub use refusal::Refusal;
pub use storage::{MemoryStorage, Op, Page, Space, Storage, StorageError, Stored, StoredKey};
pub use time::Timestamp;
pub use turn::Turn;
pub use update::Update;
pub use value::Value;
pub use version::Version;
