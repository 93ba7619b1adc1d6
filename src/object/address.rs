//! The address of an object: tenant, class and name, each a type that is valid once parsed.
//!
//! The hash of an address decides its slot and is its opaque id; it is computed once, when the address
//! is made, because every request needs it and every map of objects hashes by it.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::limits::{CLASS_MAX_BYTES, KEY_MAX_BYTES, NAME_MAX_BYTES, TENANT_MAX_BYTES};

/// Slots that addresses hash to: the top 14 bits.
pub const SLOTS: u16 = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 14;

/// The address of an object. Cheap to clone; ordered by tenant, class and name in byte order.
#[derive(Clone)]
pub struct ObjectAddress(Arc<Parts>);

struct Parts {
    tenant: Tenant,
    class: ClassName,
    name: ObjectName,
    hash: AddressHash,
}

impl ObjectAddress {
    /// The address made of three valid parts.
    #[must_use]
    pub fn new(tenant: Tenant, class: ClassName, name: ObjectName) -> Self {
        let hash = AddressHash::of(&tenant, &class, &name);
        Self(Arc::new(Parts { tenant, class, name, hash }))
    }

    /// The address made of three texts.
    ///
    /// # Errors
    /// The first part that breaks the rules of an address.
    pub fn parse(tenant: &str, class: &str, name: &str) -> Result<Self, AddressError> {
        Ok(Self::new(Tenant::parse(tenant)?, ClassName::parse(class)?, ObjectName::parse(name)?))
    }

    /// Whose object it is.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.0.tenant
    }

    /// What kind of object it is.
    #[must_use]
    pub fn class(&self) -> &ClassName {
        &self.0.class
    }

    /// Its name within the class.
    #[must_use]
    pub fn name(&self) -> &ObjectName {
        &self.0.name
    }

    /// The hash that decides the slot and is the opaque id.
    #[must_use]
    pub fn hash(&self) -> AddressHash {
        self.0.hash
    }
}

impl PartialEq for ObjectAddress {
    fn eq(&self, other: &Self) -> bool {
        // Two addresses of one hash would be a collision of SHA-256.
        self.0.hash == other.0.hash
    }
}

impl Eq for ObjectAddress {}

impl Hash for ObjectAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash.hash(state);
    }
}

impl PartialOrd for ObjectAddress {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ObjectAddress {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.0.tenant, &self.0.class, &self.0.name).cmp(&(&other.0.tenant, &other.0.class, &other.0.name))
    }
}

impl fmt::Display for ObjectAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.0.tenant, self.0.class, self.0.name)
    }
}

impl fmt::Debug for ObjectAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// SHA-256 over the length-prefixed parts of an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressHash([u8; 32]);

impl AddressHash {
    fn of(tenant: &Tenant, class: &ClassName, name: &ObjectName) -> Self {
        let mut digest = Sha256::new();
        for part in [tenant.as_str(), class.as_str(), name.as_str()] {
            let len = u32::try_from(part.len()).expect("a part of an address is at most 512 bytes");
            digest.update(len.to_be_bytes());
            digest.update(part.as_bytes());
        }
        Self(digest.finalize().into())
    }

    /// The slot: the top 14 bits, so below [`SLOTS`].
    #[must_use]
    pub fn slot(&self) -> u16 {
        let [high, low, ..] = self.0;
        u16::from_be_bytes([high, low]) >> (u16::BITS - SLOT_BITS)
    }

