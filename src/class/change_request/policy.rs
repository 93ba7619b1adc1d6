//! The policy: every number and name that the rules of change management leave open.
//!
//! It is given to each turn by the module, whole and with its version. [`Policy::default`] is the example that
//! ships; its form is the same in the configuration file, in the object of class `change-policy` and in requests.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::limits::{
    POLICY_APPROVALS_MAX, POLICY_ENTRIES_MAX, POLICY_OVERLAPPING_MAX, POLICY_QUARTER_END_MAX_DAYS,
    POLICY_SLA_MAX_MINUTES, POLICY_TEXT_MAX_BYTES, POLICY_WEIGHT_MAX,
};

use super::moment::{MonthDay, TimeOfDay};
use super::{Day, Kind, Level, Word};

/// The policy of change management.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The time zone of windows, freezes and business hours, as the IANA database names it.
    pub time_zone: String,
    /// Schedules that may overlap, at most.
    pub max_overlapping: u32,
    /// Days at the end of each quarter that are a freeze.
    pub quarter_end_days: u32,
    /// When changes are made.
    pub windows: Vec<Window>,
    /// Days of the year on which none are made.
    pub freezes: Vec<Freeze>,
    /// Who decides.
    pub approvers: Vec<Approver>,
    /// Approvals that each level of risk asks for.
    pub approvals_required: ApprovalsRequired,
    /// Minutes from submission to the decision.
    pub sla_minutes: SlaMinutes,
    /// How risk is scored.
    pub risk: Risk,
}

/// A window for changes, on some days of the week. It lies within a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The days.
    pub days: Vec<Day>,
    /// When it opens.
    pub from: TimeOfDay,
    /// When it closes; `24:00` is the end of the day.
    pub to: TimeOfDay,
    /// Approvals that a change must have received for it.
    #[serde(default)]
    pub min_approvals: u32,
}

/// Days of every year on which no change is made, both ends included. One whose end comes before its beginning spans
/// the turn of the year.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// The first day.
    pub from: MonthDay,
    /// The last day.
    pub to: MonthDay,
}

/// Somebody who decides on changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approver {
    /// The id, by which decisions name him.
    pub id: String,
    /// The name.
    pub name: String,
    /// The role.
    pub role: String,
    /// The types of change he may approve.
    pub types: Vec<Kind>,
}

impl Approver {
    /// Whether he may approve changes of that type.
    #[must_use]
    pub fn may_approve(&self, kind: Kind) -> bool {
        self.types.contains(&kind)
    }
}

/// Approvals needed for each level of risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is what its level asks for")]
pub struct ApprovalsRequired {
    pub low: u32,
    pub medium: u32,
    pub high: u32,
    pub critical: u32,
}

/// Minutes from submission to the decision for each priority, and for an emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is what its priority gets")]
pub struct SlaMinutes {
    pub critical: u32,
    pub high: u32,
    pub medium: u32,
    pub low: u32,
    pub emergency: u32,
}

/// The weights of a risk's score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Risk {
    /// What every change has.
    pub base: u32,
    /// For 0, 1, 2, 3, and 4 or more distinct systems.
    pub systems: [u32; 5],
    /// For each word found in the title, and again in the description.
    pub keywords: BTreeMap<String, u32>,
    /// For the time at which it is to be made.
    pub timing: Timing,
    /// Where each level ends.
    pub levels: Levels,
}

/// Weights of the time at which a change is to be made; the first that fits counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// After 15 December.
    pub year_end: u32,
    /// From 20 to 30 November.
    pub late_november: u32,
    /// Saturday and Sunday.
    pub weekend: u32,
    /// Before 09:00 and from 18:00.
    pub outside_hours: u32,
}

/// The score below which each level lies; what is above all is critical.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is where its level ends")]
pub struct Levels {
    pub low_below: u32,
    pub medium_below: u32,
    pub high_below: u32,
}

/// A policy under which changes could not be managed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(String);

