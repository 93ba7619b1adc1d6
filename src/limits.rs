//! Every limit of the server, with its unit and its reason. The relations between them are asserted
//! when the crate is compiled.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Longest object name, in bytes of UTF-8.
pub const NAME_MAX_BYTES: usize = 512;
/// Longest class name, in bytes.
pub const CLASS_MAX_BYTES: usize = 64;
/// Longest tenant, in bytes.
pub const TENANT_MAX_BYTES: usize = 63;
/// Longest key, in bytes of UTF-8.
pub const KEY_MAX_BYTES: usize = 2_048;
/// Largest value under a key, in bytes of its JSON text.
pub const VALUE_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Largest request body and WebSocket frame from a client, in bytes.
pub const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Deepest nesting of arrays and objects in JSON: what a parser's stack can surely hold.
pub const JSON_MAX_DEPTH: usize = 128;
/// Largest state given in one answer, in bytes of JSON.
pub const STATE_ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Most keys an object may have.
pub const OBJECT_MAX_KEYS: u64 = 1_000_000;
/// Largest state of an object, in bytes of keys and values.
pub const OBJECT_MAX_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// Largest document, in bytes of its encoded Yjs state.
pub const DOCUMENT_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Versions of a document that are kept one by one.
pub const DOCUMENT_VERSIONS_MAX: u64 = 1_000;
/// Bytes of what leads back to them; with more, fewer are kept.
pub const DOCUMENT_VERSIONS_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// How long the last version of each hour is kept beyond those, in milliseconds.
pub const DOCUMENT_HOURS_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Bytes of such versions, which are whole texts; with more, the oldest go.
pub const DOCUMENT_HOURS_MAX_BYTES: u64 = 128 * 1024 * 1024;
/// The way back over one change, or whole texts of one commit, at most, in bytes: what goes beyond ends the versions
/// that can be read, so that a commit fits into an entry.
pub const DOCUMENT_VERSION_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Updates an object keeps for subscribers that come back.
pub const HISTORY_MAX_UPDATES: u64 = 256;
/// Bytes of updates an object keeps.
pub const HISTORY_MAX_BYTES: u64 = 1024 * 1024;
/// Calls that may wait for their turn in one object's mailbox; enforced as a part of [`CALLS_ADMITTED_MAX`].
pub const MAILBOX_MAX_CALLS: usize = 1_024;
/// Commits of one object on their way at once; with so many, no further turn begins.
pub const COMMITS_IN_FLIGHT_MAX: u64 = 1_024;
/// Calls one object may have unanswered: in the mailbox, or on their way. Beyond it `overloaded`.
pub const CALLS_ADMITTED_MAX: usize = 2_048;
/// An object with at most so many keys is loaded whole.
pub const ACTIVATION_LOAD_KEYS: usize = 64;
/// An object whose keys and values have at most so many bytes is loaded whole.
pub const ACTIVATION_LOAD_MAX_BYTES: usize = 64 * 1024;
/// Keys and values an activation holds in memory, in bytes; beyond it they are read again when needed.
pub const ACTIVATION_CACHE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Objects of a shard whose last commit apply remembers, to check the next one without a look at the disk.
pub const BASES_KEPT: NonZeroUsize = NonZeroUsize::new(8_192).expect("it is not zero");
/// Activations looked at or put to sleep while the registry is held: what takes well below a millisecond.
pub const PASSIVATIONS_A_SWEEP: usize = 1_024;
/// Longest idempotency key, in visible ASCII characters.
pub const IDEMPOTENCY_KEY_MAX_BYTES: usize = 255;
/// How long an idempotency record is kept, in milliseconds.
pub const RECORD_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long an idempotency record is kept at the very least, in milliseconds.
pub const RECORD_KEPT_MIN_MS: u64 = 10 * 60 * 1_000;
/// Newer records after which an older one may go.
pub const RECORDS_MAX: u64 = 1_000_000;
/// Bytes of recorded answers of one object after which older ones may go.
pub const RECORDS_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Idempotency records that one commit drops at most: it stays small whatever there is to drop.
pub const RECORDS_DROPPED_MAX: usize = 256;
/// How long the tombstone of a deleted object keeps its last version, in milliseconds.
pub const TOMBSTONE_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Times an alarm is tried before it is kept and reported.
pub const ALARM_MAX_ATTEMPTS: u8 = 6;
/// Pause after the first failed try of an alarm, in milliseconds; it doubles with each.
pub const ALARM_BACKOFF_MS: u64 = 2_000;
/// Timers of this node given to their objects at once.
pub const TIMERS_AT_ONCE: usize = 256;
/// How often a node looks for timers although it knows of none: those of shards it has begun to lead.
pub const TIMER_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause before a timer is looked at again whose object could not take it.
pub const TIMER_RETRY_AFTER: Duration = Duration::from_millis(100);
/// Rows in one page of a list.
pub const PAGE_MAX: usize = 1_000;
/// Rows in one page of a list when the client does not say.
pub const PAGE_DEFAULT: usize = 100;
/// Updates that may wait between an object's leader and a gateway; beyond it the gateway reads the history.
pub const STREAM_MAX_UPDATES: usize = 1_024;
/// Bytes of log entries that a class feed reads at once: few enough events that a subscriber's queue holds several
/// times as many.
pub const FEED_PAGE_BYTES: usize = 64 * 1024;
/// Parts of a class feed that may wait for the one who puts them together on a gateway.
pub const FEED_PARTS_WAITING: usize = 16;
/// How often a shard in which nothing of a class happens tells its feed how far it has come, so that cursors stay new.
pub const FEED_POSITION_EVERY: Duration = Duration::from_secs(1);
/// Entries that a subscriber of a feed may be behind when its queue begins to fill.
pub const FEED_JOIN_ENTRIES: u64 = 256;
/// Times a subscriber of a feed catches up before its queue begins to fill however far it is behind.
pub const FEED_JOIN_ROUNDS: u32 = 4;
/// How long the other nodes are waited for when an operator asks how the cluster is.
pub const SURVEY_WITHIN: Duration = Duration::from_secs(1);
/// Pause before a call is tried again that found no leader; it doubles with each try.
pub const RETRY_PAUSE_FIRST: Duration = Duration::from_millis(2);
/// The longest such pause.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_millis(50);
/// The longest pause before a stream of updates is opened again for which no leader was found: streams are many.
pub const RELAY_PAUSE_MAX: Duration = Duration::from_millis(500);
/// How often a leader looks, of each stream that another node reads, whether its lease has run out.
pub const SERVED_LOOK_EVERY: Duration = Duration::from_secs(5);
/// Members that may be present at one object.
pub const PRESENT_MAX: usize = 2_048;
/// What all members present at one object show of themselves, in bytes of ids and JSON.
pub const PRESENT_MAX_BYTES: usize = 8 * 1024 * 1024;
/// What one member shows of itself, in bytes of JSON.
pub const PRESENCE_MAX_BYTES: usize = 16 * 1024;
/// What one signal tells, in bytes of JSON.
pub const SIGNAL_MAX_BYTES: usize = 64 * 1024;
/// Signals to one object that may wait at a gateway for its leader; beyond it they are refused.
pub const SIGNALS_WAITING_MAX: usize = 256;
/// The same in bytes of JSON.
pub const SIGNALS_WAITING_MAX_BYTES: usize = 1024 * 1024;
/// How long those count as present whose gateway is not heard of: it may just be opening its stream again.
pub const PRESENCE_GRACE: Duration = Duration::from_secs(2);
/// How long an object's leader may take to hear who is present through a gateway.
pub const ANNOUNCED_WITHIN: Duration = Duration::from_secs(5);
/// How long a subscription that begins waits to be told who is present.
pub const PRESENCE_KNOWN_WITHIN: Duration = Duration::from_secs(1);
/// How often a gateway that waits for an answer looks whether who was asked still leads.
pub const LEADER_LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a node that leads no more may take to answer what it was asked while it did.
pub const DEPOSED_ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// Rows of one shard in one answer to a gateway that gathers a list, at most; also those of all its shards there.
pub const GATHER_ROWS_MAX: usize = PAGE_MAX + 1;
/// Samples of all nodes that are added up of one day, at most: a sample a minute of a hundred nodes, and more.
pub const METRICS_DAY_SAMPLES_MAX: usize = 256 * 1_024;
/// Days for which metrics samples are kept.
pub const METRICS_KEPT_DAYS: u32 = 90;
/// How long a dashboard is shown before its figures are computed again; also how often it is sent to those who watch it.
pub const DASHBOARD_EVERY: Duration = Duration::from_secs(5);
/// Changes that a list reads in one call, at most: a page may be short, and says where it stopped.
pub const LIST_READS_MAX: usize = 10_000;
/// Changes that a report or a dashboard reads, at most; a report says where it stopped.
pub const REPORT_CHANGES_MAX: u64 = 1_000_000;
/// Changes that a node's dashboard remembers the figures of; beyond them it asks each anew.
pub const DASHBOARD_REMEMBERED_MAX: usize = 100_000;
/// Ids and violations that a report shows in each of its lists, at most; a count beside it says how many there are.
pub const REPORT_LISTED_MAX: usize = 1_000;
/// Changes that one list or report asks at once.
pub const CHANGES_ASKED_AT_ONCE: usize = 32;
/// How long one step of a report may take: all of it may take longer than a request's deadline.
pub const REPORT_STEP_WITHIN: Duration = Duration::from_secs(10);
/// Times a change is made under another id when one is taken, until something else must be wrong.
pub const CHANGE_IDS_TRIED: usize = 4;
/// Versions of the policy that a node remembers, for reports on what happened under them.
pub const POLICY_VERSIONS_REMEMBERED: usize = 256;
/// Largest log entry, in bytes: the largest document and what goes with it.
pub const ENTRY_MAX_BYTES: usize = 48 * 1024 * 1024;
/// Applied entries a shard's log keeps for replicas that lag.
pub const LOG_KEPT_ENTRIES: u64 = 100_000;
/// Bytes of applied entries a shard's log keeps for replicas that lag.
pub const LOG_KEPT_BYTES: u64 = 256 * 1024 * 1024;
/// Frames that may wait for one subscriber; beyond it the socket is closed with 4508.
pub const SUBSCRIBER_MAX_FRAMES: usize = 1_024;
/// Bytes that may wait for one subscriber; beyond it the socket is closed with 4508.
pub const SUBSCRIBER_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Subscriptions of one socket; beyond it the socket is closed with 4529.
pub const SOCKET_MAX_SUBSCRIPTIONS: usize = 10_000;
/// Values that a completion offers at once, as the protocol bounds them.
pub const COMPLETIONS_MAX: usize = 100;
/// Requests of one client over standard input and output that are on their way at once; beyond it the input waits.
pub const MCP_STDIO_REQUESTS_MAX: usize = 64;
/// Times that an answer is taken up again whose connection broke, and tries of each.
pub const MCP_STDIO_RESUMES_MAX: u32 = 5;
/// Pause before such a try; it grows with each.
pub const MCP_STDIO_RESUME_PAUSE: Duration = Duration::from_millis(300);
/// Failures in a row after which another MCP server is not asked for a while.
pub const UPSTREAM_FAILURES_MAX: u32 = 5;
/// How long it is not asked then.
pub const UPSTREAM_OPEN_FOR: Duration = Duration::from_secs(30);
/// How long another MCP server may take to begin: a package manager may have to fetch it first.
pub const UPSTREAM_START_WITHIN: Duration = Duration::from_mins(2);
/// How long another MCP server may take to list what it offers.
pub const UPSTREAM_LIST_WITHIN: Duration = Duration::from_secs(30);
/// How long a child process may take to end by itself.
pub const UPSTREAM_STOPS_WITHIN: Duration = Duration::from_secs(7);
/// Pause before an MCP server that ended is begun again; it doubles with each time.
pub const UPSTREAM_PAUSE_FIRST: Duration = Duration::from_millis(500);
/// The longest such pause.
pub const UPSTREAM_PAUSE_MAX: Duration = Duration::from_mins(1);
/// A server that ran for so long is begun again as if it had never failed.
pub const UPSTREAM_WELL_AFTER: Duration = Duration::from_mins(1);
/// Longest line of a child's standard error in the log, in bytes; a longer one comes in pieces.
pub const UPSTREAM_LOG_LINE_MAX_BYTES: usize = 8 * 1024;

