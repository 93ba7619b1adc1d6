//! A moment on the wall clock, as commits carry it. The clock itself is elsewhere.

use std::fmt;
use std::time::Duration;

use jiff::fmt::temporal::DateTimePrinter;

/// Milliseconds since the Unix epoch. Shown as RFC 3339 in UTC, with three decimals and `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

/// The text is not a time in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written like 2026-11-21T02:11:36.224Z")]
pub struct TimeError;

impl Timestamp {
    /// The time so much later; stays at the last moment there is.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        self.plus_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// The time so many milliseconds later; stays at the last moment there is.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since an earlier time; 0 if that is later.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Parses RFC 3339, any offset; what is finer than a millisecond is cut off.
    ///
    /// # Errors
    /// [`TimeError`] if it is no such text or before the Unix epoch.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| TimeError)?;
        u64::try_from(moment.as_millisecond()).map(Self).map_err(|_| TimeError)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        let latest = jiff::Timestamp::MAX;
        let moment = i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
            .unwrap_or(latest);
        f.write_str(&PRINTER.timestamp_to_string(&moment))
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    fn check(ms: u64, text: &str) {
        assert_eq!(Timestamp(ms).to_string(), text);
        assert_eq!(Timestamp::parse(text), Ok(Timestamp(ms)));
        assert_eq!(serde_json::to_string(&Timestamp(ms)).unwrap(), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Timestamp>(&format!("\"{text}\"")).unwrap(), Timestamp(ms));
    }

    #[test]
    fn is_written_with_three_decimals() {
        check(0, "1970-01-01T00:00:00.000Z");
        check(1_795_227_096_224, "2026-11-21T02:11:36.224Z");
        check(1_709_164_800_000, "2024-02-29T00:00:00.000Z");
        check(4_102_444_799_999, "2099-12-31T23:59:59.999Z");
    }

    #[test]
    fn reads_other_forms() {
        let time = Timestamp(1_795_227_096_224);
        assert_eq!(Timestamp::parse("2026-11-21T03:11:36.2249+01:00"), Ok(time));
        for text in ["", "2026-11-21", "yesterday", "1969-12-31T23:59:59.999Z", "2026-11-21T02:11:36"] {
            assert_eq!(Timestamp::parse(text), Err(TimeError), "{text}");
        }
    }

    #[test]
    fn stays_at_the_last_moment() {
        assert_eq!(Timestamp(u64::MAX).plus(Duration::MAX), Timestamp(u64::MAX));
        assert!(Timestamp(u64::MAX).to_string().starts_with("9999-12-30T"));
        assert_eq!(Timestamp(5).since_ms(Timestamp(7)), 0);
    }

    proptest! {
        #[test]
        fn comes_back(ms in 0_u64..253_402_207_200_000) {
            prop_assert_eq!(Timestamp::parse(&Timestamp(ms).to_string()), Ok(Timestamp(ms)));
        }
    }
}
