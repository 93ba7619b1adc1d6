//! The words that arguments and results share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A word of one of the lists below.
pub(super) trait Word {
    /// As it is written.
    fn text(self) -> &'static str;
}

macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident { $($word:ident = $text:literal),+ $(,)? }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub(super) enum $name {
            $(#[serde(rename = $text)] $word,)+
        }

        impl Word for $name {
            fn text(self) -> &'static str {
                match self { $(Self::$word => $text,)+ }
            }
        }
    };
}

words! {
    /// What becomes of a change.
    Status {
        Draft = "draft", Submitted = "submitted", Assessing = "assessing", NeedsInfo = "needs_info",
        Approved = "approved", Rejected = "rejected", Scheduled = "scheduled", Implementing = "implementing",
        Failed = "failed", Review = "review", Closed = "closed", Cancelled = "cancelled",
    }
}

words! {
    /// A kind of change.
    Kind { Standard = "standard", Normal = "normal", Major = "major", Emergency = "emergency" }
}

words! {
    /// An impact or urgency.
    Level { Low = "low", Medium = "medium", High = "high" }
}

words! {
    /// A priority or risk level.
    RiskLevel { Low = "low", Medium = "medium", High = "high", Critical = "critical" }
}

words! {
    /// What an approver decides.
    Decision { Approved = "approved", Rejected = "rejected", NeedsInfo = "needs_info" }
}

words! {
    /// Whose controls a report holds changes to.
    Framework { Sox = "sox", PciDss = "pci_dss", Gdpr = "gdpr", All = "all" }
}
