//! How risky a change is: a score from 0 to 100 out of its words, its systems and its time, and what follows from it.

use std::collections::BTreeSet;

use jiff::civil::Weekday;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::object::Timestamp;

use super::moment::local;
use super::{Level, Policy};

/// The highest score, and the highest that a part of it shows.
const SCORE_MAX: u32 = 100;

/// What a score is made from.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// The change's title.
    pub title: &'a str,
    /// The change's description.
    pub description: &'a str,
    /// The systems affected; one named twice counts once.
    pub systems: &'a [String],
    /// The planned start, or else now.
    pub at: Timestamp,
}

/// A score and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    /// From 0 to 100.
    pub overall: u32,
    /// The level in which it lies.
    pub level: Level,
    /// Where it comes from.
    pub factors: Factors,
    /// Each point of it in a sentence.
    pub reasons: Vec<String>,
}

/// The points of a score by what they are about, each at most 100. The base is in none, so they may be less than the
/// score; a score that was cut at 100 is less than they.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Factors {
    /// Systems, and words of destruction and of production.
    pub technical: u32,
    /// Words of business, and the time.
    pub business: u32,
    /// Words of security.
    pub security: u32,
    /// Words of the law.
    pub compliance: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Area {
    Technical,
    Business,
    Security,
    Compliance,
}

impl Factors {
    fn add(&mut self, area: Area, points: u32) {
        let part = match area {
            Area::Technical => &mut self.technical,
            Area::Business => &mut self.business,
            Area::Security => &mut self.security,
            Area::Compliance => &mut self.compliance,
        };
        *part = part.saturating_add(points).min(SCORE_MAX);
    }
}

/// Scores a change.
#[must_use]
pub fn score(policy: &Policy, scored: Scored<'_>) -> Score {
    let mut sum = policy.risk.base;
    let mut factors = Factors::default();
    let mut reasons = vec![format!("Every change begins at {}", policy.risk.base)];
    let mut count = |area: Area, points: u32, reason: String| {
        sum = sum.saturating_add(points);
        factors.add(area, points);
        if points > 0 {
            reasons.push(format!("{reason} (+{points})"));
        }
    };
    for (place, text) in [("title", scored.title), ("description", scored.description)] {
        let text = text.to_lowercase();
        for (word, points) in policy.risk.keywords.iter().filter(|(word, _)| text.contains(word.as_str())) {
            count(area(word), *points, format!("The {place} has the word \"{word}\""));
        }
    }
    let systems = scored.systems.iter().map(|system| system.trim()).collect::<BTreeSet<_>>().len();
    let last = policy.risk.systems.len() - 1;
    let points = policy.risk.systems.get(systems.min(last)).copied().unwrap_or(0);
    count(Area::Technical, points, format!("Systems affected: {systems}"));
    if let Some((points, reason)) = timing(policy, scored.at) {
        count(Area::Business, points, reason.to_owned());
    }
    let overall = sum.min(SCORE_MAX);
    Score { overall, level: level(policy, overall), factors, reasons }
}

/// The level in which a score lies.
#[must_use]
pub fn level(policy: &Policy, score: u32) -> Level {
    let levels = &policy.risk.levels;
    match score {
        score if score < levels.low_below => Level::Low,
        score if score < levels.medium_below => Level::Medium,
        score if score < levels.high_below => Level::High,
        _ => Level::Critical,
    }
}

/// What makes a change of such a risk safer.
#[must_use]
pub fn mitigations(score: &Score) -> Vec<String> {
    let Factors { technical, business, security, compliance } = score.factors;
    let mut found = Vec::new();
    let mut add = |applies: bool, text: &str| {
        if applies {
            found.push(text.to_owned());
        }
    };
    add(score.level >= Level::Medium, "Write a rollback plan and try it before the change");
    add(score.level >= Level::High, "Rehearse the change outside production and keep a person on call");
    add(score.level == Level::Critical, "Make the change in steps, each of which can be taken back");
    add(technical >= 25, "Back up the systems affected and check that the backup can be read");
    add(business >= 25, "Tell the people whose work depends on it when it happens");
    add(security >= 10, "Have a security officer look at it, and change secrets that it shows");
    add(compliance >= 10, "Keep the evidence that the rules it touches are followed");
    if found.is_empty() {
        found.push("No more than the usual care".to_owned());
    }
    found
}

