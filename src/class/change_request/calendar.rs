//! When changes are made: freezes, windows, what fits into one, and the next one into which something fits.
//!
//! Everything is decided in the policy's time zone. A schedule lies whole in one window, a window lies within one
//! day, and so a schedule belongs to one day, whose object (class `change-calendar`) counts what overlaps.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use crate::limits::WINDOW_SEARCH_MAX_DAYS;
use crate::object::Timestamp;

use super::moment::{MonthDay, Span, local};
use super::policy::{Freeze, Window};
use super::{Day, Policy};

/// Why a schedule is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Its day is in a freeze.
    #[error("it is in a freeze ({0})")]
    Frozen(Frost),
    /// It lies whole in no window.
    #[error("it does not lie whole in one window")]
    NoWindow,
    /// It lies in a window for changes with more approvals.
    #[error("its window is for changes that received {needed} approvals or more; this one has {received}")]
    TooFewApprovals {
        /// Approvals that the window asks for.
        needed: u32,
        /// Approvals that the change has.
        received: u32,
    },
}

/// The freeze that a day is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frost {
    /// One with its first and its last day.
    Season {
        /// The first day.
        from: MonthDay,
        /// The last day.
        to: MonthDay,
    },
    /// The end of a quarter.
    QuarterEnd {
        /// How many days it has.
        days: u32,
    },
}

impl std::fmt::Display for Frost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Season { from, to } => write!(f, "{from} to {to}"),
            Self::QuarterEnd { days } => write!(f, "the last {days} days of the quarter"),
        }
    }
}

/// What a window is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Not before.
    pub after: Timestamp,
    /// How long the change takes.
    pub length_ms: u64,
    /// Approvals that it has.
    pub approvals: u32,
}

/// What the search for a window has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This: a window, or as much of it as is left and not taken by others. Whatever lies in it, fits.
    Window(Span),
    /// It has to be known first what is booked on this day.
    Unknown {
        /// The day, as the calendar's objects are named.
        day: String,
    },
    /// No window within [`WINDOW_SEARCH_MAX_DAYS`] is so long.
    Nothing,
}

/// The freeze that a moment is in.
#[must_use]
pub fn freeze_at(policy: &Policy, at: Timestamp) -> Option<Frost> {
    freeze_on(policy, local(at, &policy.zone()).date())
}

/// The day that a moment belongs to, as the calendar's objects are named: `YYYY-MM-DD`.
#[must_use]
pub fn day(policy: &Policy, at: Timestamp) -> String {
    local(at, &policy.zone()).date().to_string()
}

/// The window that a schedule lies in.
///
/// # Errors
/// [`Misfit`] if it lies in none that is open to the change.
pub fn fits(policy: &Policy, schedule: Span, approvals: u32) -> Result<Span, Misfit> {
    let zone = policy.zone();
    let date = local(schedule.start, &zone).date();
    if let Some(frost) = freeze_on(policy, date) {
        return Err(Misfit::Frozen(frost));
    }
    let mut misfit = Misfit::NoWindow;
    for (window, span) in windows_on(policy, date, &zone) {
        if span.contains(schedule) && schedule.start < schedule.end {
            if approvals >= window.min_approvals {
                return Ok(span);
            }
            misfit = Misfit::TooFewApprovals { needed: window.min_approvals, received: approvals };
        }
    }
    Err(misfit)
}

/// The next window that fits. `booked` has what is known of days: the schedules on them. Whoever asks reads the day that
/// is unknown and asks again.
#[must_use]
pub fn next_window(policy: &Policy, wanted: Wanted, booked: &BTreeMap<String, Vec<Span>>) -> Next {
    let zone = policy.zone();
    let mut date = local(wanted.after, &zone).date();
    for _ in 0..WINDOW_SEARCH_MAX_DAYS {
        if freeze_on(policy, date).is_none() {
            for (window, span) in windows_on(policy, date, &zone) {
                let left = Span { start: span.start.max(wanted.after), end: span.end };
                if wanted.approvals < window.min_approvals || !is_long_enough(left, wanted.length_ms) {
                    continue;
                }
                let Some(others) = booked.get(&date.to_string()) else {
                    return Next::Unknown { day: date.to_string() };
                };
                if let Some(free) = first_free(left, wanted.length_ms, others, policy.max_overlapping) {
                    return Next::Window(free);
                }
            }
        }
        let Ok(tomorrow) = date.tomorrow() else { break };
        date = tomorrow;
    }
    Next::Nothing
}

