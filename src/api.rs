//! HTTP and WebSocket: how clients reach objects.
//!
//! Read in the order of a request: `listener` accepts connections, [`Front`] checks what every request
//! must pass, the [`router`] finds its handler (`v1`, `health`, `console`, else `compatible`), which
//! unpacks it, makes one call to the runtime or the hub, and converts the answer. `socket` and `live`
//! are for those who stay.
//!
//! Nothing here knows how objects work, and nothing here is remembered between requests but how many
//! sockets are open.

mod ask;
mod body;
mod compatible;
mod console;
mod describe;
mod front;
mod headers;
mod health;
mod listener;
mod live;
mod openapi;
mod origin;
mod path;
mod problem;
mod query;
mod reply;
mod socket;
mod state;
mod v1;
mod worker;
mod yjs;

use axum::Router;

use crate::error::{Code, Error};
pub use front::Front;
pub use listener::listen;
pub use openapi::openapi;
pub use state::{ApiState, Parts};

use crate::live::Place;

/// The whole surface of a node, ready to be listened on.
#[must_use]
pub fn front(state: ApiState) -> Front {
    let router = router(&state);
    Front::new(state, router)
}

/// Every route of this surface. Other surfaces are merged into it before it goes behind the [`Front`].
pub fn router(state: &ApiState) -> Router {
    let (routes, _) = openapi::described_routes().split_for_parts();
    routes
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(compatible::fallback)
        .with_state(state.clone())
}

async fn method_not_allowed() -> Error {
    Error::new(
        Code::MethodNotAllowed,
        "the path does not take this verb; the header Allow names those it takes",
    )
}