/// What to do next about a change of such a risk. What the assessor said of it shapes this, never the score.
#[must_use]
pub fn recommendations(score: &Score, said: &Map<String, Json>) -> Vec<String> {
    let first = match score.level {
        Level::Low => "It can go the usual way",
        Level::Medium => "Have it looked at by a second person before it is made",
        Level::High => "Bring it before the change advisory board",
        Level::Critical => "Bring it before the change advisory board and plan it with management",
    };
    let mut found = vec![first.to_owned()];
    for (factor, advice) in [
        ("complexity", "Split it into smaller changes, or review it step by step"),
        ("timing", "Look at the time again: choose a window with few others"),
        (
            "dependencies",
            "Name the changes it waits for in blockedBy, and tell the owners of what depends on it",
        ),
    ] {
        if let Some(value) = said.get(factor).filter(|value| weighs(value)) {
            found.push(format!("{advice} ({factor}: {})", shown(value)));
        }
    }
    found
}

/// Whether what was said of a factor asks for advice: not if it is nothing, none or low.
fn weighs(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => false,
        Json::String(text) => !matches!(text.trim().to_lowercase().as_str(), "" | "low" | "none" | "no"),
        Json::Array(list) => !list.is_empty(),
        Json::Object(map) => !map.is_empty(),
        Json::Bool(true) => true,
        Json::Number(number) => number.as_f64() != Some(0.0),
    }
}

