//! The class `change-calendar`: one day of the change calendar, named `YYYY-MM-DD`, with the schedules that lie on it.
//!
//! A schedule is reserved here before its change moves, and released after it moved back; what a crash leaves between
//! is a reservation too many, never one too few. Each reservation lies under its change's id.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::limits::CALENDAR_DAY_MAX;
use crate::object::{Key, Page, Refusal, Timestamp, Turn};

use super::change_request::calendar::overlapping;
use super::change_request::moment::Span;
use super::parameters::{required, text, whole};
use super::{Access, Class, Parameters, parse_key};

/// A day of the calendar. `reserve{changeId,start,end,max}` → `{"conflicts":[{changeId,start,end}]}`, the others that
/// overlap; [`Refusal::Conflict`] where more than `max` would overlap at any moment. An earlier reservation of the same
/// change gives way to the new one. `release{changeId}` → `{"released":true|false}`. The question `reservations` →
/// `{"reservations":[{changeId,start,end}]}`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChangeCalendar;

/// A schedule on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Whose it is.
    pub change_id: String,
    /// When it takes place.
    #[serde(flatten)]
    pub span: Span,
}

impl Class for ChangeCalendar {
    fn access(&self) -> Access {
        Access::Internal
    }

    fn call(&self, turn: &mut Turn<'_>, method: &str, parameters: Parameters) -> Result<Json, Refusal> {
        match method {
            "reserve" => reserve(turn, &parameters),
            "release" => {
                let id = parse_key(text(&parameters, "changeId")?)?;
                Ok(json!({ "released": turn.delete(id.as_str())? }))
            }
            _ => Err(Refusal::MethodNotFound { method: method.to_owned() }),
        }
    }

    fn ask(&self, turn: &mut Turn<'_>, question: &str, _: &Parameters) -> Result<Json, Refusal> {
        if question != "reservations" {
            return Err(Refusal::MethodNotFound { method: question.to_owned() });
        }
        Ok(json!({ "reservations": reservations(turn)? }))
    }

    fn put(&self, _: &mut Turn<'_>, _: &Key, _: Json) -> Result<(), Refusal> {
        Err(Refusal::Forbidden { detail: "a day is reserved by the method reserve only".to_owned() })
    }

    fn delete(&self, _: &mut Turn<'_>, _: &Key) -> Result<(), Refusal> {
        Err(Refusal::Forbidden { detail: "a day is freed by the method release only".to_owned() })
    }
}

fn reserve(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let id = parse_key(text(parameters, "changeId")?)?;
    let span = Span { start: moment(parameters, "start")?, end: moment(parameters, "end")? };
    if span.start >= span.end {
        return Err(Refusal::invalid("\"start\" must come before \"end\""));
    }
    let max = usize::try_from(whole(required(parameters, "max")?, "max")?)
        .map_err(|_| Refusal::invalid("\"max\" must not be negative"))?;
    let mut others = reservations(turn)?;
    others.retain(|other| other.change_id != id.as_str());
    let spans: Vec<Span> = others.iter().map(|other| other.span).collect();
    if overlapping(span, &spans) >= max {
        let detail = format!("{max} schedules overlap there already; no more than {max} may");
        return Err(Refusal::Conflict { detail });
    }
    if others.len() >= CALENDAR_DAY_MAX {
        let detail = format!("a day has at most {CALENDAR_DAY_MAX} schedules");
        return Err(Refusal::Conflict { detail });
    }
    turn.put(id.as_str(), &span)?;
    others.retain(|other| other.span.overlaps(span));
    Ok(json!({ "conflicts": others }))
}

fn reservations(turn: &Turn<'_>) -> Result<Vec<Reservation>, Refusal> {
    const PAGE: Page = Page { entries: 1_024, bytes: 1024 * 1024 };
    let mut found: Vec<Reservation> = Vec::new();
    loop {
        let after = found.last().map(|reservation| reservation.change_id.as_str());
        let page = turn.list("", after, PAGE)?;
        if page.is_empty() {
            return Ok(found);
        }
        for (key, value) in page {
            let span = value
                .parse()
                .map_err(|error| Refusal::invalid(format!("the reservation {:?}: {error}", key.as_str())))?;
            found.push(Reservation { change_id: key.as_str().to_owned(), span });
        }
    }
}

