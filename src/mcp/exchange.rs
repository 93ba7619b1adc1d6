//! What a request can do while it runs: tell its client how far it is, and ask it something.
//!
//! The same for every era; how it reaches the client is not the request's business. What is told goes into an
//! [`Outbox`], from which whoever runs the request takes it. What is asked either waits for the client's answer (older
//! revisions, tasks) or ends the request for now: in the revision of 2026-07-28 the client asks again and brings the
//! answers along, and the request runs once more from its beginning. So what comes before a question must do no harm
//! when it is done twice.

mod detach;
mod level;
mod outbox;
mod question;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rmcp::model::{ClientCapabilities, ErrorData, Implementation};
use serde_json::{Map, Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::revision::Era;
use crate::caller::Caller;
use crate::limits::MCP_CALL_MAX;
use crate::object::idempotency::IdempotencyKey;

pub(super) use detach::Detach;
pub use level::Level;
pub(super) use outbox::{Outbox, Outgoing};
pub use question::Question;
pub(super) use question::missing_capability;

/// What a client said of itself.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Its name and version, if it gave them.
    pub info: Option<Implementation>,
    /// What it can do.
    pub capabilities: ClientCapabilities,
}

/// How the client is asked while the request waits.
pub(super) trait Asks: Send + Sync {
    /// Asks, and waits for the answers, in the order of the questions.
    fn ask(&self, questions: Vec<(String, Question)>) -> BoxFuture<'_, Result<Vec<Json>, Failure>>;
}

/// How a request asks its client.
pub(super) enum Asking {
    /// Not at all: it is a bare request without a session.
    Refused,
    /// It ends with the questions, and runs again with the answers.
    Rounds(Mutex<Rounds>),
    /// It waits.
    Waits(Arc<dyn Asks>),
}

/// What was asked and answered in the rounds of one request so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rounds {
    /// Answers of this and earlier rounds, by the question's key.
    pub(super) answers: BTreeMap<String, Json>,
    /// What is open.
    pub(super) open: BTreeMap<String, Question>,
    /// What the request keeps for its next round.
    pub(super) kept: Option<Json>,
}

/// A request while it runs.
pub struct Exchange {
    pub(super) caller: Caller,
    pub(super) era: Era,
    pub(super) client: Arc<Client>,
    pub(super) idempotency_key: Option<IdempotencyKey>,
    pub(super) progress_token: Option<Json>,
    pub(super) log_level: Option<Level>,
    pub(super) outbox: Arc<Outbox>,
    /// Its client comes back for a stream that ends early.
    pub(super) can_resume: bool,
    pub(super) asking: Asking,
    pub(super) detach: Detach,
    pub(super) cancelled: CancellationToken,
    /// The caller with more time: somebody was asked, or the call goes on as a task.
    pub(super) extended: OnceLock<Caller>,
}