impl Policy {
    /// Looks at the whole policy.
    ///
    /// # Errors
    /// What is wrong first, and what would be right.
    pub fn validate(&self) -> Result<(), PolicyError> {
        ensure(TimeZone::get(&self.time_zone).is_ok(), || {
            format!(
                "time_zone {:?} is none that the IANA database names, such as Europe/Zurich",
                self.time_zone
            )
        })?;
        within("max_overlapping", self.max_overlapping, 1, POLICY_OVERLAPPING_MAX)?;
        within("quarter_end_days", self.quarter_end_days, 0, POLICY_QUARTER_END_MAX_DAYS)?;
        self.validate_calendar()?;
        self.validate_approvers()?;
        for level in Level::ALL {
            let name = format!("approvals_required.{level}");
            within(&name, self.approvals_required.of(*level), 1, POLICY_APPROVALS_MAX)?;
            let name = format!("sla_minutes.{level}");
            within(&name, self.sla_minutes.of(Kind::Normal, *level), 1, POLICY_SLA_MAX_MINUTES)?;
        }
        within("sla_minutes.emergency", self.sla_minutes.emergency, 1, POLICY_SLA_MAX_MINUTES)?;
        self.risk.validate()
    }

    /// The approver of that id.
    #[must_use]
    pub fn approver(&self, id: &str) -> Option<&Approver> {
        self.approvers.iter().find(|approver| approver.id == id)
    }

    /// The time zone; UTC for a name that [`Policy::validate`] refuses.
    #[must_use]
    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC)
    }

    fn validate_calendar(&self) -> Result<(), PolicyError> {
        few("windows", self.windows.len())?;
        few("freezes", self.freezes.len())?;
        for (index, window) in self.windows.iter().enumerate() {
            ensure(!window.days.is_empty(), || format!("windows[{index}].days must name a day"))?;
            few(&format!("windows[{index}].days"), window.days.len())?;
            ensure(window.from < window.to, || {
                format!("windows[{index}]: from must come before to, for a window does not cross midnight")
            })?;
        }
        Ok(())
    }

    fn validate_approvers(&self) -> Result<(), PolicyError> {
        few("approvers", self.approvers.len())?;
        let mut ids = BTreeSet::new();
        for (index, approver) in self.approvers.iter().enumerate() {
            for (field, text) in [("id", &approver.id), ("name", &approver.name), ("role", &approver.role)] {
                named(&format!("approvers[{index}].{field}"), text)?;
            }
            ensure(ids.insert(approver.id.to_lowercase()), || {
                format!("approvers[{index}].id {:?} is there twice", approver.id)
            })?;
            few(&format!("approvers[{index}].types"), approver.types.len())?;
        }
        for kind in Kind::ALL {
            let count = self.approvers.iter().filter(|approver| approver.may_approve(*kind)).count();
            ensure(count >= 2, || {
                format!("approvers: at least two must be there for changes of type {kind}; there are {count}")
            })?;
        }
        Ok(())
    }
}

impl Risk {
    fn validate(&self) -> Result<(), PolicyError> {
        within("risk.base", self.base, 0, POLICY_WEIGHT_MAX)?;
        for (count, weight) in self.systems.iter().enumerate() {
            within(&format!("risk.systems[{count}]"), *weight, 0, POLICY_WEIGHT_MAX)?;
        }
        few("risk.keywords", self.keywords.len())?;
        for (word, weight) in &self.keywords {
            named("risk.keywords", word)?;
            ensure(*word == word.to_lowercase(), || {
                format!("risk.keywords.{word}: write it in small letters; it is found in any case")
            })?;
            within(&format!("risk.keywords.{word}"), *weight, 0, POLICY_WEIGHT_MAX)?;
        }
        let Timing { year_end, late_november, weekend, outside_hours } = self.timing;
        within("risk.timing.year_end", year_end, 0, POLICY_WEIGHT_MAX)?;
        within("risk.timing.late_november", late_november, 0, POLICY_WEIGHT_MAX)?;
        within("risk.timing.weekend", weekend, 0, POLICY_WEIGHT_MAX)?;
        within("risk.timing.outside_hours", outside_hours, 0, POLICY_WEIGHT_MAX)?;
        let Levels { low_below, medium_below, high_below } = self.levels;
        ensure(low_below <= medium_below && medium_below <= high_below && high_below <= 100, || {
            "risk.levels: low_below, medium_below and high_below must rise and be at most 100".to_owned()
        })
    }
}

