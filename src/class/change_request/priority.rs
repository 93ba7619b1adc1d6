//! The priority of a change: what its impact and its urgency make together.

use super::{Degree, Level};

/// The priority; what is not said counts as medium.
#[must_use]
pub fn priority(impact: Option<Degree>, urgency: Option<Degree>) -> Level {
    use Degree::{High, Low, Medium};
    match (impact.unwrap_or(Medium), urgency.unwrap_or(Medium)) {
        (High, High) => Level::Critical,
        (High, Medium) | (Medium, High) => Level::High,
        (High, Low) | (Medium, Medium) | (Low, High) => Level::Medium,
        (Medium | Low, Low) | (Low, Medium) => Level::Low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::change_request::Word;

    #[test]
    fn every_pair_has_its_priority() {
        // Rows: impact low, medium, high; columns: urgency low, medium, high.
        let table = [["low", "low", "medium"], ["low", "medium", "high"], ["medium", "high", "critical"]];
        for (row, impact) in Degree::ALL.iter().enumerate() {
            for (column, urgency) in Degree::ALL.iter().enumerate() {
                let found = priority(Some(*impact), Some(*urgency));
                assert_eq!(found.as_str(), table[row][column], "impact {impact}, urgency {urgency}");
            }
        }
    }

    #[test]
    fn what_is_not_said_is_medium() {
        assert_eq!(priority(None, None), Level::Medium);
        assert_eq!(priority(Some(Degree::High), None), Level::High);
        assert_eq!(priority(None, Some(Degree::Low)), Level::Low);
    }
}