impl Exchange {
    /// Who asks, and until when.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.extended.get().unwrap_or(&self.caller)
    }

    /// People may take longer to answer than a request may last.
    fn extend(&self) {
        self.extended.get_or_init(|| patient(&self.caller));
    }

    /// Which revisions its client speaks.
    #[must_use]
    pub fn era(&self) -> Era {
        self.era
    }

    /// What the client said of itself.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What it names its change by, if it did: the header `Idempotency-Key` or `_meta["stead/idempotency-key"]`.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.idempotency_key.as_ref()
    }

    /// Whether anybody wants to be told how far it is.
    #[must_use]
    pub fn wants_progress(&self) -> bool {
        self.progress_token.is_some() || self.detach.may()
    }

    /// A way to tell the client how far it is that outlives this borrow.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        Reporter { outbox: self.outbox.clone(), token: self.progress_token.clone() }
    }

    /// Tells the client how far it is, if it wants to know. While what was told before waits to be sent, this may be
    /// left out.
    pub fn progress(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        self.reporter().progress(done, total, message);
    }

    /// Tells the client what happens, if it wants to know of things of that level.
    pub async fn log(&self, level: Level, logger: Option<&str>, data: Json) {
        if self.log_level.is_none_or(|least| level < least) {
            return;
        }
        let mut params = json!({ "level": level, "data": data });
        if let (Some(logger), Some(params)) = (logger, params.as_object_mut()) {
            params.insert("logger".to_owned(), logger.into());
        }
        let message = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params });
        self.outbox.put(Outgoing::notice(&message)).await;
    }

    /// Asks the client something. The key is the question's own within this request.
    ///
    /// # Errors
    /// [`Failure::InputRequired`], to be passed on; an error of JSON-RPC if the client cannot be asked that.
    pub async fn ask(&self, key: &str, question: Question) -> Result<Json, Failure> {
        let mut answers = self.ask_all(vec![(key.to_owned(), question)]).await?;
        answers.pop().ok_or_else(|| Failure::internal("the client's answer was lost"))
    }

    /// Asks the client several things at once; gives the answers in the same order.
    ///
    /// # Errors
    /// As [`Exchange::ask`].
    pub async fn ask_all(&self, questions: Vec<(String, Question)>) -> Result<Vec<Json>, Failure> {
        if let Some((_, question)) =
            questions.iter().find(|(_, question)| !question.fits(&self.client.capabilities))
        {
            return Err(missing_capability(question.required()));
        }
        if let Some(task) = self.detach.task() {
            let answers = task.ask(questions).await;
            self.extend();
            return answers;
        }
        match &self.asking {
            Asking::Refused => Err(Failure::Rpc(ErrorData::invalid_request(
                "the tool asks its client something: that needs a session, which initialize begins, and a client that takes \
                 text/event-stream",
                None,
            ))),
            Asking::Waits(client) => {
                let answers = client.ask(questions).await;
                self.extend();
                answers
            }
            Asking::Rounds(rounds) => {
                let mut rounds = rounds.lock();
                let given = questions.iter().map(|(key, _)| rounds.answers.get(key).cloned());
                if let Some(answers) = given.collect::<Option<Vec<Json>>>() {
                    return Ok(answers);
                }
                for (key, question) in questions {
                    if !rounds.answers.contains_key(&key) {
                        rounds.open.insert(key, question);
                    }
                }
                Err(Failure::InputRequired)
            }
        }
    }

    /// An answer is not what was asked for: forgets it, so that it is asked again.
    pub fn forget_answer(&self, key: &str) {
        if let Asking::Rounds(rounds) = &self.asking {
            rounds.lock().answers.remove(key);
        }
    }

    /// What was kept in the round before, if this is not the first.
    #[must_use]
    pub fn kept(&self) -> Option<Json> {
        match &self.asking {
            Asking::Rounds(rounds) => rounds.lock().kept.clone(),
            Asking::Refused | Asking::Waits(_) => None,
        }
    }

    /// Keeps something for the next round. It goes through the client, which can read but not change it.
    pub fn keep(&self, kept: Json) {
        if let Asking::Rounds(rounds) = &self.asking {
            rounds.lock().kept = Some(kept);
        }
    }

    /// From here on the call is a task, if its client knows tasks and the tool allows it: the client has its answer,
    /// looks for the result when it likes, and what is asked it finds in the task. Otherwise nothing happens.
    ///
    /// # Errors
    /// When the task cannot be kept.
    pub async fn detach(&self) -> Result<(), Failure> {
        self.detach.ask().await?;
        if self.detach.task().is_some() {
            self.extend();
        }
        Ok(())
    }

    /// Ends the client's stream; it comes back for the rest. Only clients that can do that (sessions from 2025-11-25 on)
    /// are treated so.
    pub async fn break_off(&self) {
        if self.can_resume {
            self.outbox.put(Outgoing::BreakOff).await;
        }
    }

    /// Waits until the client takes its request back.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }
}

/// The same caller for what may take long.
pub(super) fn patient(caller: &Caller) -> Caller {
    caller.until(Instant::now() + MCP_CALL_MAX)
}

/// Tells a client how far its request is.
#[derive(Clone)]
pub struct Reporter {
    outbox: Arc<Outbox>,
    token: Option<Json>,
}

impl Reporter {
    /// As [`Exchange::progress`].
    pub fn progress(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        if self.outbox.is_of_task() {
            self.outbox.status(done, total, message);
            return;
        }
        let Some(token) = &self.token else { return };
        let mut params = Map::new();
        params.insert("progressToken".to_owned(), token.clone());
        params.insert("progress".to_owned(), number(done));
        if let Some(total) = total {
            params.insert("total".to_owned(), number(total));
        }
        if let Some(message) = message {
            params.insert("message".to_owned(), message.into());
        }
        let message = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params });
        self.outbox.offer(Outgoing::notice(&message));
    }
}

/// Whole numbers are written without a fraction.
fn number(value: f64) -> Json {
    #[expect(clippy::cast_possible_truncation, reason = "it is compared with what it was")]
    let whole = value as i64;
    #[expect(clippy::float_cmp, reason = "whether it is exactly whole is the question")]
    let is_whole = whole as f64 == value;
    if is_whole { whole.into() } else { json!(value) }
}