/// The most of these that overlap at any moment of the span.
#[must_use]
pub fn overlapping(span: Span, others: &[Span]) -> usize {
    let starts = others.iter().filter(|other| other.overlaps(span)).map(|other| other.start.max(span.start));
    starts.map(|moment| standing(moment, others)).max().unwrap_or(0)
}

/// How many of these stand at a moment.
fn standing(moment: Timestamp, others: &[Span]) -> usize {
    others.iter().filter(|other| other.start <= moment && moment < other.end).count()
}

fn is_long_enough(span: Span, length_ms: u64) -> bool {
    span.start < span.end && span.length_ms() >= length_ms
}

/// The first stretch that is long enough and in which one more may stand.
fn first_free(within: Span, length_ms: u64, others: &[Span], most: u32) -> Option<Span> {
    let inside = |moment: &Timestamp| within.start < *moment && *moment < within.end;
    let mut edges: Vec<Timestamp> =
        others.iter().flat_map(|other| [other.start, other.end]).filter(inside).collect();
    edges.extend([within.start, within.end]);
    edges.sort_unstable();
    edges.dedup();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut free: Option<Span> = None;
    for (start, end) in edges.iter().zip(edges.iter().skip(1)) {
        if standing(*start, others) < most {
            free = Some(Span { start: free.map_or(*start, |free| free.start), end: *end });
        } else if free.is_some_and(|free| is_long_enough(free, length_ms)) {
            return free;
        } else {
            free = None;
        }
    }
    free.filter(|free| is_long_enough(*free, length_ms))
}

fn freeze_on(policy: &Policy, date: Date) -> Option<Frost> {
    let today = MonthDay::of(date);
    let season = policy.freezes.iter().find(|freeze| covers(freeze, today));
    if let Some(Freeze { from, to }) = season {
        return Some(Frost::Season { from: *from, to: *to });
    }
    let days = policy.quarter_end_days;
    (days_left_in_quarter(date) < days).then_some(Frost::QuarterEnd { days })
}

fn covers(freeze: &Freeze, today: MonthDay) -> bool {
    if freeze.from <= freeze.to {
        freeze.from <= today && today <= freeze.to
    } else {
        freeze.from <= today || today <= freeze.to
    }
}

/// Days of the quarter that come after this one.
fn days_left_in_quarter(date: Date) -> u32 {
    let last_month = (date.month() - 1) / 3 * 3 + 3;
    let months_left = last_month - date.month();
    let last = date.first_of_month().saturating_add(i64::from(months_left).months()).last_of_month();
    let days = last.since(date).map_or(0, |span| span.get_days());
    u32::try_from(days).unwrap_or(0)
}

/// The windows that open on a day, the first to open first.
fn windows_on<'a>(policy: &'a Policy, date: Date, zone: &TimeZone) -> Vec<(&'a Window, Span)> {
    let weekday = weekday(date);
    let mut windows: Vec<(&Window, Span)> = policy
        .windows
        .iter()
        .filter(|window| window.days.contains(&weekday))
        .map(|window| (window, Span { start: window.from.on(date, zone), end: window.to.on(date, zone) }))
        .collect();
    windows.sort_by_key(|(_, span)| *span);
    windows
}

