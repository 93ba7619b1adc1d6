//! The words of ChangeFlow that are one of a few: an enum and its text, as it is stored and shown.

use serde_json::Value as Json;

use crate::object::Refusal;

/// One of a few words.
pub trait Word: Copy + Eq + Sized + 'static {
    /// All there are, in the order in which they are named to people.
    const ALL: &'static [Self];

    /// Its text.
    fn as_str(self) -> &'static str;

    /// The one that has this text.
    fn find(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|word| word.as_str() == text)
    }

    /// The texts of some, for a sentence: `a, b, c`, or `none`.
    fn names(words: &[Self]) -> String {
        if words.is_empty() {
            return "none".to_owned();
        }
        words.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The one that a parameter names.
    ///
    /// # Errors
    /// [`Refusal::InvalidParameters`] with the texts there are.
    fn read(name: &str, value: &Json) -> Result<Self, Refusal> {
        value
            .as_str()
            .and_then(Self::find)
            .ok_or_else(|| Refusal::invalid(format!("{name} must be one of: {}", Self::names(Self::ALL))))
    }
}

/// Defines an enum of words.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$word_about:meta])* $word:ident = $text:literal),* $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$word_about])* #[serde(rename = $text)] $word,)*
        }

        impl $crate::class::change_request::Word for $name {
            const ALL: &'static [Self] = &[$(Self::$word),*];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::class::change_request::Word::as_str(*self))
            }
        }
    };
}

pub(super) use words;

words! {
    /// What kind of change it is.
    Kind {
        /// Done often, in the same way.
        Standard = "standard",
        /// The usual.
        Normal = "normal",
        /// One of weight.
        Major = "major",
        /// One that cannot wait.
        Emergency = "emergency",
    }
}

words! {
    /// How large an impact or an urgency is.
    Degree {
        /// Small.
        Low = "low",
        /// Neither; also when nothing is said.
        Medium = "medium",
        /// Large.
        High = "high",
    }
}

words! {
    /// The four levels that priorities and risks have, in rising order.
    Level {
        /// The lowest.
        Low = "low",
        /// The second.
        Medium = "medium",
        /// The third.
        High = "high",
        /// The highest.
        Critical = "critical",
    }
}

words! {
    /// What an approver decided.
    Decision {
        /// It may go on.
        Approved = "approved",
        /// It may not.
        Rejected = "rejected",
        /// It cannot be decided yet.
        NeedsInfo = "needs_info",
    }
}

words! {
    /// A day of the week.
    Day {
        /// Monday.
        Mon = "mon",
        /// Tuesday.
        Tue = "tue",
        /// Wednesday.
        Wed = "wed",
        /// Thursday.
        Thu = "thu",
        /// Friday.
        Fri = "fri",
        /// Saturday.
        Sat = "sat",
        /// Sunday.
        Sun = "sun",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check<W: Word + serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug>() {
        for word in W::ALL {
            assert_eq!(W::find(word.as_str()), Some(*word));
            assert_eq!(serde_json::to_value(word).unwrap(), json!(word.as_str()));
            assert_eq!(serde_json::from_value::<W>(json!(word.as_str())).unwrap(), *word);
        }
        assert_eq!(W::find("other"), None);
    }

    #[test]
    fn a_word_has_one_text_everywhere() {
        check::<Kind>();
        check::<Degree>();
        check::<Level>();
        check::<Decision>();
        check::<Day>();
        check::<crate::class::change_request::State>();
        check::<crate::class::change_request::Event>();
    }

    #[test]
    fn a_wrong_one_is_told_the_right_ones() {
        for wrong in [json!("Low"), json!(1), json!(null), json!("")] {
            assert_eq!(
                Degree::read("impact", &wrong),
                Err(Refusal::invalid("impact must be one of: low, medium, high"))
            );
        }
    }
}
