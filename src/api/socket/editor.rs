//! The life of a Yjs editor's socket: the y-websocket protocol on one document.
//!
//! Either side tells the other what it knows (step 1) and is sent what it lacks (step 2); from then on each sends its
//! changes. What the editor sends becomes one call at a time: what comes meanwhile is gathered into the next, and while
//! much is gathered the socket is not read. A call that may not have had its effect is made again until the socket
//! goes, for a change that is known already changes nothing. An update is passed on once it is durable, to the editor
//! that made it too: by that it knows that the connection works.
//!
//! An editor never has to notice that the leader changed: what did not come as an update is asked of the
//! document, as the difference to what it knew when the editor was last told everything.

mod awareness;
mod message;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use hyper::upgrade::OnUpgrade;

use super::keepalive::Keepalive;
use super::wire::{Arrival, CloseCode, End, Wire, close_code};
use crate::api::{ApiState, Place};
use crate::caller::Caller;
use crate::error::{Code, Error, Retry};
use crate::limits::BODY_MAX_BYTES;
use crate::live::{Event, LivePresence, LiveUpdate, Opening, Subscription};
use crate::object::ObjectAddress;
use crate::runtime::{Action, Answer, Member, Outcome};
use crate::telemetry::Transport;
use awareness::{Awareness, Change};
use message::Message;

/// Bytes of updates that wait for the call before them; the frame that exceeds it is the last that is read.
const GATHERED_MAX_BYTES: usize = BODY_MAX_BYTES;
/// Updates that wait for the call before them.
const GATHERED_MAX: usize = 1_000;
/// Questions of an editor what it lacks that wait for their answer.
const QUESTIONS_MAX: usize = 4;
/// What one burst writes before the connection is looked at again, in bytes.
const BURST_BYTES: usize = 64 * 1024;
/// Before a call is made again that the document could not take.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);
/// Times in a row that an editor is asked for everything, and what it sends lacks something nevertheless.
const RESYNCS_MAX: u32 = 8;
/// What a document knows that nobody has written: the state vector of nothing.
const KNOWS_NOTHING: Bytes = Bytes::from_static(&[0]);

/// Lives until the editor goes, or the socket must be closed.
///
/// What happens once is boxed: a socket idles for hours, and its task is as large as its largest state.
pub(super) async fn run(api: ApiState, connection: OnUpgrade, caller: Caller, address: ObjectAddress) {
    if let Some((mut session, _place)) = Box::pin(begin(api, connection, caller, address)).await {
        let end = session.live().await;
        Box::pin(session.end(end)).await;
    }
}

async fn begin(
    api: ApiState,
    connection: OnUpgrade,
    caller: Caller,
    address: ObjectAddress,
) -> Option<(Box<Session>, Place)> {
    // A connection that broke before it was handed over is no socket.
    let wire = Wire::of(connection.await.ok()?).await;
    let Some(place) = api.take_socket(Transport::editors) else {
        wire.close(CloseCode::TooMany, "the node has too many sockets; come back after a pause").await;
        return None;
    };
    match subscribe(&api, caller, &address).await {
        Err(error) => {
            wire.close(close_code(&error), &error.detail).await;
            None
        }
        Ok((caller, known, subscription)) => {
            let desk = Desk { api, caller, address };
            Some((Box::new(Session::begin(desk, wire, known, subscription)), place))
        }
    }
}

/// Subscribes from the version at which the document says what it knows. So its whole text is not read: an editor
/// asks for what it lacks.
async fn subscribe(
    api: &ApiState,
    mut caller: Caller,
    address: &ObjectAddress,
) -> Result<(Caller, Bytes, Subscription), Error> {
    caller.deadline = Instant::now() + api.settings().request_deadline;
    let answer = api.runtime().call(&caller, address, Action::Difference { known: None }.into()).await?;
    let (_, known) = difference(answer.outcome);
    let subscription = api.hub().subscribe(&caller, address, Some(answer.version)).await?;
    Ok((caller, known, subscription))
}

fn difference(outcome: Outcome) -> (Bytes, Bytes) {
    match outcome {
        Outcome::Difference { missing, known } => (missing, known),
        other => unreachable!("a difference is answered by one, not {other:?}"),
    }
}

