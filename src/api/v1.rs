//! The native HTTP API, `/v1`: the route table.
//!
//! A handler unpacks the request, makes one call to the runtime, and converts the answer. The same
//! table makes the routes and their description, so `/openapi.json` cannot forget one.

mod changes;
mod cluster;
mod keys;
mod objects;
mod operate;
mod snapshots;
mod updates;
mod versions;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{ApiState, live};

/// The routes of the native API.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(objects::list))
        .routes(routes!(objects::get, objects::initialize, objects::delete))
        .routes(routes!(objects::call))
        .routes(routes!(objects::location))
        .routes(routes!(keys::page))
        .routes(routes!(keys::get, keys::put, keys::delete))
        .routes(routes!(updates::page))
        .routes(routes!(versions::page))
        .routes(routes!(versions::get))
        .routes(routes!(live::open))
        .routes(routes!(live::open_many))
        .routes(routes!(live::open_phoenix))
        .routes(routes!(changes::list, changes::create))
        .routes(routes!(changes::report))
        .routes(routes!(changes::dashboard))
        .routes(routes!(changes::policy::get, changes::policy::put))
        .routes(routes!(changes::policy::history))
        .routes(routes!(changes::get, changes::update))
        .routes(routes!(changes::decide))
        .routes(routes!(changes::assess))
        .routes(routes!(changes::schedule))
        .routes(routes!(changes::transition))
        .routes(routes!(changes::override_approvals))
        .routes(routes!(changes::comment))
        .routes(routes!(changes::audit))
        .routes(routes!(cluster::show))
        .routes(routes!(cluster::nodes))
        .routes(routes!(operate::shards))
        .routes(routes!(operate::rebalance))
        .routes(routes!(operate::shard))
        .routes(routes!(operate::drain))
        .routes(routes!(operate::undrain))
        .routes(routes!(operate::remove))
        .routes(routes!(operate::move_replica))
        .routes(routes!(operate::transfer))
        .routes(routes!(operate::operation))
        .routes(routes!(snapshots::list, snapshots::save))
}