    /// The opaque id: all 64 hex digits.
    #[must_use]
    pub fn id(&self) -> String {
        const DIGITS: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let nibbles = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        nibbles.filter_map(|nibble| DIGITS.get(usize::from(nibble))).collect()
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}

/// Why a text is not a part of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `[a-z0-9][a-z0-9-]{0,62}`.
    #[error("a tenant is 1 to {TENANT_MAX_BYTES} of a-z, 0-9 and '-', and begins with a letter or digit")]
    Tenant,
    /// Not `[a-z][a-z0-9-]{0,63}`.
    #[error("a class is 1 to {CLASS_MAX_BYTES} of a-z, 0-9 and '-', and begins with a letter")]
    Class,
    /// Empty or too long.
    #[error("a name is 1 to {NAME_MAX_BYTES} bytes long")]
    NameLength,
    /// Has a control character.
    #[error("a name has no control characters")]
    NameControl,
    /// `.` or `..`.
    #[error("a name is not '.' or '..'")]
    NameDots,
    /// Empty or too long.
    #[error("a key is 1 to {KEY_MAX_BYTES} bytes long")]
    Key,
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses it; see the type for the rules.
            ///
            /// # Errors
            /// The rule that the text breaks.
            pub fn parse(text: &str) -> Result<Self, AddressError> {
                Self::check(text)?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<Arc<str>> for $name {
            type Error = AddressError;

            fn try_from(text: Arc<str>) -> Result<Self, AddressError> {
                Self::check(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for Arc<str> {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

text! {
    /// Whose objects they are: `[a-z0-9][a-z0-9-]{0,62}`. The server's own begin with `_` and cannot be
    /// parsed, so that no request reaches them.
    Tenant
}
text! {
    /// The class of an object: `[a-z][a-z0-9-]{0,63}`.
    ClassName
}
text! {
    /// The name of an object: 1 to 512 bytes of UTF-8 without control characters, not `.` or `..`.
    ObjectName
}
text! {
    /// A key of an object's state: 1 to 2,048 bytes of UTF-8.
    Key
}

impl Tenant {
    /// The tenant of every caller while there is no authentication.
    #[must_use]
    pub fn standard() -> Self {
        Self("default".into())
    }

    /// A tenant of the server's own: `_` and then what a tenant may have. Never from a request.
    ///
    /// # Errors
    /// [`AddressError::Tenant`] if it does not begin with `_` or the rest is no tenant.
    pub fn reserved(text: &str) -> Result<Self, AddressError> {
        let rest = text.strip_prefix('_').ok_or(AddressError::Tenant)?;
        if text.len() > TENANT_MAX_BYTES {
            Err(AddressError::Tenant)
        } else {
            Self::check(rest).map(|()| Self(text.into()))
        }
    }

    fn check(text: &str) -> Result<(), AddressError> {
        if is_slug(text, TENANT_MAX_BYTES) { Ok(()) } else { Err(AddressError::Tenant) }
    }
}

impl ClassName {
    fn check(text: &str) -> Result<(), AddressError> {
        let letter = text.starts_with(|first: char| first.is_ascii_lowercase());
        if letter && is_slug(text, CLASS_MAX_BYTES) { Ok(()) } else { Err(AddressError::Class) }
    }
}

fn is_slug(text: &str, max_bytes: usize) -> bool {
    (1..=max_bytes).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

impl ObjectName {
    fn check(text: &str) -> Result<(), AddressError> {
        if text.is_empty() || text.len() > NAME_MAX_BYTES {
            Err(AddressError::NameLength)
        } else if text.chars().any(char::is_control) {
            Err(AddressError::NameControl)
        } else if text == "." || text == ".." {
            Err(AddressError::NameDots)
        } else {
            Ok(())
        }
    }
}

impl Key {
    fn check(text: &str) -> Result<(), AddressError> {
        if text.is_empty() || text.len() > KEY_MAX_BYTES { Err(AddressError::Key) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tenant: &str, class: &str, name: &str, expected: Result<(), AddressError>) {
        let found = ObjectAddress::parse(tenant, class, name).map(drop);
        assert_eq!(found, expected, "{tenant:?} {class:?} {name:?}");
    }

    #[test]
    fn parts_have_rules() {
        let longest_name = "n".repeat(NAME_MAX_BYTES);
        let longest_class = "c".repeat(CLASS_MAX_BYTES);
        let longest_tenant = "t".repeat(TENANT_MAX_BYTES);
        check("default", "counter", "visits", Ok(()));
        check(&longest_tenant, &longest_class, &longest_name, Ok(()));
        check("0-a", "a-0", "a/b c\u{fffd}…😀", Ok(()));
        for tenant in ["", "-a", "A", "_a", "a_b", "a.b", "ä", &(longest_tenant.clone() + "t")] {
            check(tenant, "counter", "visits", Err(AddressError::Tenant));
        }
        for class in ["", "0", "-a", "A", "a_b", "a/b", "a\0", &(longest_class.clone() + "c")] {
            check("default", class, "visits", Err(AddressError::Class));
        }
        check("default", "counter", "", Err(AddressError::NameLength));
        check("default", "counter", &(longest_name.clone() + "n"), Err(AddressError::NameLength));
        for name in ["a\0b", "\n", "\u{7f}", "\u{85}"] {
            check("default", "counter", name, Err(AddressError::NameControl));
        }
        for name in [".", ".."] {
            check("default", "counter", name, Err(AddressError::NameDots));
        }
        for name in ["...", " ", "_"] {
            check("default", "counter", name, Ok(()));
        }
    }

    #[test]
    fn keys_have_a_length() {
        assert_eq!(Key::parse(""), Err(AddressError::Key));
        assert_eq!(Key::parse(&"k".repeat(KEY_MAX_BYTES + 1)), Err(AddressError::Key));
        assert!(Key::parse(&"k".repeat(KEY_MAX_BYTES)).is_ok());
        assert!(Key::parse("\0").is_ok());
    }

    #[test]
    fn reserved_tenants_cannot_be_parsed() {
        assert_eq!(Tenant::reserved("_stead").unwrap().as_str(), "_stead");
        assert_eq!(Tenant::parse("_stead"), Err(AddressError::Tenant));
        assert_eq!(Tenant::reserved("stead"), Err(AddressError::Tenant));
        assert_eq!(Tenant::reserved("_"), Err(AddressError::Tenant));
        assert_eq!(
            Tenant::reserved(&format!("_{}", "a".repeat(TENANT_MAX_BYTES))),
            Err(AddressError::Tenant)
        );
    }

    #[test]
    fn the_hash_is_frozen() {
        let hash = ObjectAddress::parse("default", "counter", "visits").unwrap().hash();
        // printf '\0\0\0\7default\0\0\0\7counter\0\0\0\6visits' | sha256sum
        assert_eq!(hash.id(), "7e440db344ba5ee6229a46f1c081f98477d7ee6e8dbe0ae590d0863a82807323");
        assert_eq!(hash.slot(), u16::from_str_radix(&hash.id()[..4], 16).unwrap() >> 2);
    }

    #[test]
    fn addresses_spread_over_slots() {
        const SHARDS: usize = 12;
        const OBJECTS: usize = 12_000;
        let mut counts = [0_usize; SHARDS];
        for number in 0..OBJECTS {
            let address = ObjectAddress::parse("default", "counter", &format!("visits-{number}")).unwrap();
            let slot = usize::from(address.hash().slot());
            assert!(slot < usize::from(SLOTS));
            counts[slot * SHARDS / usize::from(SLOTS)] += 1;
        }
        for count in counts {
            assert!((850..1_150).contains(&count), "{counts:?}");
        }
    }
}