impl ApprovalsRequired {
    /// What a level asks for.
    #[must_use]
    pub fn of(&self, level: Level) -> u32 {
        match level {
            Level::Low => self.low,
            Level::Medium => self.medium,
            Level::High => self.high,
            Level::Critical => self.critical,
        }
    }
}

impl SlaMinutes {
    /// What a change of that type and priority gets.
    #[must_use]
    pub fn of(&self, kind: Kind, priority: Level) -> u32 {
        match (kind, priority) {
            (Kind::Emergency, _) => self.emergency,
            (_, Level::Critical) => self.critical,
            (_, Level::High) => self.high,
            (_, Level::Medium) => self.medium,
            (_, Level::Low) => self.low,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        let approver = |id: &str, name: &str, role: &str, types: &[Kind]| Approver {
            id: id.to_owned(),
            name: name.to_owned(),
            role: role.to_owned(),
            types: types.to_vec(),
        };
        let window = |days: &[Day], to: u16, min_approvals: u32, from: u16| Window {
            days: days.to_vec(),
            from: TimeOfDay::hours(from),
            to: TimeOfDay::hours(to),
            min_approvals,
        };
        let freeze = |from: (i8, i8), to: (i8, i8)| Freeze {
            from: MonthDay { month: from.0, day: from.1 },
            to: MonthDay { month: to.0, day: to.1 },
        };
        let but_emergency = [Kind::Standard, Kind::Normal, Kind::Major];
        Self {
            time_zone: "UTC".to_owned(),
            max_overlapping: 3,
            quarter_end_days: 7,
            windows: vec![window(&[Day::Tue, Day::Thu], 6, 0, 2), window(&[Day::Sun], 4, 2, 0)],
            freezes: vec![freeze((11, 25), (12, 2)), freeze((12, 20), (1, 5))],
            approvers: vec![
                approver("alice.chen", "Alice Chen", "Change Manager", Kind::ALL),
                approver("bob.williams", "Bob Williams", "Security Officer", Kind::ALL),
                approver("carol.davis", "Carol Davis", "Technical Lead", &but_emergency),
                approver("david.rodriguez", "David Rodriguez", "Business Representative", &but_emergency),
            ],
            approvals_required: ApprovalsRequired::default(),
            sla_minutes: SlaMinutes::default(),
            risk: Risk::default(),
        }
    }
}

impl Default for ApprovalsRequired {
    fn default() -> Self {
        Self { low: 1, medium: 2, high: 3, critical: 5 }
    }
}

impl Default for SlaMinutes {
    fn default() -> Self {
        Self { critical: 240, high: 480, medium: 1_440, low: 2_880, emergency: 30 }
    }
}

impl Default for Risk {
    fn default() -> Self {
        let heavy =
            [("critical", 50), ("payment", 45), ("emergency", 45), ("production", 40), ("security", 35)];
        let light = [
            "delete",
            "drop",
            "truncate",
            "auth",
            "credential",
            "password",
            "secret",
            "key",
            "token",
            "purge",
            "wipe",
            "reset",
            "rollback",
            "firewall",
            "encryption",
            "compliance",
            "gdpr",
            "pci",
            "audit",
        ];
        let keywords = heavy.into_iter().chain(light.into_iter().map(|word| (word, 10)));
        Self {
            base: 10,
            systems: [0, 10, 25, 35, 40],
            keywords: keywords.map(|(word, weight)| (word.to_owned(), weight)).collect(),
            timing: Timing::default(),
            levels: Levels::default(),
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self { year_end: 40, late_november: 35, weekend: 30, outside_hours: 20 }
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self { low_below: 31, medium_below: 71, high_below: 91 }
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), PolicyError> {
    if holds { Ok(()) } else { Err(PolicyError(otherwise())) }
}

fn within(name: &str, value: u32, least: u32, most: u32) -> Result<(), PolicyError> {
    ensure((least..=most).contains(&value), || {
        format!("{name} must be from {least} to {most}; it is {value}")
    })
}

fn few(name: &str, count: usize) -> Result<(), PolicyError> {
    ensure(count <= POLICY_ENTRIES_MAX, || {
        format!("{name}: at most {POLICY_ENTRIES_MAX} entries; there are {count}")
    })
}

fn named(name: &str, text: &str) -> Result<(), PolicyError> {
    let fits = !text.is_empty() && text.trim() == text && text.len() <= POLICY_TEXT_MAX_BYTES;
    ensure(fits && !text.chars().any(char::is_control), || {
        format!(
            "{name} must be a text of 1 to {POLICY_TEXT_MAX_BYTES} bytes without spaces around it; it is {text:?}"
        )
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value as Json, json};

    use super::*;

    /// The shipped policy with one place changed: what is said of it.
    fn check(place: &str, value: Json, expected: Result<(), &str>) {
        let mut json = serde_json::to_value(Policy::default()).unwrap();
        *json.pointer_mut(place).unwrap_or_else(|| panic!("{place} is there")) = value;
        let policy: Policy = serde_json::from_value(json).unwrap();
        assert_eq!(policy.validate(), expected.map_err(|text| PolicyError(text.to_owned())), "{place}");
    }

    #[test]
    fn the_shipped_policy_is_the_one_that_the_documents_have() {
        let policy = Policy::default();
        assert_eq!(policy.validate(), Ok(()));
        expect![[r#"
            time_zone = "UTC"
            max_overlapping = 3
            quarter_end_days = 7

            [[windows]]
            days = ["tue", "thu"]
            from = "02:00"
            to = "06:00"
            min_approvals = 0

            [[windows]]
            days = ["sun"]
            from = "00:00"
            to = "04:00"
            min_approvals = 2

            [[freezes]]
            from = "11-25"
            to = "12-02"

            [[freezes]]
            from = "12-20"
            to = "01-05"

            [[approvers]]
            id = "alice.chen"
            name = "Alice Chen"
            role = "Change Manager"
            types = ["standard", "normal", "major", "emergency"]

            [[approvers]]
            id = "bob.williams"
            name = "Bob Williams"
            role = "Security Officer"
            types = ["standard", "normal", "major", "emergency"]

            [[approvers]]
            id = "carol.davis"
            name = "Carol Davis"
            role = "Technical Lead"
            types = ["standard", "normal", "major"]

            [[approvers]]
            id = "david.rodriguez"
            name = "David Rodriguez"
            role = "Business Representative"
            types = ["standard", "normal", "major"]

            [approvals_required]
            low = 1
            medium = 2
            high = 3
            critical = 5

            [sla_minutes]
            critical = 240
            high = 480
            medium = 1440
            low = 2880
            emergency = 30

            [risk]
            base = 10
            systems = [0, 10, 25, 35, 40]

            [risk.keywords]
            audit = 10
            auth = 10
            compliance = 10
            credential = 10
            critical = 50
            delete = 10
            drop = 10
            emergency = 45
            encryption = 10
            firewall = 10
            gdpr = 10
            key = 10
            password = 10
            payment = 45
            pci = 10
            production = 40
            purge = 10
            reset = 10
            rollback = 10
            secret = 10
            security = 35
            token = 10
            truncate = 10
            wipe = 10

            [risk.timing]
            year_end = 40
            late_november = 35
            weekend = 30
            outside_hours = 20

            [risk.levels]
            low_below = 31
            medium_below = 71
            high_below = 91
        "#]]
        .assert_eq(&toml::to_string(&policy).unwrap());
        let again: Policy = toml::from_str(&toml::to_string(&policy).unwrap()).unwrap();
        assert_eq!(again, policy);
        let again: Policy = serde_json::from_value(serde_json::to_value(&policy).unwrap()).unwrap();
        assert_eq!(again, policy);
    }

    #[test]
    fn what_is_not_written_is_as_shipped() {
        let policy: Policy = toml::from_str("time_zone = 'Europe/Zurich'\nsla_minutes.low = 5").unwrap();
        let mut expected = Policy { time_zone: "Europe/Zurich".to_owned(), ..Policy::default() };
        expected.sla_minutes.low = 5;
        assert_eq!(policy, expected);
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        for text in [
            "timezone = 'UTC'",
            "sla_minutes.lowest = 1",
            "risk.weights = {}",
            "[[windows]]\ndays = ['tue']\nfrom = '2:00'\nto = '06:00'",
            "[[windows]]\ndays = ['tuesday']\nfrom = '02:00'\nto = '06:00'",
            "[[freezes]]\nfrom = '11-31'\nto = '12-02'",
            "[[approvers]]\nid = 'a'\nname = 'A'\nrole = 'r'\ntypes = ['any']",
            "risk.systems = [1, 2, 3, 4]",
            "max_overlapping = -1",
        ] {
            assert!(toml::from_str::<Policy>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_policy_that_nobody_could_work_under_is_refused() {
        check("/time_zone", json!("Europe/Zurich"), Ok(()));
        check(
            "/time_zone",
            json!("Mars/Base"),
            Err("time_zone \"Mars/Base\" is none that the IANA database names, such as Europe/Zurich"),
        );
        check("/max_overlapping", json!(0), Err("max_overlapping must be from 1 to 1000; it is 0"));
        check("/quarter_end_days", json!(0), Ok(()));
        check("/quarter_end_days", json!(90), Err("quarter_end_days must be from 0 to 60; it is 90"));
        check("/windows", json!([]), Ok(()));
        check("/windows/0/days", json!([]), Err("windows[0].days must name a day"));
        check("/windows/0/to", json!("24:00"), Ok(()));
        let crossing = "windows[1]: from must come before to, for a window does not cross midnight";
        check("/windows/1/from", json!("04:00"), Err(crossing));
        check("/windows/1/from", json!("22:00"), Err(crossing));
        check("/approvers/1/id", json!("ALICE.chen"), Err("approvers[1].id \"ALICE.chen\" is there twice"));
        check(
            "/approvers/0/id",
            json!(" alice"),
            Err(
                "approvers[0].id must be a text of 1 to 256 bytes without spaces around it; it is \" alice\"",
            ),
        );
        check(
            "/approvers/0/types",
            json!(["standard", "normal", "major"]),
            Err("approvers: at least two must be there for changes of type emergency; there are 1"),
        );
        check(
            "/approvers",
            json!([]),
            Err("approvers: at least two must be there for changes of type standard; there are 0"),
        );
        check(
            "/approvals_required/low",
            json!(0),
            Err("approvals_required.low must be from 1 to 1000; it is 0"),
        );
        check(
            "/sla_minutes/emergency",
            json!(0),
            Err("sla_minutes.emergency must be from 1 to 527040; it is 0"),
        );
        check(
            "/sla_minutes/high",
            json!(527_041),
            Err("sla_minutes.high must be from 1 to 527040; it is 527041"),
        );
        check(
            "/risk/keywords",
            json!({"Payment": 1}),
            Err("risk.keywords.Payment: write it in small letters; it is found in any case"),
        );
        check(
            "/risk/keywords",
            json!({"payment": 101}),
            Err("risk.keywords.payment must be from 0 to 100; it is 101"),
        );
        check(
            "/risk/levels/low_below",
            json!(72),
            Err("risk.levels: low_below, medium_below and high_below must rise and be at most 100"),
        );
    }
}
