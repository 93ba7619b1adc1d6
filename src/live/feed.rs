//! Class feeds for subscribers: every update of every object of a class, each with a cursor to come back with.
//!
//! A gateway follows a class once, whatever the number of its subscribers (`shared`), and shares each frame. A
//! subscriber that comes back with a cursor first reads what it missed from the logs, at its own pace (`catch_up`),
//! and then goes on with the others: where the two meet is noted in the moment in which its queue begins to fill, so
//! nothing is missed or repeated, and the cursors it is given never go back.
//!
//! - `subscription`: how one subscriber sees all of that; `member`: that it is one of several.
//! - `cursor`: the text of a cursor, frozen. `update`: an update, its cursor and its frame.
//!
//! The hub stands between the two halves: it keeps each class's `shared` feed, which does not know it; the members and
//! their subscriptions, which do, it never sees.

mod catch_up;
mod cursor;
mod member;
mod shared;
mod subscription;
#[cfg(test)]
mod tests;
mod update;

pub(super) use self::shared::Feeds;
pub use self::subscription::{FeedEvent, FeedOpening, FeedSubscription};
pub use self::update::FeedUpdate;