fn weekday(date: Date) -> Day {
    match date.weekday() {
        Weekday::Monday => Day::Mon,
        Weekday::Tuesday => Day::Tue,
        Weekday::Wednesday => Day::Wed,
        Weekday::Thursday => Day::Thu,
        Weekday::Friday => Day::Fri,
        Weekday::Saturday => Day::Sat,
        Weekday::Sunday => Day::Sun,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn span(text: &str) -> Span {
        let (start, end) = text.split_once(' ').unwrap();
        Span { start: at(start), end: at(end) }
    }

    fn show(span: Span) -> String {
        format!("{} {}", span.start, span.end).replace(":00.000Z", "Z")
    }

    fn zurich() -> Policy {
        Policy { time_zone: "Europe/Zurich".to_owned(), ..Policy::default() }
    }

    /// Whether a moment is in a freeze of the shipped policy.
    fn check_freeze(text: &str, expected: Option<&str>) {
        let found = freeze_at(&Policy::default(), at(text)).map(|frost| frost.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn freezes_have_both_their_ends() {
        let autumn = Some("11-25 to 12-02");
        check_freeze("2026-11-24T23:59:59.999Z", None);
        check_freeze("2026-11-25T00:00:00Z", autumn);
        check_freeze("2026-12-02T23:59:59.999Z", autumn);
        check_freeze("2026-12-03T00:00:00Z", None);
    }

    #[test]
    fn a_freeze_spans_the_turn_of_the_year() {
        let winter = Some("12-20 to 01-05");
        check_freeze("2026-12-19T23:59:59Z", None);
        check_freeze("2026-12-20T00:00:00Z", winter);
        check_freeze("2026-12-31T23:59:59Z", winter);
        check_freeze("2027-01-01T00:00:00Z", winter);
        check_freeze("2027-01-05T23:59:59Z", winter);
        check_freeze("2027-01-06T00:00:00Z", None);
    }

    #[test]
    fn the_last_seven_days_of_each_quarter_are_a_freeze() {
        let quarter = Some("the last 7 days of the quarter");
        for (last_open, first_frozen, last_frozen, next) in [
            ("2026-03-24", "2026-03-25", "2026-03-31", "2026-04-01"),
            ("2026-06-23", "2026-06-24", "2026-06-30", "2026-07-01"),
            ("2026-09-23", "2026-09-24", "2026-09-30", "2026-10-01"),
        ] {
            check_freeze(&format!("{last_open}T23:59:59Z"), None);
            check_freeze(&format!("{first_frozen}T00:00:00Z"), quarter);
            check_freeze(&format!("{last_frozen}T23:59:59Z"), quarter);
            check_freeze(&format!("{next}T00:00:00Z"), None);
        }
        let bare = Policy { freezes: Vec::new(), ..Policy::default() };
        assert_eq!(freeze_at(&bare, at("2026-12-24T23:59:59Z")), None);
        assert_eq!(freeze_at(&bare, at("2026-12-25T00:00:00Z")), Some(Frost::QuarterEnd { days: 7 }));
        assert_eq!(freeze_at(&bare, at("2027-01-01T00:00:00Z")), None);
        let none = Policy { quarter_end_days: 0, ..bare };
        assert_eq!(freeze_at(&none, at("2026-12-31T23:59:59Z")), None);
        assert_eq!(freeze_at(&none, at("2026-06-30T12:00:00Z")), None);
    }

    #[test]
    fn a_freeze_is_days_of_the_time_zone() {
        assert_eq!(freeze_at(&zurich(), at("2026-11-24T22:59:59Z")), None);
        assert!(freeze_at(&zurich(), at("2026-11-24T23:00:00Z")).is_some());
        assert!(freeze_at(&zurich(), at("2026-12-02T22:59:59Z")).is_some());
        assert_eq!(freeze_at(&zurich(), at("2026-12-02T23:00:00Z")), None);
        assert_eq!(day(&zurich(), at("2026-12-02T23:00:00Z")), "2026-12-03");
        assert_eq!(day(&Policy::default(), at("2026-12-02T23:00:00Z")), "2026-12-02");
    }

    /// What is said of a schedule under a policy.
    fn check_fits(policy: &Policy, schedule: &str, approvals: u32, expected: Result<&str, &str>) {
        let found = fits(policy, span(schedule), approvals).map(show).map_err(|misfit| misfit.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{schedule} with {approvals}");
    }

    #[test]
    fn a_schedule_lies_whole_in_one_window() {
        let policy = Policy::default();
        // 17 November 2026 is a Tuesday.
        let tuesday = Ok("2026-11-17T02:00Z 2026-11-17T06:00Z");
        check_fits(&policy, "2026-11-17T02:00:00Z 2026-11-17T06:00:00Z", 0, tuesday);
        check_fits(&policy, "2026-11-17T03:10:00Z 2026-11-17T03:20:00Z", 0, tuesday);
        let outside = Err("it does not lie whole in one window");
        check_fits(&policy, "2026-11-17T01:59:59.999Z 2026-11-17T03:00:00Z", 9, outside);
        check_fits(&policy, "2026-11-17T03:00:00Z 2026-11-17T06:00:00.001Z", 9, outside);
        check_fits(&policy, "2026-11-17T03:00:00Z 2026-11-19T04:00:00Z", 9, outside);
        check_fits(&policy, "2026-11-18T03:00:00Z 2026-11-18T04:00:00Z", 9, outside);
        check_fits(&policy, "2026-11-17T03:00:00Z 2026-11-17T03:00:00Z", 9, outside);
        check_fits(&policy, "2026-11-17T04:00:00Z 2026-11-17T03:00:00Z", 9, outside);
        check_fits(
            &policy,
            "2026-12-01T03:00:00Z 2026-12-01T04:00:00Z",
            9,
            Err("it is in a freeze (11-25 to 12-02)"),
        );
        check_fits(
            &policy,
            "2026-09-24T03:00:00Z 2026-09-24T04:00:00Z",
            9,
            Err("it is in a freeze (the last 7 days of the quarter)"),
        );
    }

    #[test]
    fn sunday_is_for_two_approvals_or_more() {
        let policy = Policy::default();
        let sunday = "2026-11-15T00:00:00Z 2026-11-15T04:00:00Z";
        let few = "its window is for changes that received 2 approvals or more; this one has 1";
        check_fits(&policy, sunday, 1, Err(few));
        check_fits(&policy, sunday, 2, Ok("2026-11-15T00:00Z 2026-11-15T04:00Z"));
        check_fits(&policy, sunday, 3, Ok("2026-11-15T00:00Z 2026-11-15T04:00Z"));
        let earlier = "2026-11-14T23:59:00Z 2026-11-15T01:00:00Z";
        check_fits(&policy, earlier, 3, Err("it does not lie whole in one window"));
    }

    #[test]
    fn windows_follow_the_clocks_of_their_time_zone() {
        check_fits(
            &zurich(),
            "2026-07-07T00:00:00Z 2026-07-07T04:00:00Z",
            0,
            Ok("2026-07-07T00:00Z 2026-07-07T04:00Z"),
        );
        check_fits(
            &zurich(),
            "2026-01-06T01:00:00Z 2026-01-06T05:00:00Z",
            0,
            Ok("2026-01-06T01:00Z 2026-01-06T05:00Z"),
        );
        check_fits(
            &zurich(),
            "2026-01-06T05:00:00Z 2026-01-06T06:00:00Z",
            0,
            Err("it does not lie whole in one window"),
        );
        // The night in which clocks go forward is three hours long, the one in which they go back five.
        let open = Policy { quarter_end_days: 0, ..zurich() };
        check_fits(
            &open,
            "2026-03-28T23:00:00Z 2026-03-29T02:00:00Z",
            2,
            Ok("2026-03-28T23:00Z 2026-03-29T02:00Z"),
        );
        check_fits(
            &open,
            "2026-10-24T22:00:00Z 2026-10-25T03:00:00Z",
            2,
            Ok("2026-10-24T22:00Z 2026-10-25T03:00Z"),
        );
    }

    /// What the search finds when these schedules are booked; every other day is empty.
    fn check_next(after: &str, hours: u64, approvals: u32, booked: &[&str], expected: Option<&str>) {
        let policy = Policy::default();
        let mut days: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        for text in booked {
            days.entry(day(&policy, span(text).start)).or_default().push(span(text));
        }
        let wanted = Wanted { after: at(after), length_ms: hours * 3_600_000, approvals };
        let found = search(&policy, wanted, days);
        assert_eq!(found.map(show).as_deref(), expected, "{hours} h after {after}");
    }

    fn search(policy: &Policy, wanted: Wanted, mut days: BTreeMap<String, Vec<Span>>) -> Option<Span> {
        loop {
            match next_window(policy, wanted, &days) {
                Next::Window(span) => return Some(span),
                Next::Nothing => return None,
                Next::Unknown { day } => assert!(days.insert(day, Vec::new()).is_none(), "it was unknown"),
            }
        }
    }

    #[test]
    fn the_next_window_is_the_first_that_fits() {
        let tuesday = Some("2026-11-17T02:00Z 2026-11-17T06:00Z");
        let thursday = Some("2026-11-19T02:00Z 2026-11-19T06:00Z");
        check_next("2026-11-15T12:00:00Z", 1, 9, &[], tuesday);
        check_next("2026-11-17T02:00:00Z", 4, 0, &[], tuesday);
        check_next("2026-11-17T03:30:00Z", 2, 0, &[], Some("2026-11-17T03:30Z 2026-11-17T06:00Z"));
        check_next("2026-11-17T03:30:00Z", 4, 0, &[], thursday);
        check_next("2026-11-17T06:00:00Z", 0, 0, &[], thursday);
        check_next("2026-11-14T12:00:00Z", 1, 1, &[], tuesday);
        check_next("2026-11-14T12:00:00Z", 1, 2, &[], Some("2026-11-15T00:00Z 2026-11-15T04:00Z"));
        check_next("2026-11-20T12:00:00Z", 4, 1, &[], Some("2026-11-24T02:00Z 2026-11-24T06:00Z"));
        check_next("2026-11-24T12:00:00Z", 4, 2, &[], Some("2026-12-03T02:00Z 2026-12-03T06:00Z"));
        check_next("2026-12-18T12:00:00Z", 4, 2, &[], Some("2027-01-07T02:00Z 2027-01-07T06:00Z"));
        check_next("2026-12-18T12:00:00Z", 5, 2, &[], None);
    }

    #[test]
    fn a_full_window_is_passed_over() {
        let first = "2026-11-17T02:00:00Z 2026-11-17T03:00:00Z";
        let middle = "2026-11-17T04:00:00Z 2026-11-17T05:00:00Z";
        let all = "2026-11-17T02:00:00Z 2026-11-17T06:00:00Z";
        let after = "2026-11-16T00:00:00Z";
        check_next(after, 4, 0, &[first, first], Some("2026-11-17T02:00Z 2026-11-17T06:00Z"));
        check_next(after, 3, 0, &[first, first, first], Some("2026-11-17T03:00Z 2026-11-17T06:00Z"));
        check_next(after, 4, 0, &[first, first, first], Some("2026-11-19T02:00Z 2026-11-19T06:00Z"));
        check_next(after, 1, 0, &[middle, all, all], Some("2026-11-17T02:00Z 2026-11-17T04:00Z"));
        check_next(
            after,
            1,
            0,
            &[first, first, middle, middle, all],
            Some("2026-11-17T03:00Z 2026-11-17T04:00Z"),
        );
        check_next(after, 1, 0, &[all, all, all], Some("2026-11-19T02:00Z 2026-11-19T06:00Z"));
    }

    #[test]
    fn what_overlaps_is_counted_at_its_most() {
        let span = |start, end| Span { start: Timestamp(start), end: Timestamp(end) };
        let check = |others: &[Span], expected: usize| {
            assert_eq!(overlapping(span(10, 20), others), expected, "{others:?}");
        };
        check(&[], 0);
        check(&[span(0, 10), span(20, 30)], 0);
        check(&[span(0, 11), span(19, 30)], 1);
        check(&[span(10, 13), span(13, 16), span(16, 20)], 1);
        check(&[span(10, 13), span(12, 16), span(15, 20)], 2);
        check(&[span(0, 30), span(0, 30), span(15, 16)], 3);
    }

    fn moment() -> impl Strategy<Value = Timestamp> {
        // 2026 to 2031.
        (1_767_225_600_000_u64..1_924_992_000_000).prop_map(Timestamp)
    }

    proptest! {
        /// Whatever lies in a window that is found, fits it, and one more may stand there.
        #[test]
        fn what_is_found_fits(
            after in moment(),
            minutes in 0_u64..=240,
            approvals in 0_u32..4,
            booked in proptest::collection::vec((0_u64..240, 1_u64..240), 0..12),
            zone in proptest::sample::select(vec!["UTC", "Europe/Zurich", "America/New_York", "Pacific/Auckland"]),
        ) {
            let policy = Policy { time_zone: zone.to_owned(), ..Policy::default() };
            let wanted = Wanted { after, length_ms: minutes * 60_000, approvals };
            let mut days = BTreeMap::new();
            let found = loop {
                match next_window(&policy, wanted, &days) {
                    Next::Window(span) => break span,
                    Next::Nothing => panic!("a window of four hours comes every week"),
                    Next::Unknown { day } => {
                        let date: Date = day.parse().unwrap();
                        let open = windows_on(&policy, date, &policy.zone())[0].1.start;
                        let others = booked.iter().map(|(start, length)| Span {
                            start: open.plus_ms(start * 60_000),
                            end: open.plus_ms((start + length) * 60_000),
                        });
                        // Only the first two days asked for are busy, or there might be no end.
                        let others = if days.len() < 2 { others.collect() } else { Vec::new() };
                        days.insert(day, others);
                    }
                }
            };
            prop_assert!(found.start >= after && found.length_ms() >= wanted.length_ms);
            prop_assert!(fits(&policy, found, approvals).is_ok());
            prop_assert_eq!(freeze_at(&policy, found.start), None);
            let others = &days[&day(&policy, found.start)];
            prop_assert!(overlapping(found, others) < 3);
        }

        /// A window is never open in a freeze, and what fits lies in the window that is named.
        #[test]
        fn what_fits_is_not_in_a_freeze(start in moment(), minutes in 1_u64..300) {
            let schedule = Span { start, end: start.plus_ms(minutes * 60_000) };
            if let Ok(window) = fits(&zurich(), schedule, 2) {
                prop_assert!(window.contains(schedule));
                prop_assert_eq!(freeze_at(&zurich(), schedule.start), None);
                prop_assert_eq!(day(&zurich(), window.start), day(&zurich(), Timestamp(window.end.0 - 1)));
            }
        }
    }
}