fn moment(parameters: &Parameters, name: &str) -> Result<Timestamp, Refusal> {
    Timestamp::parse(text(parameters, name)?)
        .map_err(|error| Refusal::invalid(format!("parameter {name:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;
    use crate::class::Rehearsal;

    fn reserve(day: &mut Rehearsal, id: &str, hours: (u64, u64), max: i64) -> Result<Vec<String>, Refusal> {
        let at = |hour: u64| Timestamp(hour * 3_600_000).to_string();
        let (start, end) = (at(hours.0), at(hours.1));
        let found = day.call("reserve", json!({ "changeId": id, "start": start, "end": end, "max": max }))?;
        let conflicts: Vec<Reservation> = serde_json::from_value(found["conflicts"].clone()).unwrap();
        Ok(conflicts.into_iter().map(|conflict| conflict.change_id).collect())
    }

    fn booked(day: &mut Rehearsal) -> Vec<Reservation> {
        let found = day.ask("reservations", json!({})).unwrap();
        serde_json::from_value(found["reservations"].clone()).unwrap()
    }

    #[test]
    fn no_more_than_the_number_overlap() {
        let mut day = Rehearsal::new(ChangeCalendar);
        assert_eq!(reserve(&mut day, "a", (2, 4), 3), Ok(vec![]));
        assert_eq!(reserve(&mut day, "b", (3, 5), 3), Ok(vec!["a".to_owned()]));
        assert_eq!(reserve(&mut day, "c", (4, 6), 3), Ok(vec!["b".to_owned()]));
        assert_eq!(reserve(&mut day, "d", (2, 6), 3), Ok(["a", "b", "c"].map(str::to_owned).to_vec()));
        let before = (day.version(), day.storage().clone());
        let refused = reserve(&mut day, "e", (2, 6), 3).unwrap_err();
        assert!(matches!(refused, Refusal::Conflict { .. }), "{refused:?}");
        assert_eq!(refused.to_string(), "3 schedules overlap there already; no more than 3 may");
        assert_eq!(before, (day.version(), day.storage().clone()), "a refusal changes nothing");
        assert_eq!(reserve(&mut day, "e", (5, 6), 3), Ok(["c", "d"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_change_has_one_reservation() {
        let mut day = Rehearsal::new(ChangeCalendar);
        reserve(&mut day, "a", (2, 4), 1).unwrap();
        assert_eq!(reserve(&mut day, "a", (3, 5), 1), Ok(vec![]), "it does not stand in its own way");
        assert!(reserve(&mut day, "b", (4, 6), 1).is_err());
        assert_eq!(reserve(&mut day, "b", (2, 3), 1), Ok(vec![]));
        assert_eq!(day.call("release", json!({ "changeId": "a" })), Ok(json!({ "released": true })));
        let version = day.version();
        assert_eq!(day.call("release", json!({ "changeId": "a" })), Ok(json!({ "released": false })));
        assert_eq!(day.version(), version, "there was nothing to release");
        assert_eq!(booked(&mut day).len(), 1);
    }

    #[test]
    fn what_is_no_reservation_is_refused() {
        let mut day = Rehearsal::new(ChangeCalendar);
        let start = "2026-11-17T02:00:00Z";
        for wrong in [
            json!({ "start": start, "end": "2026-11-17T03:00:00Z", "max": 3 }),
            json!({ "changeId": "a", "start": start, "end": start, "max": 3 }),
            json!({ "changeId": "a", "start": "two", "end": start, "max": 3 }),
            json!({ "changeId": "a", "start": start, "end": "2026-11-17T03:00:00Z" }),
            json!({ "changeId": "a", "start": start, "end": "2026-11-17T03:00:00Z", "max": -1 }),
            json!({ "changeId": "", "start": start, "end": "2026-11-17T03:00:00Z", "max": 3 }),
        ] {
            let refused = day.call("reserve", wrong.clone());
            assert!(matches!(refused, Err(Refusal::InvalidParameters { .. })), "{wrong}: {refused:?}");
        }
        assert!(reserve(&mut day, "a", (2, 3), 0).is_err());
        assert!(day.put("a", json!({})).is_err() && day.delete("a").is_err());
        assert!(!day.meta().exists);
        assert!(matches!(day.ask("weather", json!({})), Err(Refusal::MethodNotFound { .. })));
    }

    proptest! {
        /// Whatever is asked for in whatever order, never more overlap than may.
        #[test]
        fn never_more_than_may(
            asked in proptest::collection::vec((0_u8..12, 0_u64..24, 1_u64..8, proptest::bool::ANY), 1..60),
            max in 1_i64..4,
        ) {
            let mut day = Rehearsal::new(ChangeCalendar);
            for (id, start, length, releases) in asked {
                let id = format!("CHG-{id}");
                if releases {
                    day.call("release", json!({ "changeId": id })).unwrap();
                } else {
                    let _ = reserve(&mut day, &id, (start, start + length), max);
                }
                let booked = booked(&mut day);
                for hour in 0..32 {
                    let moment = Timestamp(hour * 3_600_000);
                    let standing =
                        booked.iter().filter(|one| one.span.start <= moment && moment < one.span.end).count();
                    prop_assert!(i64::try_from(standing).unwrap() <= max);
                }
            }
        }
    }
}