fn shown(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What a word is about. A word that only a policy has counts as technical.
fn area(word: &str) -> Area {
    match word {
        "critical" | "payment" | "emergency" => Area::Business,
        "security" | "auth" | "credential" | "password" | "secret" | "key" | "token" | "firewall"
        | "encryption" | "purge" | "wipe" => Area::Security,
        "compliance" | "gdpr" | "pci" | "audit" => Area::Compliance,
        _ => Area::Technical,
    }
}

fn timing(policy: &Policy, at: Timestamp) -> Option<(u32, &'static str)> {
    let when = local(at, &policy.zone());
    let weights = &policy.risk.timing;
    if when.month() == 12 && when.day() > 15 {
        Some((weights.year_end, "It is after 15 December"))
    } else if when.month() == 11 && (20..=30).contains(&when.day()) {
        Some((weights.late_november, "It is from 20 to 30 November"))
    } else if matches!(when.weekday(), Weekday::Saturday | Weekday::Sunday) {
        Some((weights.weekend, "It is on a weekend"))
    } else if !(9..18).contains(&when.hour()) {
        Some((weights.outside_hours, "It is outside 09:00 to 18:00"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use serde_json::json;

    use super::*;

    /// A Wednesday in business hours.
    const WORKDAY: &str = "2026-10-14T10:00:00Z";

    fn found(title: &str, description: &str, systems: &[&str], at: &str) -> Score {
        let systems: Vec<String> = systems.iter().map(|&system| system.to_owned()).collect();
        let at = Timestamp::parse(at).unwrap();
        score(&Policy::default(), Scored { title, description, systems: &systems, at })
    }

    fn check(title: &str, description: &str, systems: &[&str], expected: (u32, Level)) {
        let score = found(title, description, systems, WORKDAY);
        assert_eq!((score.overall, score.level), expected, "{title} / {description}: {:?}", score.reasons);
    }

    #[test]
    fn the_documents_values() {
        check(
            "Emergency payment gateway failover",
            "Activate backup systems due to primary failure",
            &[],
            (100, Level::Critical),
        );
        check("Update docs", "", &[], (10, Level::Low));
        check("Change", "", &["a", "b", "c"], (45, Level::Medium));
        check(
            "Migrate on-premise database to AWS RDS",
            "Move production Oracle database to cloud",
            &["a", "b", "c"],
            (85, Level::High),
        );
    }

    #[test]
    fn a_word_counts_once_a_text_in_any_case_and_within_words() {
        check("payment payment PAYMENT", "", &[], (55, Level::Medium));
        check("Payment", "payments", &[], (100, Level::Critical));
        check("Monkey", "", &[], (20, Level::Low));
        check("AUTHor", "", &[], (20, Level::Low));
        check("Rollback of production", "", &[], (60, Level::Medium));
    }

    #[test]
    fn every_keyword_has_its_weight() {
        let weights = Policy::default().risk.keywords;
        assert_eq!(weights.len(), 24);
        for (word, weight) in weights {
            assert_eq!(found(&word, "", &[], WORKDAY).overall, 10 + weight, "{word}");
        }
    }

    #[test]
    fn distinct_systems_count() {
        for (systems, expected) in [
            (&[][..], 10),
            (&["a"], 20),
            (&["a", "a", " a "], 20),
            (&["a", "b"], 35),
            (&["a", "b", "c", "b"], 45),
            (&["a", "b", "c", "d"], 50),
            (&["a", "b", "c", "d", "e"], 50),
        ] {
            assert_eq!(found("Change", "", systems, WORKDAY).overall, expected, "{systems:?}");
        }
    }

    #[test]
    fn the_first_time_that_fits_counts() {
        let check = |at: &str, expected: u32| {
            assert_eq!(found("Change", "", &[], at).overall, 10 + expected, "{at}");
        };
        check("2026-12-15T10:00:00Z", 0);
        check("2026-12-16T10:00:00Z", 40);
        check("2026-12-31T23:59:59Z", 40);
        check("2027-01-01T10:00:00Z", 0);
        check("2026-11-19T10:00:00Z", 0);
        check("2026-11-20T10:00:00Z", 35);
        check("2026-11-28T03:00:00Z", 35);
        check("2026-11-30T23:59:59Z", 35);
        check("2026-12-01T10:00:00Z", 0);
        check("2026-10-17T10:00:00Z", 30);
        check("2026-10-18T03:00:00Z", 30);
        check("2026-10-14T08:59:59Z", 20);
        check("2026-10-14T09:00:00Z", 0);
        check("2026-10-14T17:59:59Z", 0);
        check("2026-10-14T18:00:00Z", 20);
    }

    #[test]
    fn the_time_is_the_time_zones() {
        let policy = Policy { time_zone: "America/New_York".to_owned(), ..Policy::default() };
        let check = |at: &str, expected: u32| {
            let at = Timestamp::parse(at).unwrap();
            let scored = Scored { title: "Change", description: "", systems: &[], at };
            assert_eq!(score(&policy, scored).overall, 10 + expected, "{at}");
        };
        check("2026-10-14T12:59:59Z", 20);
        check("2026-10-14T13:00:00Z", 0);
        check("2026-01-14T13:59:59Z", 20);
        check("2026-01-14T14:00:00Z", 0);
        check("2026-12-16T03:00:00Z", 20);
        check("2026-12-16T05:00:00Z", 40);
    }

    #[test]
    fn levels_have_their_bounds() {
        let policy = Policy::default();
        for (score, expected) in [
            (0, Level::Low),
            (30, Level::Low),
            (31, Level::Medium),
            (70, Level::Medium),
            (71, Level::High),
            (90, Level::High),
            (91, Level::Critical),
            (100, Level::Critical),
        ] {
            assert_eq!(level(&policy, score), expected, "{score}");
        }
    }

    #[test]
    fn a_score_says_where_it_comes_from() {
        let score =
            found("Reset the firewall", "For the audit of payments", &["a", "b"], "2026-10-17T10:00:00Z");
        expect![[r#"
            Score {
                overall: 100,
                level: Critical,
                factors: Factors {
                    technical: 35,
                    business: 75,
                    security: 10,
                    compliance: 10,
                },
                reasons: [
                    "Every change begins at 10",
                    "The title has the word \"firewall\" (+10)",
                    "The title has the word \"reset\" (+10)",
                    "The description has the word \"audit\" (+10)",
                    "The description has the word \"payment\" (+45)",
                    "Systems affected: 2 (+25)",
                    "It is on a weekend (+30)",
                ],
            }
        "#]]
        .assert_debug_eq(&score);
    }

    #[test]
    fn what_is_said_shapes_the_recommendations_only() {
        let score = found("Change", "", &[], WORKDAY);
        let said = json!({"complexity": "high", "timing": "low", "dependencies": ["CHG-1"]});
        let found = recommendations(&score, said.as_object().unwrap());
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[1], "Split it into smaller changes, or review it step by step (complexity: high)");
        assert!(found[2].ends_with("(dependencies: [\"CHG-1\"])"), "{found:?}");
        assert_eq!(recommendations(&score, &Map::new()), ["It can go the usual way"]);
    }

    #[test]
    fn mitigations_grow_with_the_risk() {
        let calm = mitigations(&found("Change", "", &[], WORKDAY));
        assert_eq!(calm, ["No more than the usual care"]);
        let wild = mitigations(&found("Critical payment security audit", "", &["a", "b"], WORKDAY));
        assert_eq!(wild.len(), 7, "{wild:?}");
    }

    proptest! {
        /// Up to the cut at 100, base and factors are the score.
        #[test]
        fn the_factors_are_the_score(
            title in "[a-z]{0,3}(payment|reset|audit|token)?",
            description in "(security|pci|drop)?[a-z]{0,3}",
            systems in proptest::collection::vec("[a-c]", 0..5),
            at in 1_767_225_600_000_u64..1_924_992_000_000,
        ) {
            let scored = Scored { title: &title, description: &description, systems: &systems, at: Timestamp(at) };
            let score = score(&Policy::default(), scored);
            let Factors { technical, business, security, compliance } = score.factors;
            prop_assert!((10..=100).contains(&score.overall));
            prop_assert_eq!(score.overall, (10 + technical + business + security + compliance).min(100));
        }
    }
}