/// Where a session asks its document.
struct Desk {
    api: ApiState,
    caller: Caller,
    address: ObjectAddress,
}

impl Desk {
    /// Asks the document, after a pause if it could not answer before.
    fn ask(&self, action: Action, pause: Option<Duration>) -> BoxFuture<'static, Result<Answer, Error>> {
        let runtime = self.api.runtime().clone();
        let (mut caller, address) = (self.caller.clone(), self.address.clone());
        let within = self.api.settings().request_deadline;
        async move {
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            caller.deadline = Instant::now() + within;
            runtime.call(&caller, &address, action.into()).await
        }
        .boxed()
    }
}

/// A question to the document.
#[derive(Debug, Clone)]
enum Question {
    /// The editor knows this and wants what it lacks.
    OfEditor(Bytes),
    /// Updates may not have come here; this is what the document knew when the editor was told everything.
    Missed(Bytes),
    /// What does the document know? The editor is to send what it lacks.
    Known,
}

impl Question {
    fn action(&self) -> Action {
        match self {
            Self::OfEditor(known) | Self::Missed(known) => Action::Difference { known: Some(known.clone()) },
            Self::Known => Action::Difference { known: None },
        }
    }
}

/// Something asked of the document.
struct Asked<T> {
    what: T,
    answer: BoxFuture<'static, Result<Answer, Error>>,
}

/// What an editor sent that waits to be applied.
#[derive(Debug, Clone, Default)]
struct Gathered {
    updates: Vec<Bytes>,
    bytes: usize,
    /// Whether it has all that the editor has.
    is_all: bool,
}

impl Gathered {
    fn add(&mut self, update: Bytes, is_all: bool) {
        self.bytes += update.len();
        self.is_all |= is_all;
        // What came before may lack something that is in here.
        let at = if is_all { 0 } else { self.updates.len() };
        self.updates.insert(at, update);
    }

    fn has_room(&self) -> bool {
        self.bytes < GATHERED_MAX_BYTES && self.updates.len() < GATHERED_MAX
    }
}

struct Session {
    desk: Desk,
    wire: Wire,
    subscription: Subscription,
    keepalive: Keepalive,
    awareness: Awareness,
    gathered: Gathered,
    edit: Option<Asked<Gathered>>,
    questions: VecDeque<Question>,
    question: Option<Asked<Question>>,
    /// What the document knew when the editor was last told everything.
    known: Bytes,
    /// Updates went by without what editors apply: the document is to be asked.
    missed: bool,
    /// What the editor sent lacked something. It was asked for all that it has, and nothing before that helps.
    awaits_all: bool,
    resyncs: u32,
    /// What was said at once since everything was written, in bytes.
    said_bytes: usize,
    /// The server stops: nothing more is read, what was asked is answered.
    leaving: bool,
}

impl Session {
    fn begin(desk: Desk, wire: Wire, known: Bytes, mut subscription: Subscription) -> Self {
        let (missed, present) = match subscription.take_opening() {
            Opening::Init { present, .. } => (true, present),
            Opening::Resumed { present, .. } => (false, present),
        };
        let keepalive = Keepalive::every(desk.api.settings().ping_interval);
        let mut session = Self {
            desk,
            wire,
            subscription,
            keepalive,
            awareness: Awareness::default(),
            gathered: Gathered::default(),
            edit: None,
            questions: VecDeque::new(),
            question: None,
            known,
            missed,
            awaits_all: false,
            resyncs: 0,
            said_bytes: 0,
            leaving: false,
        };
        session.say(&Message::Step1(session.known.clone()));
        session.moved(&LivePresence::new(present, Vec::new(), Vec::new()));
        session
    }

    async fn live(&mut self) -> End {
        loop {
            if let Some(end) = self.step().await {
                return end;
            }
        }
    }

    async fn end(self: Box<Self>, end: End) {
        let Self { wire, subscription, .. } = *self;
        // The subscription's queue is freed before the goodbye, which may take its time.
        drop(subscription);
        wire.end(end).await;
    }

