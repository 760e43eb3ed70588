//! Taking what waits, one by one: expire what is due, decide, encode, evolve.

use ledger_core::canonical::request_hash;
use ledger_core::command::{Command, Operation};
use ledger_core::event::Event;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::ledger::{KeyLookup, LedgerState};
use ledger_core::limits::KEY_AHEAD_MICROS_MAX;
use ledger_core::name::LedgerName;
use ledger_core::rejection::{Code, Rejection};
use ledger_core::time::{Moment, Timestamp};
use schemas::api::Malformed;
use schemas::error::Fault;
use schemas::record::{Payload, Record, RecordHash, frame};

use super::batch::{Pending, Repeat};
use super::machine::{Machine, Waiting};
use super::request::{Accepted, Decided, Outcome, Request, Source, Want, is_final};
use super::shown;
use crate::calendar::Calendar;
use crate::ingest::letters::{self, Place};

/// How a command came out before it is on record.
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack while one command is taken"
)]
enum Verdict {
    Load,
    Decline(Fault),
    Repeat(u64),
    Decision(Result<Event, Rejection>, Moment),
}

impl<T: Copy> Machine<T> {
    /// Why a command that came by a topic is not decided before another one.
    fn waits_for_another(&self, request: &Request) -> Option<Fault> {
        let ingested = request.ingested.as_ref()?;
        (ingested.round <= self.halted).then(|| {
            Fault::unavailable("a record of the topics that came before it is to be decided first")
        })
    }

    /// Lets what comes behind a command of a topic wait for it, unless `why` is its outcome.
    pub(super) fn halt(&mut self, request: &Request, why: &Fault) {
        if let Some(ingested) = &request.ingested
            && !is_final(why)
        {
            self.halted = self.halted.max(ingested.round);
        }
    }

    /// Puts the ledger's settlement account in the place of the account that was left out.
    fn settle(&self, request: &mut Request) -> Result<(), Fault> {
        let Some(ingested) = &mut request.ingested else {
            return Ok(());
        };
        let terms = self
            .state
            .ledger(&request.ledger)
            .and_then(LedgerState::terms);
        // Of a ledger that is not there the verdict is another.
        let (Some(settle), Some(terms)) = (&ingested.settle, terms) else {
            return Ok(());
        };
        let mut accounts = terms.settlement_accounts.iter();
        let (_, account) = accounts
            .find(|(asset, _)| *asset == settle.asset)
            .ok_or_else(|| {
                Malformed::new(
                    "counter_account",
                    format_args!(
                        "is left out, and the ledger has no settlement account for {}",
                        settle.asset
                    ),
                )
            })?;
        settle.apply(&mut request.command, account.clone());
        request.request_hash = request_hash(&request.ledger, &request.command);
        ingested.settle = None;
        Ok(())
    }

    /// Takes the first that waits, or a hold's expiry that must come before it. False when
    /// nothing can be taken.
    pub(super) fn take_one(&mut self) -> bool {
        let ledger = match self.queue.front() {
            None => return false,
            Some(Waiting::Command { request, .. }) => &request.ledger,
            Some(Waiting::Read { ledger, .. }) => ledger,
            Some(Waiting::Attach { .. }) => {
                if let Some(Waiting::Attach { tag, attached }) = self.queue.pop_front() {
                    self.open.attach(attached);
                    self.open.pending.push(Pending::Attached(tag));
                }
                return true;
            }
        };
        let refusal = self.refusal();
        if refusal.is_none() {
            let at = self.at();
            let due = self.state.ledger(ledger).and_then(|l| l.due_hold(at));
            if let Some(hold) = due {
                let ledger = ledger.clone();
                self.expire(&ledger, hold, at);
                return true;
            }
        }
        match self.queue.pop_front() {
            None | Some(Waiting::Attach { .. }) => false,
            Some(Waiting::Read { tag, ledger, query }) => {
                let read = self.look_up(&ledger, query);
                self.park_confirmed(Pending::Read(tag, read));
                true
            }
            Some(Waiting::Command {
                tag,
                request,
                loaded,
            }) => match refusal.or_else(|| self.waits_for_another(&request)) {
                Some(why) => {
                    self.halt(&request, &why);
                    self.decline(tag, why);
                    true
                }
                None => self.take_command(tag, request, loaded),
            },
        }
    }

