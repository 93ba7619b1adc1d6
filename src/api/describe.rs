//! What `/openapi.json` says that the handlers' code cannot: parameters, bodies and errors, as types.
//!
//! The routes themselves are taken from the handlers. The types here are never made; each field stands
//! for what `v1` and `compatible` read and write by hand, and schemathesis holds them to it.

mod tools;

use std::collections::BTreeMap;

use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::openapi::{
    ContentBuilder, OpenApi as Description, Ref, RefOr, Required, Response, ResponseBuilder,
};
use utoipa::{IntoParams, IntoResponses, OpenApi, PartialSchema, ToSchema};

use super::problem::{PROBLEM_JSON, Problem};
use crate::error::Code;
use crate::limits::KEY_MAX_BYTES;

pub(super) use tools::{
    ChangeAssessed, ChangeCommented, ChangeCreated, ChangeDecided, ChangeList, ChangeMoved, ChangeOverridden,
    ChangeScheduled, ChangeStatus, ChangeTrail, ChangeUpdate, ChangeUpdated, ComplianceReport,
    MetricsDashboard, NewAssessment, NewChange, NewComment, NewDecision, NewOverride, NewSchedule,
    NewTransition,
};

/// The frame of the description; the router adds the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Stead",
        description = "Durable objects on your own machines. Errors are RFC 9457 problems with a stable `code`; \
                       the worker-compatible paths answer as the original did.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
    ),
    tags(
        (name = "objects", description = "Objects: state, methods, updates"),
        (name = "changes", description = "Change management: the tools' arguments and results"),
        (name = "cluster", description = "The cluster and its nodes"),
        (name = "server", description = "Health, metrics and this description"),
        (name = "compatible", description = "The API of the original worker; path parts are not percent-decoded"),
    ),
    components(schemas(Problem<'_>)),
)]
pub(super) struct Frame;

/// Makes the bodies optional of calls, and of what needs no more than to be asked: an absent one is `{}`.
pub(super) fn with_optional_bodies(mut description: Description) -> Description {
    for (path, item) in &mut description.paths.paths {
        let is_optional =
            path.ends_with("{method}") || path == "/v1/snapshots" || path.starts_with("/v1/changes");
        let post = is_optional.then_some(item.post.as_mut()).flatten();
        if let Some(RefOr::T(body)) = post.and_then(|post| post.request_body.as_mut()) {
            body.required = Some(Required::False);
        }
    }
    description
}

macro_rules! problems {
    ($($(#[doc = $doc:literal])+ $name:ident: $($code:ident)*;)*) => {$(
        $(#[doc = $doc])+
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                described(&[$(Code::$code),*])
            }
        }
    )*};
}

problems! {
    /// What any request may be answered.
    AnyErrors: InvalidRequest OriginNotAllowed UriTooLong HostNotAllowed HeadersTooLarge;
    /// What operating the cluster may be answered.
    OperateErrors: InvalidRequest OriginNotAllowed NotFound RequestTimeout Conflict BodyTooLarge UriTooLong HostNotAllowed
        HeadersTooLarge Unavailable;
    /// What saving the cluster may be answered.
    SnapshotErrors: InvalidRequest OriginNotAllowed RequestTimeout Conflict BodyTooLarge UriTooLong HostNotAllowed HeadersTooLarge
        Internal;
    /// What reading a class's objects may be answered.
    ListErrors: InvalidRequest OriginNotAllowed Forbidden ClassNotFound UriTooLong HostNotAllowed Overloaded HeadersTooLarge Internal Unavailable;
    /// What reading an object may be answered.
    ReadErrors: InvalidRequest OriginNotAllowed Forbidden NotFound ClassNotFound ObjectNotFound KeyNotFound VersionMismatch StateTooLarge
        UriTooLong HostNotAllowed RateLimited Overloaded HeadersTooLarge Internal Unavailable OutcomeUnknown;
    /// What reading changes may be answered.
    ChangeReadErrors: InvalidRequest OriginNotAllowed Forbidden ObjectNotFound UriTooLong HostNotAllowed InvalidParameters RateLimited Overloaded
        HeadersTooLarge Internal Unavailable OutcomeUnknown;
    /// What writing a change may be answered.
    ChangeWriteErrors: InvalidRequest OriginNotAllowed Forbidden ObjectNotFound RequestTimeout Conflict VersionMismatch BodyTooLarge UriTooLong
        UnsupportedMediaType HostNotAllowed InvalidParameters IdempotencyKeyReused RateLimited Overloaded IdempotencyFull HeadersTooLarge
        Internal Unavailable OutcomeUnknown;
    /// What writing an object may be answered.
    WriteErrors: InvalidRequest OriginNotAllowed Forbidden ClassNotFound ObjectNotFound KeyNotFound MethodNotFound RequestTimeout Conflict
        VersionMismatch BodyTooLarge StateTooLarge UriTooLong UnsupportedMediaType HostNotAllowed InvalidParameters IdempotencyKeyReused
        RateLimited Overloaded IdempotencyFull HeadersTooLarge Internal Unavailable OutcomeUnknown;
}

