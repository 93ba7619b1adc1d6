//! The Yjs document of an object: decoded in memory, and how it is kept under private keys.
//!
//! One snapshot and the updates since then, each under its number. A change appends its update; once the tail is
//! long, it writes a new snapshot instead and drops the tail, so that loading stays short. A commit has one new
//! update or a snapshot, never both, and so fits into an entry whatever is done.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::thread;

use bytes::Bytes;
use serde_json::Value as Json;
use yrs::block::ClientID;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Doc, GetString, Observable, OffsetKind, Options, ReadTxn, StateVector, Text, TextRef, Transact,
    TransactionMut, Update,
};

use crate::limits::DOCUMENT_MAX_BYTES;
use crate::object::{Page, Refusal, StorageError, Turn};

use super::super::Difference;
use super::screen::{CLIENT_ID_BITS, Screened, screen, state_vector};
use super::text::{Editing, units_of};
use super::{Outcome, delta, size, undo};

const SNAPSHOT: &str = "snapshot";
const TAIL: &str = "update/";
/// The name of the shared text, as editors know it.
const TEXT: &str = "content";
/// Updates after which the tail is folded into the snapshot, if it is not small beside it.
const TAIL_UPDATES: u64 = 256;
/// Updates after which it is folded in any case: a load applies them one by one.
const TAIL_UPDATES_MAX: u64 = 4_096;

/// A Yjs document and the measure of its keys.
pub(super) struct Shared {
    doc: Doc,
    text: TextRef,
    snapshot_bytes: usize,
    tail_bytes: usize,
    /// The number of the first update of the tail, and of the next.
    tail_first: u64,
    tail_next: u64,
}

impl Shared {
    /// The decoded document of the turn, loaded if it is absent, taken out to be changed.
    pub(super) fn take(turn: &mut Turn<'_>) -> Result<Box<Self>, Refusal> {
        match turn.take_decoded() {
            Some(shared) => Ok(shared),
            None => Self::load(turn),
        }
    }

    /// Loads it from its keys.
    pub(super) fn load(turn: &mut Turn<'_>) -> Result<Box<Self>, Refusal> {
        const PAGE: Page = Page { entries: 512, bytes: 4 * 1024 * 1024 };
        let mut shared = Self::empty(turn.random() >> (u64::BITS - CLIENT_ID_BITS));
        if let Some(snapshot) = turn.get_binary(SNAPSHOT)? {
            shared.snapshot_bytes = snapshot.len();
            shared.replay([snapshot.as_ref()])?;
        }
        let mut after = None;
        loop {
            let page = turn.list_binary(TAIL, after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            let last = last.as_str().to_owned();
            for (key, update) in &page {
                let number = tail_number(key.as_str())?;
                if shared.tail_next == 0 {
                    shared.tail_first = number;
                }
                shared.tail_next = number + 1;
                shared.tail_bytes += update.len();
            }
            shared.replay(page.iter().map(|(_, update)| update.as_ref()))?;
            after = Some(last);
        }
        Ok(Box::new(shared))
    }

    fn empty(client_id: u64) -> Self {
        let doc = Doc::with_options(Options {
            client_id: ClientID::new(client_id),
            guid: "".into(),
            collection_id: None,
            offset_kind: OffsetKind::Utf16,
            skip_gc: false,
            auto_load: false,
            should_load: true,
            cleanup_formatting: false,
        });
        let text = doc.get_or_insert_text(TEXT);
        Self { doc, text, snapshot_bytes: 0, tail_bytes: 0, tail_first: 0, tail_next: 0 }
    }

    /// The text.
    pub(super) fn content(&self) -> String {
        self.text.get_string(&self.doc.transact())
    }

    /// Applies what was kept.
    fn replay<'u>(&self, updates: impl IntoIterator<Item = &'u [u8]>) -> Result<(), Refusal> {
        let replayed = in_transaction(&self.doc, |transaction| {
            updates.into_iter().try_for_each(|bytes| {
                let update = Update::decode_v1(bytes).map_err(|error| damaged(&error))?;
                transaction.apply_update(update).map_err(|error| damaged(&error))
            })
        });
        replayed.map_err(|_| damaged(&"an update cannot be applied"))?.0
    }