    fn take_command(&mut self, tag: T, mut request: Request, loaded: u64) -> bool {
        let at = self.at();
        let verdict = match self.settle(&mut request) {
            Ok(()) => self.judge(&request, loaded, at),
            Err(why) => Err(why),
        };
        let verdict = verdict.unwrap_or_else(Verdict::Decline);
        match verdict {
            Verdict::Load => {
                self.queue.push_front(Waiting::Command {
                    tag,
                    request,
                    loaded,
                });
                self.gather();
                return false;
            }
            // A deposed writer does not know what was created since.
            Verdict::Decline(why @ Fault::LedgerNotFound { .. }) => {
                *self.counts.declined.entry(why.code()).or_default() += 1;
                self.park_confirmed(Pending::Outcome(tag, Outcome::Declined(why)));
            }
            Verdict::Decline(why) => {
                self.halt(&request, &why);
                self.decline(tag, why);
            }
            Verdict::Repeat(sequence) => {
                self.counts.repeated += 1;
                self.park(Pending::Repeat(Repeat {
                    tag,
                    sequence,
                    ledger: request.ledger,
                    key: request.command.key,
                    want: request.want,
                }));
            }
            Verdict::Decision(decision, _) if request.validate_only => {
                let decided = self.tried(&request, decision, at);
                self.park_confirmed(Pending::Outcome(tag, Outcome::Decided(decided)));
            }
            Verdict::Decision(decision, moment) => {
                let decided = self.record_decision(request, decision, moment);
                self.park(Pending::Outcome(tag, Outcome::Decided(decided)));
            }
        }
        true
    }

    /// What is to be done with a command, all before anything changes.
    fn judge(&mut self, request: &Request, loaded: u64, at: Timestamp) -> Result<Verdict, Fault> {
        let Request {
            ledger: name,
            command,
            ..
        } = request;
        let unseen;
        let create = matches!(command.operation, Operation::CreateLedger(_));
        let ledger = match self.state.ledger(name) {
            Some(ledger) if create || ledger.terms().is_some() => ledger,
            None if create => {
                // Memory is given to it only once it is on record.
                unseen = LedgerState::new(name.clone(), 0);
                &unseen
            }
            _ => {
                return Err(Fault::LedgerNotFound {
                    ledger: name.clone(),
                });
            }
        };
        let needed = ledger.facts_needed(&command.key, &command.operation);
        let facts = if needed.is_empty() {
            &self.no_facts
        } else if loaded == 0 || loaded != self.loaded.id {
            return Ok(Verdict::Load);
        } else {
            self.loaded
                .of(name, ledger.forgotten_through(), &self.no_facts)?
        };
        match ledger.lookup_key(&command.key, &request.request_hash, facts) {
            KeyLookup::New => {}
            KeyLookup::Repeated(sequence) => return Ok(Verdict::Repeat(sequence)),
            KeyLookup::Reused => {
                return Err(Fault::IdempotencyKeyReused {
                    ledger: name.clone(),
                    key: command.key.clone(),
                });
            }
            KeyLookup::Unknown => {
                return Err(Fault::internal(format!(
                    "what key {} stands for is not known, though it was looked up",
                    command.key
                )));
            }
        }
        if let Some(stamp) = command.key.stamp()
            && stamp.micros() - at.micros() > KEY_AHEAD_MICROS_MAX
        {
            return Err(Fault::KeyStampInFuture {
                key: command.key.clone(),
                ahead_micros: stamp.micros() - at.micros(),
            });
        }
        let moment = moment(&mut self.calendars, ledger, command, at)?;
        Ok(Verdict::Decision(
            ledger.decide(command, facts, moment),
            moment,
        ))
    }