    async fn step(&mut self) -> Option<End> {
        self.ask();
        let clear = self.wire.is_clear();
        if self.leaving && clear && self.edit.is_none() && self.question.is_none() {
            return Some(End::Closed(CloseCode::GoingAway, self.subscription.version().to_string()));
        }
        // An editor that asks and does not read its answers is not heard for as long.
        let room =
            self.gathered.has_room() && self.questions.len() < QUESTIONS_MAX && self.said_bytes < BURST_BYTES;
        let reading = room && !self.leaving;
        tokio::select! {
            biased;
            () = self.keepalive.due() => self.keepalive.ping(&mut self.wire),
            arrival = self.wire.next(reading) => self.arrived(arrival),
            event = self.subscription.next(), if clear && !self.leaving => self.happened(event),
            (gathered, answer) = answered(&mut self.edit), if self.edit.is_some() => {
                self.edited(gathered, answer)
            }
            (question, answer) = answered(&mut self.question), if clear && self.question.is_some() => {
                self.told(question, answer)
            }
        }
    }

    /// Asks what waits to be asked.
    fn ask(&mut self) {
        if self.edit.is_none() && !self.gathered.updates.is_empty() {
            let what = std::mem::take(&mut self.gathered);
            let answer = self.desk.ask(Action::Edit { updates: what.updates.clone() }, None);
            self.edit = Some(Asked { what, answer });
        }
        if self.question.is_some() {
            return;
        }
        let next = if std::mem::take(&mut self.missed) {
            Some(Question::Missed(self.known.clone()))
        } else {
            self.questions.pop_front()
        };
        if let Some(what) = next {
            let answer = self.desk.ask(what.action(), None);
            self.question = Some(Asked { what, answer });
        }
    }

    fn arrived(&mut self, arrival: Arrival) -> Option<End> {
        if !matches!(arrival, Arrival::Written) {
            self.keepalive.heard();
        }
        match arrival {
            Arrival::Binary(frame) => return self.received(&frame),
            Arrival::Text(_) => return Some(malformed(&"editors send binary frames")),
            Arrival::Written => self.said_bytes = 0,
            Arrival::Alive => {}
            Arrival::Gone => return Some(End::Gone),
            Arrival::Broken(code) => return Some(End::broken(code)),
        }
        None
    }

    fn received(&mut self, frame: &Bytes) -> Option<End> {
        match Message::decode(frame) {
            Ok(Message::Step1(known)) => self.questions.push_back(Question::OfEditor(known)),
            Ok(Message::Step2(update)) => {
                self.awaits_all = false;
                self.gathered.add(update, true);
            }
            Ok(Message::Update(update)) if !self.awaits_all => self.gathered.add(update, false),
            Ok(Message::Update(_) | Message::Other) => {}
            Ok(Message::Awareness(news)) => match self.awareness.receive(&news) {
                Ok(changes) => self.shows(changes),
                Err(error) => return Some(malformed(&error)),
            },
            Ok(Message::QueryAwareness) => self.say_awareness(self.awareness.everyone()),
            Err(error) => return Some(malformed(&error)),
        }
        None
    }

    /// Writes an event, and with it whatever else is ready, as one burst.
    fn happened(&mut self, event: Event) -> Option<End> {
        let mut event = Some(event);
        while let Some(next) = event {
            match next {
                Event::Update(update) => self.updated(&update),
                Event::Presence(presence) => self.moved(&presence),
                // Editors have no word for it.
                Event::Signal(_) => {}
                Event::Reset(opening) => {
                    self.missed = true;
                    if let Opening::Init { present, .. } = opening {
                        self.moved(&LivePresence::new(present, Vec::new(), Vec::new()));
                    }
                }
                // What was passed on is written first; then the subscription says the same again.
                Event::TooSlow { .. } if !self.wire.is_clear() => break,
                Event::TooSlow { version } => {
                    return Some(End::Closed(CloseCode::TooSlow, version.to_string()));
                }
                Event::GoingAway { .. } => {
                    self.leaving = true;
                    break;
                }
            }
            let room = self.wire.waiting_bytes() < BURST_BYTES;
            event = if room { self.subscription.next().now_or_never() } else { None };
        }
        None
    }

    fn updated(&mut self, update: &LiveUpdate) {
        match &update.binary {
            Some(binary) => self.say(&Message::Update(binary.clone())),
            None => self.missed = true,
        }
        if update.deleted_object {
            // It begins anew, and the editor is to send what it still has once it writes again.
            self.known = KNOWS_NOTHING;
        }
    }