/// What a running MCP request has told its client and is not yet sent, in messages.
pub const MCP_OUTBOX_MAX: usize = 64;
/// Events that an MCP session keeps for streams that are resumed.
pub const MCP_SESSION_EVENTS_MAX: u64 = 1_024;
/// The same in bytes of JSON.
pub const MCP_SESSION_EVENTS_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// The largest event that is kept so, in bytes of JSON.
pub const MCP_EVENT_MAX_BYTES: usize = 1024 * 1024;
/// Requests of an MCP session that answer with a stream at once.
pub const MCP_SESSION_STREAMS_MAX: usize = 64;
/// Resources that an MCP session is subscribed to; also those of one `subscriptions/listen`.
pub const MCP_SESSION_SUBSCRIPTIONS_MAX: usize = 1_000;
/// After how long without a request an MCP session ends, in milliseconds.
pub const MCP_SESSION_IDLE_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long a node that runs an MCP request counts as alive without word of it, in milliseconds.
pub const MCP_LEASE_MS: u64 = 30_000;
/// How often a node gives that word, in milliseconds.
pub const MCP_RENEW_EVERY_MS: u64 = 10_000;
/// Things that an MCP task may ask its client at once.
pub const MCP_TASK_INPUTS_MAX: usize = 64;
/// The largest result that an MCP task keeps, in bytes of JSON.
pub const MCP_TASK_RESULT_MAX_BYTES: usize = 16 * 1024 * 1024;
/// How long an MCP task is kept from its beginning, in milliseconds.
pub const MCP_TASK_TTL_MS: u64 = 60 * 60 * 1_000;
/// How often a client should look at its MCP task, in milliseconds.
pub const MCP_TASK_POLL_MS: u64 = 1_000;
/// How long a call may take before it becomes a task, where its client knows tasks.
pub const MCP_TASK_AFTER: Duration = Duration::from_secs(1);
/// How long a call that may become a task is let run.
pub const MCP_CALL_MAX: Duration = Duration::from_mins(5);
/// How long the client of an MCP request may take to answer a question.
pub const MCP_ANSWER_WITHIN: Duration = Duration::from_mins(10);
/// The largest answer of a client to a question, in bytes of JSON: it comes to who waits in an update.
pub const MCP_ANSWER_MAX_BYTES: usize = 512 * 1024;
/// How long an MCP request state is good for.
pub const MCP_STATE_TTL: Duration = Duration::from_hours(1);
/// Messages in one JSON-RPC batch.
pub const MCP_BATCH_MAX: usize = 100;
/// Rows in a page of tools, prompts or templates.
pub const MCP_PAGE: usize = 500;
/// MCP requests and tasks that go on without a connection on one node.
pub const MCP_RUNNING_MAX: usize = 10_000;
/// Between the comments that keep an MCP stream alive.
pub const MCP_COMMENT_EVERY: Duration = Duration::from_secs(15);