fn described(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status()).or_default().push(format!("`{}`: {}", code.as_str(), code.title()));
    }
    let response = |titles: Vec<String>| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        ResponseBuilder::new().description(titles.join("; ")).content(PROBLEM_JSON, content).build()
    };
    by_status.into_iter().map(|(status, titles)| (status.to_string(), response(titles).into())).collect()
}

/// A change in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "a description")]
pub(super) struct ChangePath {
    /// The change's id, `CHG-YYYYMMDD-XXXXXX`.
    #[param(min_length = 1, max_length = 512, example = "CHG-20261128-A1B2C3")]
    id: String,
}

/// Which changes are listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub(super) struct ChangesQuery {
    /// Only those in this state.
    #[param(nullable = false)]
    status: Option<String>,
    /// Only those of this kind.
    #[param(nullable = false, rename = "type")]
    kind: Option<String>,
    /// Only those of this risk level.
    #[param(nullable = false)]
    risk: Option<String>,
    /// Only those that this requestor asked for.
    #[param(nullable = false)]
    requestor: Option<String>,
    /// At most so many.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Where the last page ended, as its answer says.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// A page of a trail.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub(super) struct TrailQuery {
    /// At most so many.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Where the last page ended, as its answer says.
    #[param(nullable = false, pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
}

/// What a report is of.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub(super) struct ReportQuery {
    /// Whose controls: `sox`, `pci_dss`, `gdpr` or `all`.
    #[param(nullable = false)]
    framework: Option<String>,
    /// Only changes created from this time on, RFC 3339.
    #[param(nullable = false)]
    start: Option<String>,
    /// Only changes created before this time, RFC 3339.
    #[param(nullable = false)]
    end: Option<String>,
}

/// What a dashboard is of.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub(super) struct DashboardQuery {
    /// From this time on, RFC 3339.
    #[param(nullable = false)]
    start: Option<String>,
    /// Before this time, RFC 3339.
    #[param(nullable = false)]
    end: Option<String>,
}

/// The policy that a write goes by.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description")]
pub(super) struct PolicyHeaders {
    /// Only at this version, `"3"`.
    #[param(nullable = false, rename = "If-Match", pattern = "^\"[0-9]{1,18}\"$")]
    if_match: Option<String>,
}

/// Headers of a request to a change.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description")]
pub(super) struct TimeoutHeaders {
    /// Milliseconds after which the caller stops waiting; it shortens the server's deadline.
    #[param(nullable = false, rename = "X-Request-Timeout", pattern = "^0*[1-9][0-9]*$", example = "5000")]
    timeout: Option<String>,
}

/// What is said of a removal.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub(super) struct RemoveQuery {
    /// Go on although shards will have fewer replicas than they should.
    #[param(nullable = false)]
    allow_fewer: Option<bool>,
}

/// Where a replica is and where it is to go.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct MoveBody {
    /// The node that has the replica.
    from: u64,
    /// The node that is to have it.
    to: u64,
}

/// How a snapshot is to be called.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct SnapshotBody {
    /// Its name; made from the cluster's identity and the time where there is none.
    #[schema(nullable = false, pattern = "^[a-z0-9][a-z0-9.-]{0,63}$")]
    name: Option<String>,
}

/// Who is to lead.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct TransferBody {
    /// The node, one that has a replica.
    to: u64,
}

/// Whether anything is moved.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct RebalanceBody {
    /// Only say what would be moved.
    #[schema(nullable = false)]
    dry_run: Option<bool>,
}

/// The class in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "a description")]
pub(super) struct ClassPath {
    /// The class: `object`, `counter`, `document`, or one that the server was built with.
    #[param(pattern = "^[a-z][a-z0-9-]{0,63}$", example = "counter")]
    class: String,
}