    /// The outcome of a command that was only to be tried.
    fn tried(
        &self,
        request: &Request,
        decision: Result<Event, Rejection>,
        at: Timestamp,
    ) -> Decided {
        let unseen;
        let ledger = match self.state.ledger(&request.ledger) {
            Some(ledger) => ledger,
            None => {
                unseen = LedgerState::new(request.ledger.clone(), 0);
                &unseen
            }
        };
        Decided {
            sequence: 0,
            ledger_sequence: 0,
            hash: None,
            recorded_at: at,
            repeated: false,
            result: decision
                .map(|event| shown::accepted(ledger, &event, at, request.want))
                .map_err(Box::new),
        }
    }

    fn record_decision(
        &mut self,
        request: Request,
        decision: Result<Event, Rejection>,
        moment: Moment,
    ) -> Decided {
        let ingested = request.ingested.is_some();
        let payload = match decision {
            Ok(event) => Payload::Event(event),
            Err(rejection) => Payload::Rejection(rejection),
        };
        let mut record = self.next_record(
            request.ledger,
            request.command.key,
            &request.source,
            moment,
            payload,
        );
        record.request_hash = Some(request.request_hash);
        let hash = self.put(&mut record);
        let result = self.result(&record, request.want);
        match &result {
            Ok(_) => self.counts.accepted += 1,
            Err(rejection) => {
                *self
                    .counts
                    .refused
                    .entry(rejection.code.as_str())
                    .or_default() += 1;
            }
        }
        let decided = Decided {
            sequence: record.sequence,
            ledger_sequence: record.ledger_sequence,
            hash: Some(hash),
            recorded_at: moment.recorded_at,
            repeated: false,
            result,
        };
        if ingested && let Some(source) = Place::of(&record.origin) {
            self.open.message(letters::decided(
                &source,
                &record.ledger,
                &record.key,
                &decided,
            ));
            self.open.consumed(source.consumed());
        }
        decided
    }

    /// What a record says to the caller.
    pub(super) fn result(&self, record: &Record, want: Want) -> Result<Accepted, Box<Rejection>> {
        match (&record.payload, self.state.ledger(&record.ledger)) {
            (Payload::Event(event), Some(ledger)) => Ok(shown::accepted(
                ledger,
                event,
                record.moment.recorded_at,
                want,
            )),
            (Payload::Rejection(rejection), _) => Err(Box::new(rejection.clone())),
            _ => Ok(Accepted::default()),
        }
    }

    fn next_record(
        &self,
        ledger: LedgerName,
        key: IdempotencyKey,
        source: &Source,
        moment: Moment,
        payload: Payload,
    ) -> Record {
        let next = self.state.next(&ledger);
        Record {
            log_id: self.state.log_id,
            shard: self.state.shard,
            epoch: self.epoch,
            sequence: next.sequence,
            ledger,
            ledger_sequence: next.ledger_sequence,
            previous_hash: next.previous_hash,
            moment,
            key,
            request_hash: None,
            actor: source.actor.clone(),
            origin: source.origin.clone(),
            traceparent: source.traceparent.clone(),
            payload,
        }
    }

    /// Encodes `record`, moves the state by it, and puts it into the open batch. A decision that
    /// does not fit into a record is refused instead: so it is encoded before anything moves.
    fn put(&mut self, record: &mut Record) -> RecordHash {
        self.scratch.clear();
        let mut hash = schemas::record::encode_into(record, &mut self.scratch);
        if self.scratch.len() > self.bounds.record_bytes {
            record.payload = Payload::Rejection(
                Rejection::new(Code::RecordTooLarge)
                    .with("bytes", self.scratch.len())
                    .with("limit", self.bounds.record_bytes),
            );
            self.scratch.clear();
            hash = schemas::record::encode_into(record, &mut self.scratch);
        }
        if !record.ledger.is_engine() {
            let ledger = self.state.ledger_or_new(&record.ledger);
            if let Payload::Event(event) = &record.payload {
                ledger.evolve(event, record.moment);
            }
            ledger.remember_key(record.key.clone(), shard_state::key_entry(record));
            let next_expiry = ledger.next_expiry();
            self.expiries.set(&record.ledger, next_expiry);
        }
        self.state.record_head(record, hash);
        frame::push(&mut self.open.body, &self.scratch);
        self.open.records += 1;
        tracing::debug!(
            ledger = %record.ledger,
            ledger_sequence = record.ledger_sequence,
            sequence = record.sequence,
            key = %record.key,
            traceparent = record.traceparent.as_deref(),
            "decided"
        );
        hash
    }