/// Longest title of a change request, in bytes; also of its requestor and its environment.
pub const CHANGE_NAME_MAX_BYTES: usize = 512;
/// Longest description and plan of a change request, and longest comment on one, in bytes.
pub const CHANGE_TEXT_MAX_BYTES: usize = 64 * 1024;
/// Longest reason, justification and remark of an approver, in bytes.
pub const CHANGE_REMARK_MAX_BYTES: usize = 4 * 1024;
/// Entries in one list of a change request: systems affected, changes it waits for, people to tell.
pub const CHANGE_LIST_MAX: usize = 1_000;
/// Longest entry in one of them, in bytes.
pub const CHANGE_ENTRY_MAX_BYTES: usize = 256;
/// Assessments of one change request, which lie under one key; also decisions on it.
pub const CHANGE_DECISIONS_MAX: usize = 200;
/// Factors that an assessor says something of.
pub const CHANGE_FACTORS_MAX: usize = 8;
/// What an assessor says of one factor, in bytes of its name and its JSON.
pub const CHANGE_FACTOR_MAX_BYTES: usize = 1024;
/// Audit records in the status of a change request: the last ones.
pub const CHANGE_STATUS_RECORDS: u64 = 20;
/// Bytes of audit records in one answer.
pub const CHANGE_TRAIL_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Audit records of one change request that a report reads; with more it says that it stopped.
pub const CHANGE_REPORT_RECORDS: usize = 10_000;
/// How long before its scheduled start a change may begin, in milliseconds.
pub const CHANGE_EARLY_START_MS: u64 = 15 * 60 * 1_000;
/// How long after an override its review is due, in milliseconds.
pub const CHANGE_REVIEW_WITHIN_MS: u64 = 72 * 60 * 60 * 1_000;
/// How far ahead a window is looked for, in days: a year, and a freeze.
pub const WINDOW_SEARCH_MAX_DAYS: u32 = 400;
/// Reservations of one day of the change calendar: what one answer can list.
pub const CALENDAR_DAY_MAX: usize = 10_000;
/// Entries in each list of a policy.
pub const POLICY_ENTRIES_MAX: usize = 256;
/// Longest id, name, role and keyword in a policy, in bytes.
pub const POLICY_TEXT_MAX_BYTES: usize = 256;
/// Most approvals that a policy may ask for.
pub const POLICY_APPROVALS_MAX: u32 = 1_000;
/// Most schedules that a policy may let overlap.
pub const POLICY_OVERLAPPING_MAX: u32 = 1_000;
/// Longest end of a quarter that a policy may freeze, in days: something of it has to be left.
pub const POLICY_QUARTER_END_MAX_DAYS: u32 = 60;
/// Longest time for a decision, in minutes: a year.
pub const POLICY_SLA_MAX_MINUTES: u32 = 366 * 24 * 60;
/// Largest weight in a risk's score, whose highest is 100.
pub const POLICY_WEIGHT_MAX: u32 = 100;