/// An object in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "a description")]
pub(super) struct ObjectPath {
    /// The class: `object`, `counter`, `document`, or one that the server was built with.
    #[param(pattern = "^[a-z][a-z0-9-]{0,63}$", example = "counter")]
    class: String,
    /// The name: 1 to 512 bytes of UTF-8 without control characters, not `.` or `..`; a `/` is sent as `%2F`.
    #[param(
        min_length = 1,
        max_length = 512,
        pattern = r"^(?!\.{1,2}$)[^\x00-\x1f\x7f-\x9f]+$",
        example = "visits"
    )]
    name: String,
}

/// A document in an editor's path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "a description")]
pub(super) struct DocumentPath {
    /// The document's name: all of the path behind `/v1/yjs/`, so that a `/` in it may be sent as it is.
    #[param(
        min_length = 1,
        max_length = 512,
        pattern = r"^(?!\.{1,2}$)[^\x00-\x1f\x7f-\x9f]+$",
        example = "notes"
    )]
    name: String,
}

/// A document in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "a description")]
pub(super) struct NamedDocumentPath {
    /// The document's name: as every object's; a `/` is sent as `%2F`.
    #[param(
        min_length = 1,
        max_length = 512,
        pattern = r"^(?!\.{1,2}$)[^\x00-\x1f\x7f-\x9f]+$",
        example = "notes"
    )]
    name: String,
}

/// A version in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "a description")]
pub(super) struct VersionPath {
    /// The version.
    #[param(minimum = 0, maximum = 18_446_744_073_709_551_615_u64, example = 1)]
    version: u128,
}

/// The parameters of a list of versions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub(super) struct VersionsQuery {
    /// At most so many.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Where the last page ended, as its answer says.
    #[param(nullable = false, pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
}

/// A key in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "a description")]
pub(super) struct KeyPath {
    /// The key: 1 to 2,048 bytes of UTF-8; a `/` is sent as `%2F`.
    #[param(min_length = 1, max_length = 2048, example = "value")]
    key: String,
}

/// A method in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "a description")]
pub(super) struct MethodPath {
    /// The method's name.
    #[param(min_length = 1, example = "increment")]
    method: String,
}

/// The parameters of a page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub(super) struct PageQuery {
    /// Only what begins with this.
    #[param(nullable = false)]
    prefix: Option<String>,
    /// At most so many.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Where the last page ended, as its answer says.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// The parameters of a read of updates.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub(super) struct UpdatesQuery {
    /// The last version seen; 0 if it is left out.
    #[param(nullable = false, minimum = 0, maximum = 18_446_744_073_709_551_615_u64)]
    since: Option<u128>,
    /// At most so many.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// The parameters of a subscription.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub(super) struct LiveQuery {
    /// The last version seen: what came after it is sent, as far as the history reaches.
    #[param(nullable = false, minimum = 0, maximum = 18_446_744_073_709_551_615_u64)]
    since: Option<u128>,
}

/// Headers of a request to an object.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description")]
pub(super) struct RequestHeaders {
    /// Milliseconds after which the caller stops waiting; it shortens the server's deadline.
    #[param(nullable = false, rename = "X-Request-Timeout", pattern = "^0*[1-9][0-9]*$", example = "5000")]
    timeout: Option<String>,
    /// Only at this version, `"3"`; `"0"`: only if the object does not exist.
    #[param(nullable = false, rename = "If-Match", pattern = "^\"[0-9]{1,18}\"$")]
    if_match: Option<String>,
}

/// Headers of a write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description")]
pub(super) struct WriteHeaders {
    /// The write takes effect once, however often it is sent with this key to this object.
    #[param(nullable = false, rename = "Idempotency-Key", pattern = "^[!-~]{1,255}$")]
    idempotency_key: Option<String>,
}

/// Headers of a subscription.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description")]
pub(super) struct LiveHeaders {
    /// Counts as `since`, and goes before it.
    #[param(nullable = false, rename = "Last-Event-ID", pattern = "^[0-9]{1,18}$")]
    last_event_id: Option<String>,
}

/// The keys of a new object, and their values.
pub(super) struct NewState;

impl PartialSchema for NewState {
    fn schema() -> RefOr<Schema> {
        let key = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(KEY_MAX_BYTES));
        let any = AdditionalProperties::FreeForm(true);
        ObjectBuilder::new().property_names(Some(key)).additional_properties(Some(any)).into()
    }
}

impl ToSchema for NewState {}

