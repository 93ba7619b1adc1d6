//! Times as people write them in a policy, and the time zone in which they mean them.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use serde::{Deserialize, Serialize};

use crate::object::Timestamp;

/// A stretch of time; its end does not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// When it begins.
    pub start: Timestamp,
    /// When it is over.
    pub end: Timestamp,
}

impl Span {
    /// Whether the two have a moment in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether all of the other lies in this one.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// How long it is, in milliseconds.
    #[must_use]
    pub fn length_ms(self) -> u64 {
        self.end.since_ms(self.start)
    }
}

/// A time of day to the minute, from `00:00` to `24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    minutes: u16,
}

/// A text that is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// No time of day.
    #[error("a time of day is written like 02:00, from 00:00 to 24:00")]
    TimeOfDay,
    /// No day of the year.
    #[error("a day of the year is written like 11-25: month, day")]
    MonthDay,
}

impl TimeOfDay {
    /// So many hours after midnight; at most 24.
    #[must_use]
    pub(super) fn hours(hours: u16) -> Self {
        Self { minutes: hours.min(24) * 60 }
    }

    /// That time on a day. Where clocks are put forward over it, the moment after; where they are put back over it, the
    /// first time that clocks show it.
    #[must_use]
    pub fn on(self, date: Date, zone: &TimeZone) -> Timestamp {
        let midnight = DateTime::from(date);
        let time = midnight.saturating_add(i64::from(self.minutes).minutes());
        zone.to_zoned(time).map_or(Timestamp(u64::MAX), |zoned| timestamp(&zoned))
    }
}

impl FromStr for TimeOfDay {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let (hours, minutes) = two_numbers(text, ':').ok_or(TextError::TimeOfDay)?;
        let minutes_all = u16::from(hours) * 60 + u16::from(minutes);
        if minutes > 59 || minutes_all > 24 * 60 {
            return Err(TextError::TimeOfDay);
        }
        Ok(Self { minutes: minutes_all })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

/// A day of every year; 29 February is one, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MonthDay {
    /// From 1 to 12.
    pub month: i8,
    /// From 1 to 31.
    pub day: i8,
}

impl MonthDay {
    /// The day of the year that a date is.
    #[must_use]
    pub fn of(date: Date) -> Self {
        Self { month: date.month(), day: date.day() }
    }
}

impl FromStr for MonthDay {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        const LEAP_YEAR: i16 = 2_024;
        let (month, day) = two_numbers(text, '-').ok_or(TextError::MonthDay)?;
        let (month, day) = (month.cast_signed(), day.cast_signed());
        Date::new(LEAP_YEAR, month, day).map(Self::of).map_err(|_| TextError::MonthDay)
    }
}

impl fmt::Display for MonthDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}-{:02}", self.month, self.day)
    }
}

impl TryFrom<String> for MonthDay {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl From<MonthDay> for String {
    fn from(day: MonthDay) -> Self {
        day.to_string()
    }
}

/// A moment as clocks in a time zone show it; the last that can be shown for one beyond.
pub(super) fn local(at: Timestamp, zone: &TimeZone) -> Zoned {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_zoned(zone.clone())
}

fn timestamp(zoned: &Zoned) -> Timestamp {
    Timestamp(u64::try_from(zoned.timestamp().as_millisecond()).unwrap_or(0))
}

/// Two numbers of two digits each.
fn two_numbers(text: &str, between: char) -> Option<(u8, u8)> {
    let (first, second) = text.split_once(between)?;
    let number = |text: &str| {
        let is_one = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_one { text.parse::<u8>().ok() } else { None }
    };
    Some((number(first)?, number(second)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn times_and_days_are_read_strictly() {
        for text in ["00:00", "02:05", "23:59", "24:00"] {
            assert_eq!(text.parse::<TimeOfDay>().unwrap().to_string(), text);
        }
        for text in ["", "2:00", "02:60", "24:01", "25:00", "0200", "02:00:00", "+2:00", "-1:00", "02:0x"] {
            assert_eq!(text.parse::<TimeOfDay>(), Err(TextError::TimeOfDay), "{text}");
        }
        for text in ["01-01", "02-29", "11-25", "12-31"] {
            assert_eq!(text.parse::<MonthDay>().unwrap().to_string(), text);
        }
        for text in ["", "2-29", "02-30", "11-31", "13-01", "00-10", "10-00", "11/25", "2026-11-25", "99-99"]
        {
            assert_eq!(text.parse::<MonthDay>(), Err(TextError::MonthDay), "{text}");
        }
    }

    #[test]
    fn a_time_on_a_day_is_a_moment_in_its_zone() {
        let check = |zone: &str, date: &str, time: &str, expected: &str| {
            let zone = TimeZone::get(zone).unwrap();
            let found = time.parse::<TimeOfDay>().unwrap().on(date.parse().unwrap(), &zone);
            assert_eq!(found.to_string(), expected, "{date} {time}");
        };
        check("UTC", "2026-11-24", "02:00", "2026-11-24T02:00:00.000Z");
        check("UTC", "2026-12-31", "24:00", "2027-01-01T00:00:00.000Z");
        check("Europe/Zurich", "2026-01-06", "02:00", "2026-01-06T01:00:00.000Z");
        check("Europe/Zurich", "2026-07-07", "02:00", "2026-07-07T00:00:00.000Z");
        // Clocks go from 02:00 to 03:00, and from 03:00 back to 02:00.
        check("Europe/Zurich", "2026-03-29", "02:30", "2026-03-29T01:30:00.000Z");
        check("Europe/Zurich", "2026-03-29", "04:00", "2026-03-29T02:00:00.000Z");
        check("Europe/Zurich", "2026-10-25", "02:30", "2026-10-25T00:30:00.000Z");
        check("Europe/Zurich", "2026-10-25", "04:00", "2026-10-25T03:00:00.000Z");
    }

    #[test]
    fn spans_that_touch_do_not_overlap() {
        let span = |start, end| Span { start: Timestamp(start), end: Timestamp(end) };
        assert!(!span(0, 5).overlaps(span(5, 9)) && !span(5, 9).overlaps(span(0, 5)));
        assert!(span(0, 6).overlaps(span(5, 9)) && span(5, 9).overlaps(span(0, 6)));
        assert!(span(0, 9).overlaps(span(3, 4)) && span(0, 9).contains(span(0, 9)));
        assert!(!span(1, 9).contains(span(0, 9)) && !span(0, 8).contains(span(0, 9)));
    }

    proptest! {
        #[test]
        fn texts_that_are_read_are_written_the_same(text in "[0-9]{2}[:-][0-9]{2}") {
            if let Ok(time) = text.parse::<TimeOfDay>() {
                prop_assert_eq!(time.to_string(), text.clone());
            }
            if let Ok(day) = text.parse::<MonthDay>() {
                prop_assert_eq!(day.to_string(), text);
            }
        }
    }
}