    /// Others came, went, or show something else.
    fn moved(&mut self, presence: &LivePresence) {
        let entered = presence.joined.iter().chain(&presence.changed);
        let entered = entered.map(|member| (&*member.id, &member.data, member.clock));
        let news = self.awareness.hear(entered, presence.left.iter().map(|id| &**id));
        self.say_awareness(news);
    }

    /// The editor shows something else of itself: all others are told.
    fn shows(&mut self, changes: Vec<Change>) {
        let echo = self.awareness.echo(&changes);
        self.say_awareness(echo);
        for change in changes {
            match change {
                Change::Enter { id, state: data, clock, .. } => {
                    // What is too much is not shown to others; the editor has no word for that.
                    if let Err(error) = self.subscription.enter(Member { id: id.into(), data, clock }) {
                        tracing::debug!(%error, "an editor is not shown");
                    }
                }
                Change::Exit { id } => self.subscription.exit(&id.into()),
            }
        }
    }

    /// What came of the editor's updates.
    fn edited(&mut self, gathered: Gathered, answer: Result<Answer, Error>) -> Option<End> {
        match answer {
            Ok(_) => {
                self.resyncs = 0;
                None
            }
            Err(error) if is_repeated(&error) => {
                if !self.leaving {
                    let action = Action::Edit { updates: gathered.updates.clone() };
                    let answer = self.desk.ask(action, Some(REPEAT_PAUSE));
                    self.edit = Some(Asked { what: gathered, answer });
                }
                None
            }
            Err(error) if error.code == Code::Conflict => self.lacks_something(gathered.is_all, &error),
            Err(error) => Some(refused(&error)),
        }
    }

    /// The editor's updates build on others that the document does not have: it is asked for all that it has.
    fn lacks_something(&mut self, was_all: bool, error: &Error) -> Option<End> {
        if self.gathered.is_all {
            // All that it has came meanwhile.
            return None;
        }
        self.resyncs += u32::from(was_all);
        if self.resyncs > RESYNCS_MAX {
            return Some(End::Closed(CloseCode::GoingAway, error.detail.clone().into_owned()));
        }
        self.gathered = Gathered::default();
        self.awaits_all = true;
        self.questions.push_back(Question::Known);
        None
    }

    /// What the document answered.
    fn told(&mut self, question: Question, answer: Result<Answer, Error>) -> Option<End> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_repeated(&error) => {
                if !self.leaving {
                    let answer = self.desk.ask(question.action(), Some(REPEAT_PAUSE));
                    self.question = Some(Asked { what: question, answer });
                }
                return None;
            }
            Err(error) => return Some(refused(&error)),
        };
        let (missing, known) = difference(answer.outcome);
        match question {
            Question::OfEditor(_) => {
                self.known = known;
                self.say(&Message::Step2(missing));
            }
            Question::Missed(_) => {
                self.known = known;
                self.say(&Message::Update(missing));
            }
            Question::Known => self.say(&Message::Step1(known)),
        }
        None
    }

    fn say(&mut self, message: &Message) {
        self.wire.say_binary(message.encode());
    }

    fn say_awareness(&mut self, news: Option<Bytes>) {
        if let Some(news) = news {
            self.said_bytes += news.len();
            self.say(&Message::Awareness(news));
        }
    }
}

/// Waits for the answer to what was asked, and takes both out. Cancel safe.
async fn answered<T>(asked: &mut Option<Asked<T>>) -> (T, Result<Answer, Error>) {
    let Some(waiting) = asked else { return std::future::pending().await };
    let answer = (&mut waiting.answer).await;
    match asked.take() {
        Some(Asked { what, .. }) => (what, answer),
        None => unreachable!("it was there a moment ago"),
    }
}

/// Whether the same is asked again: it may not have had its effect, and may have it later.
fn is_repeated(error: &Error) -> bool {
    error.retry != Retry::Never && error.code != Code::Internal
}

fn refused(error: &Error) -> End {
    let code = match error.code {
        Code::InvalidParameters => CloseCode::NotText,
        Code::BodyTooLarge => CloseCode::TooLarge,
        _ => close_code(error),
    };
    End::Closed(code, error.detail.clone().into_owned())
}

fn malformed(why: &dyn std::fmt::Display) -> End {
    End::Closed(CloseCode::NotText, why.to_string())
}