/// A page of objects.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct ObjectList {
    objects: Vec<ObjectRow>,
    /// Where the next page begins; `null` after the last.
    #[schema(required)]
    cursor: Option<String>,
}

/// An object in a list.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct ObjectRow {
    class: String,
    name: String,
    version: u64,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// An object.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct ObjectAnswer {
    class: String,
    name: String,
    version: u64,
    /// Every key and its value.
    #[schema(value_type = Object)]
    state: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// An object that was written.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct Written {
    class: String,
    name: String,
    version: u64,
}

/// What a method gave back.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct MethodAnswer {
    /// Any JSON.
    result: serde_json::Value,
    version: u64,
}

/// A key and its value.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct KeyAnswer {
    key: String,
    /// Any JSON.
    value: serde_json::Value,
    version: u64,
}

/// A key that was written.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct KeyWritten {
    key: String,
    version: u64,
}

/// A new value.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct NewValue {
    /// Any JSON, up to 2 MiB.
    value: serde_json::Value,
}

/// A page of an object's keys.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct EntryPage {
    entries: Vec<Entry>,
    /// Where the next page begins; `null` after the last.
    #[schema(required)]
    cursor: Option<String>,
    version: u64,
}

/// A key and its value.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct Entry {
    key: String,
    /// Any JSON.
    value: serde_json::Value,
}

/// Updates that an object keeps.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct UpdatePage {
    updates: Vec<UpdateEntry>,
    version: u64,
    /// Whether the history reached back to `since`.
    complete: bool,
}

/// One update: the keys put, the keys deleted, and what did it. A deletion of the object has
/// `deleted_object`, an update too large to keep has `too_large`, and neither has more.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct UpdateEntry {
    /// `class/name`.
    object: String,
    version: u64,
    /// Keys and their new values.
    #[schema(value_type = Option<Object>, nullable = false)]
    changes: Option<String>,
    #[schema(nullable = false)]
    deleted: Option<Vec<String>>,
    #[schema(nullable = false)]
    cleared: Option<bool>,
    #[schema(nullable = false)]
    method: Option<String>,
    #[schema(nullable = false)]
    by: Option<String>,
    #[schema(nullable = false, format = DateTime)]
    timestamp: Option<String>,
    #[schema(nullable = false)]
    deleted_object: Option<bool>,
    #[schema(nullable = false)]
    too_large: Option<bool>,
    /// A document's change of its text, in Quill's form.
    #[schema(value_type = Option<Vec<Object>>, nullable = false)]
    delta: Option<String>,
}

/// A page of versions, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct VersionList {
    versions: Vec<VersionRow>,
    /// Where the next page begins; `null` after the last.
    #[schema(required)]
    cursor: Option<String>,
}

/// A version that can be read.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct VersionRow {
    version: u64,
    #[schema(format = DateTime)]
    timestamp: String,
    /// Who made it.
    by: String,
}

/// A document as it was at a version.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct VersionAnswer {
    version: u64,
    content: String,
}

/// Where an object lives.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct LocationAnswer {
    /// The object's opaque id.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    id: String,
    #[schema(maximum = 16383)]
    slot: u16,
    shard: u16,
    /// The node that leads the shard, if one is known.
    #[schema(required)]
    leader: Option<u64>,
    replicas: Vec<u64>,
}

/// An object of the worker-compatible API.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "a description")]
pub(super) struct CompatiblePath {
    /// The name of an object of class `object`, as it stands in the path.
    #[param(
        min_length = 1,
        max_length = 512,
        pattern = r"^(?!\.{1,2}$)[^\x00-\x1f\x7f-\x9f]+$",
        example = "visits"
    )]
    id: String,
}

/// The worker's word for done.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct Success {
    success: bool,
}

/// The worker's state.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct CompatibleState {
    /// Every key and its value.
    #[schema(value_type = Object)]
    data: String,
}

/// A key that the worker wrote.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct CompatibleWritten {
    success: bool,
    key: String,
}

/// What a method gave back; the keys of an object stand beside it too.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct CompatibleResult {
    success: bool,
    /// Any JSON.
    result: serde_json::Value,
}

/// What a method was refused with.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct CompatibleRefusal {
    success: bool,
    error: String,
}

/// A key that the worker has.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description")]
pub(super) struct CompatibleEntry {
    key: String,
    /// Any JSON.
    value: serde_json::Value,
}