    /// The text's units, what is embedded being one each.
    pub(super) fn units(&self) -> Vec<u16> {
        units_of(&self.text, &self.doc.transact())
    }

    /// Edits the text in one transaction; `deletes` says whether it may take something away.
    pub(super) fn edit(
        &self,
        deletes: bool,
        change: impl FnOnce(&mut Editing<'_, '_>) -> Result<(), Refusal>,
    ) -> Result<Outcome, Refusal> {
        let edited =
            self.observed(deletes, |transaction| change(&mut Editing::new(self.text.clone(), transaction)?));
        edited.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Applies updates of an editor in one transaction; nothing if they have nothing new.
    pub(super) fn apply_updates(&self, updates: &[Bytes]) -> Result<Option<Outcome>, Refusal> {
        let refuse = |why: &dyn fmt::Display| {
            Refusal::invalid(format!("the bytes are no update of a Yjs document: {why}"))
        };
        let mut known = self.doc.transact().state_vector();
        let mut deletes = false;
        for bytes in updates {
            let passed = screen(bytes, |client| known.get(&ClientID::new(client)));
            let passed = passed.map_err(|error| match error {
                Screened::Gap => lacks_updates(),
                _ => refuse(&error),
            })?;
            deletes |= passed.deletes;
            // As the next one finds it: one that is not applied as a whole ends the turn.
            for (client, clock) in passed.clocks {
                known.set_max(ClientID::new(client), clock);
            }
        }
        let applied = self.observed(deletes, |transaction| {
            for bytes in updates {
                let update = Update::decode_v1(bytes).map_err(|error| refuse(&error))?;
                transaction.apply_update(update).map_err(|error| refuse(&error))?;
                if transaction.has_missing_updates() {
                    return Err(lacks_updates());
                }
            }
            Ok(())
        });
        // The library takes an update of the right shape on trust; one that contradicts itself makes it panic.
        let outcome = applied.map_err(|_| refuse(&"it contradicts itself or the document"))??;
        Ok(outcome.update.is_some().then_some(outcome))
    }

    /// What an editor lacks that knows so much, and what is known here.
    pub(super) fn difference(&self, known: Option<&[u8]>) -> Result<Difference, Refusal> {
        let refuse = |why: &dyn fmt::Display| {
            Refusal::invalid(format!("the bytes are no state vector of a Yjs document: {why}"))
        };
        let transaction = self.doc.transact();
        let missing = match known {
            None => Bytes::new(),
            Some(known) => {
                let clocks = state_vector(known).map_err(|error| refuse(&error))?;
                let known: StateVector =
                    clocks.into_iter().map(|(client, clock)| (ClientID::new(client), clock)).collect();
                // A clock within a character is one that no editor ends at, and the library panics.
                let encoded =
                    catch_unwind(AssertUnwindSafe(|| transaction.encode_state_as_update_v1(&known)));
                encoded.map_err(|_| refuse(&"it has a clock where nothing ends"))?.into()
            }
        };
        Ok(Difference { missing, known: transaction.state_vector().encode_v1().into() })
    }

    /// The update that takes away the text. The document is of no use after it.
    pub(super) fn emptied(&self) -> Option<Bytes> {
        let emptied = in_transaction(&self.doc, |transaction| {
            let length = self.text.len(transaction);
            if length > 0 {
                self.text.remove_range(transaction, 0, length);
            }
        });
        emptied.unwrap_or_else(|panic| resume_unwind(panic)).1.map(Bytes::from)
    }

    /// Changes the document in one transaction and sees how the text changes. The text before is looked at only if the
    /// change may take something away: it is as long as the document.
    fn observed(
        &self,
        deletes: bool,
        change: impl FnOnce(&mut TransactionMut<'_>) -> Result<(), Refusal>,
    ) -> thread::Result<Result<Outcome, Refusal>> {
        const OBSERVER: &str = "delta";
        let seen = Rc::new(RefCell::new((Json::Array(Vec::new()), Vec::new())));
        let seen_inside = Rc::clone(&seen);
        self.text.observe(OBSERVER, move |transaction, event| {
            let delta = event.delta(transaction);
            seen_inside.replace((delta::to_json(delta), undo::changes(delta)));
        });
        let mut before = (0, None);
        let (result, update) = in_transaction(&self.doc, |transaction| {
            let units = deletes.then(|| units_of(&self.text, transaction));
            before = (self.text.len(transaction) as usize, units);
            change(transaction)
        })?;
        self.text.unobserve(OBSERVER);
        let (delta, changes) = seen.take();
        let length = self.text.len(&self.doc.transact()) as usize;
        let (length_before, units) = before;
        let way_back = undo::way_back(&changes, units.as_deref(), length_before, length);
        Ok(result.map(|()| Outcome { update: update.map(Bytes::from), delta, way_back }))
    }

    /// Keeps the document after a change, of which this is the update: it is appended to the tail, or all is
    /// written as a new snapshot once the tail is long.
    pub(super) fn keep(&mut self, turn: &mut Turn<'_>, update: Bytes) -> Result<(), Refusal> {
        let updates = self.tail_next - self.tail_first;
        let is_long = updates >= TAIL_UPDATES && self.tail_bytes >= self.snapshot_bytes / 4;
        let is_large = self.snapshot_bytes + self.tail_bytes + update.len() > DOCUMENT_MAX_BYTES;
        if is_long || is_large || updates >= TAIL_UPDATES_MAX {
            return self.fold(turn);
        }
        self.tail_bytes += update.len();
        turn.put_binary(&tail_key(self.tail_next), update)?;
        self.tail_next += 1;
        Ok(())
    }

    /// Writes all as a new snapshot and drops the tail.
    fn fold(&mut self, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let snapshot = self.encode();
        size::check(snapshot.len())?;
        self.snapshot_bytes = snapshot.len();
        turn.put_binary(SNAPSHOT, snapshot)?;
        for number in self.tail_first..self.tail_next {
            turn.delete_binary(&tail_key(number))?;
        }
        self.tail_first = self.tail_next;
        self.tail_bytes = 0;
        Ok(())
    }

    /// The whole document in Yjs's encoding.
    fn encode(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }
}

/// Runs a transaction to its commit; gives what it came to and its update, if it changed anything. A panic of the
/// library is caught before the transaction ends, which may panic once more; the document is then of no use.
fn in_transaction<T>(
    doc: &Doc,
    work: impl FnOnce(&mut TransactionMut<'_>) -> T,
) -> thread::Result<(T, Option<Vec<u8>>)> {
    let mut transaction = doc.transact_mut();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let outcome = work(&mut transaction);
        transaction.commit();
        (outcome, transaction.has_changes().then(|| transaction.encode_update_v1()))
    }));
    let ended = catch_unwind(AssertUnwindSafe(|| drop(transaction)));
    ended.and(outcome)
}

/// The sender asks for the document's state vector, and sends all that is beyond it.
fn lacks_updates() -> Refusal {
    Refusal::Conflict { detail: "the update lacks others that came before it; synchronise first".to_owned() }
}

fn tail_key(number: u64) -> String {
    format!("{TAIL}{number:016x}")
}

fn tail_number(key: &str) -> Result<u64, Refusal> {
    let digits = key.strip_prefix(TAIL).unwrap_or_default();
    u64::from_str_radix(digits, 16)
        .map_err(|_| damaged(&format_args!("the key {key:?} is not one of its own")))
}

fn damaged(what: &dyn fmt::Display) -> Refusal {
    Refusal::Storage(StorageError { detail: format!("the document is damaged: {what}") })
}
