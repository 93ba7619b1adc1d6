//! The revisions of the protocol that are served, and the two eras that they fall into.

/// A family of revisions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2025-11-25 and before: a handshake, then requests within its session; or a bare request without either.
    Legacy,
    /// 2026-07-28: each request says all that it needs.
    Modern,
}

/// The one revision of the newer era.
pub(super) const MODERN: &str = "2026-07-28";
/// The revisions of the older era, the oldest first.
pub(super) const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// What a client of the older era is offered that wants none of them.
const LEGACY_LATEST: &str = "2025-11-25";

/// All revisions that are served, the newest first.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    std::iter::once(MODERN).chain(LEGACY.iter().rev().copied())
}

/// The revision of a session whose client wants that one, if it says so.
pub(super) fn agreed(wanted: Option<&str>) -> &str {
    wanted.filter(|wanted| LEGACY.contains(wanted)).unwrap_or(LEGACY_LATEST)
}