    /// Puts a record of the engine's own chain into the open batch.
    pub(super) fn record_own(&mut self, key: String, at: Timestamp, payload: Payload) {
        let key = format!("{}{key}", IdempotencyKey::RESERVED_PREFIX);
        let mut record = self.next_record(
            LedgerName::of_shard(self.state.shard),
            IdempotencyKey::text(&key).expect("engine keys are short and printable"),
            &self.timer,
            Self::engine_moment(at),
            payload,
        );
        self.put(&mut record);
    }

    /// Lets a hold expire whose time has come.
    fn expire(&mut self, name: &LedgerName, hold: TransactionId, at: Timestamp) {
        let key = format!("{}expire:{:032x}", IdempotencyKey::RESERVED_PREFIX, hold.0);
        let command = Command {
            key: IdempotencyKey::text(&key).expect("55 printable bytes"),
            conditions: Vec::new(),
            operation: Operation::ExpireHold(hold),
        };
        let ledger = self.state.ledger(name).expect("it has a hold that is due");
        // A zone that is not known any more must not keep holds from expiring.
        let moment = moment(&mut self.calendars, ledger, &command, at)
            .unwrap_or_else(|_| Self::engine_moment(at));
        let event = ledger
            .decide(&command, &self.no_facts, moment)
            .expect("a hold that is due can always be released");
        let mut record = self.next_record(
            name.clone(),
            command.key,
            &self.timer,
            moment,
            Payload::Event(event),
        );
        self.put(&mut record);
        self.counts.accepted += 1;
    }

    /// Lets holds expire in ledgers that nobody talks to, as far as the batch has room.
    pub(super) fn expire_idle(&mut self) {
        if self.refusal().is_some() {
            return;
        }
        let at = self.at();
        while !self.is_full()
            && let Some(ledger) = self.expiries.due(at)
        {
            match self.state.ledger(&ledger).and_then(|l| l.due_hold(at)) {
                Some(hold) => self.expire(&ledger, hold, at),
                None => {
                    let next = self
                        .state
                        .ledger(&ledger)
                        .and_then(LedgerState::next_expiry);
                    self.expiries.set(&ledger, next.filter(|next| *next > at));
                }
            }
        }
    }
}

/// `at` in the ledger's own calendar; for a ledger that is yet to be created, in the calendar
/// that it is to have.
fn moment(
    calendars: &mut std::collections::HashMap<LedgerName, Calendar>,
    ledger: &LedgerState,
    command: &Command,
    at: Timestamp,
) -> Result<Moment, Fault> {
    let unknown = |why: crate::calendar::UnknownTimeZone| Fault::unavailable(why.to_string());
    let business_date = match (calendars.get_mut(ledger.name()), ledger.terms()) {
        (Some(calendar), _) => calendar.business_date(at),
        (None, Some(terms)) => {
            let mut calendar =
                Calendar::new(&terms.time_zone, terms.cut_off_seconds).map_err(unknown)?;
            let date = calendar.business_date(at);
            calendars.insert(ledger.name().clone(), calendar);
            date
        }
        (None, None) => match &command.operation {
            Operation::CreateLedger(create) => {
                Calendar::new(&create.time_zone, create.cut_off_seconds)
                    .map_err(unknown)?
                    .business_date(at)
            }
            _ => at.utc_day(),
        },
    };
    Ok(Moment {
        recorded_at: at,
        business_date,
    })
}