const _: () = assert!(VALUE_MAX_BYTES < BODY_MAX_BYTES, "a value arrives in a body");
const _: () = assert!(
    2 * CHANGE_DECISIONS_MAX * (CHANGE_REMARK_MAX_BYTES + CHANGE_NAME_MAX_BYTES) < VALUE_MAX_BYTES,
    "the decisions on a change fit under their key, even if each of their characters is escaped"
);
const _: () = assert!(
    CHANGE_DECISIONS_MAX * (CHANGE_FACTORS_MAX * CHANGE_FACTOR_MAX_BYTES) < VALUE_MAX_BYTES - 256 * 1024,
    "the assessments of a change fit under their key, with what the rules add"
);
const _: () = assert!(
    2 * (3 * CHANGE_TEXT_MAX_BYTES + 2 * CHANGE_LIST_MAX * CHANGE_ENTRY_MAX_BYTES) < VALUE_MAX_BYTES,
    "what an update replaces fits into one audit record"
);
const _: () = assert!(BODY_MAX_BYTES < STATE_ANSWER_MAX_BYTES, "what was put at once can be read at once");
const _: () = assert!(
    CALLS_ADMITTED_MAX as u64 == MAILBOX_MAX_CALLS as u64 + COMMITS_IN_FLIGHT_MAX,
    "an unanswered call is in the mailbox or on its way"
);
const _: () = assert!(
    DOCUMENT_MAX_BYTES + 2 * DOCUMENT_VERSION_MAX_BYTES < ENTRY_MAX_BYTES,
    "a document and what is kept of its past fit into an entry, whatever is done to it"
);
const _: () = assert!(PAGE_MAX <= LIST_READS_MAX, "a page of a list can be full");
const _: () = assert!(PRESENCE_MAX_BYTES < PRESENT_MAX_BYTES, "one member has room");
const _: () = assert!(SIGNAL_MAX_BYTES < SIGNALS_WAITING_MAX_BYTES, "one signal has room");
const _: () = assert!(PAGE_DEFAULT <= PAGE_MAX, "the default page is a page");
const _: () = assert!(RECORD_KEPT_MIN_MS < RECORD_KEPT_MS, "the least is less than the most");
const _: () = assert!(MCP_EVENT_MAX_BYTES < VALUE_MAX_BYTES, "an event is a value");
const _: () =
    assert!((MCP_ANSWER_MAX_BYTES as u64) < HISTORY_MAX_BYTES, "an answer is in the update of its commit");
const _: () = assert!(2 * MCP_RENEW_EVERY_MS < MCP_LEASE_MS, "a lease outlives a renewal that is late");
const _: () = assert!(MCP_TASK_RESULT_MAX_BYTES < ENTRY_MAX_BYTES, "a result fits into an entry");
