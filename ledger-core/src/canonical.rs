//! The canonical form of a command, over which its request hash is made. Versioned, and
//! independent of protobuf, so that gRPC, Kafka JSON and a newer client hash alike. Key, trace,
//! actor and deadline are left out.
//!
//! The form, version 1: the ledger's name, conditions in order, operation. A choice is a byte
//! that names it, then its parts in a fixed order. Whole numbers are big-endian in their full
//! width; texts and lists go after their length as four bytes; what may be left out goes after a
//! byte 1, or is a byte 0. So no two commands share a form. Metadata, keys to remove and
//! settlement accounts, whose order says nothing, are sorted; keys to remove stand once; a time
//! zone left out is `UTC`. An account by name and the same by number are two requests.
//!
//! The hash is keyed BLAKE3, with a key derived from a context that names form and version: a
//! later form takes another context. Existing bytes of a choice never change their meaning.

use std::sync::LazyLock;

use crate::account::{
    AccountType, Direction, FreezeScope, Limits, LimitsChange, VelocityLimit, VelocityWindow,
};
use crate::amount::Amount;
use crate::asset::Asset;
use crate::command::{
    AccountRef, AmountSpec, BalanceKind, ChangeAccount, Command, Comparison, Condition, Operation,
    PostingSpec,
};
use crate::facts::RequestHash;
use crate::key::TransactionId;
use crate::name::{AccountName, LedgerName};
use crate::text::{Metadata, MetadataChange, Text};
use crate::time::Timestamp;
use crate::transaction::{HoldTerms, LimitsMode};

static KEY: LazyLock<[u8; 32]> =
    LazyLock::new(|| blake3::derive_key("daybook 2026 request v1", b""));

/// The request hash of `command` to `ledger`.
pub fn request_hash(ledger: &LedgerName, command: &Command) -> RequestHash {
    let mut form = Form::new();
    form.text(ledger.as_str());
    form.conditions(&command.conditions);
    form.operation(&command.operation);
    form.finish()
}

/// Bytes of most commands: hashed in one go, from the stack.
const BUFFER: usize = 512;

/// The form as it is written.
struct Form {
    /// Once the form is longer than the buffer.
    hasher: Option<Box<blake3::Hasher>>,
    buffer: [u8; BUFFER],
    used: usize,
}

impl Form {
    fn new() -> Self {
        Self {
            hasher: None,
            buffer: [0; BUFFER],
            used: 0,
        }
    }

    fn finish(self) -> RequestHash {
        let rest = &self.buffer[..self.used];
        let whole = match self.hasher {
            None => blake3::keyed_hash(&KEY, rest),
            Some(mut hasher) => hasher.update(rest).finalize(),
        };
        let mut hash = RequestHash::default();
        hash.copy_from_slice(&whole.as_bytes()[..16]);
        hash
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.used + bytes.len() > BUFFER {
            let hasher = self
                .hasher
                .get_or_insert_with(|| Box::new(blake3::Hasher::new_keyed(&KEY)));
            hasher.update(&self.buffer[..self.used]);
            self.used = 0;
            if bytes.len() > BUFFER {
                hasher.update(bytes);
                return;
            }
        }
        self.buffer[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
    }

    fn choice(&mut self, tag: u8) {
        self.bytes(&[tag]);
    }

    fn length(&mut self, length: usize) {
        self.bytes(&(length as u32).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.opaque(text.as_bytes());
    }

    fn opaque(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.bytes(bytes);
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.length(items.len());
        for item in items {
            each(self, item);
        }
    }

    fn optional<T>(&mut self, value: Option<T>, some: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.choice(0),
            Some(value) => {
                self.choice(1);
                some(self, value);
            }
        }
    }

    fn amount(&mut self, amount: Amount) {
        self.bytes(&amount.minor_units().to_be_bytes());
    }

    fn signed(&mut self, number: i128) {
        self.bytes(&number.to_be_bytes());
    }

    fn time(&mut self, time: Timestamp) {
        self.bytes(&time.micros().to_be_bytes());
    }

    fn id(&mut self, id: TransactionId) {
        self.bytes(&id.0.to_be_bytes());
    }

    fn asset(&mut self, asset: &Asset) {
        self.text(asset.code());
        self.choice(asset.exponent());
    }

    fn account(&mut self, account: &AccountRef) {
        match account {
            AccountRef::Name(name) => {
                self.choice(1);
                self.text(name.as_str());
            }
            AccountRef::Number(number) => {
                self.choice(2);
                self.bytes(&number.0.to_be_bytes());
            }
        }
    }

    fn words(&mut self, text: &Text) {
        match text {
            Text::Plain(text) => {
                self.choice(1);
                self.text(text);
            }
            Text::Sealed(sealed) => {
                self.choice(2);
                self.text(&sealed.key_id);
                self.opaque(&sealed.nonce);
                self.opaque(&sealed.ciphertext);
            }
        }
    }

    fn maybe_words(&mut self, text: Option<&Text>) {
        self.optional(text, |form, text| form.words(text));
    }

    /// A change of words that may be taken away.
    fn new_words(&mut self, change: Option<&Option<Text>>) {
        self.optional(change, |form, text| form.maybe_words(text.as_ref()));
    }

    fn metadata(&mut self, metadata: &Metadata) {
        self.length(metadata.entries().len());
        for (key, value) in metadata.entries() {
            self.text(key);
            self.words(value);
        }
    }

    fn metadata_change(&mut self, change: &MetadataChange) {
        self.metadata(&change.set);
        let mut remove: Vec<&str> = change.remove.iter().map(|key| &**key).collect();
        remove.sort_unstable();
        remove.dedup();
        self.list(&remove, |form, key| form.text(key));
    }

    fn limits(&mut self, limits: &Limits) {
        self.optional(limits.minimum, Self::signed);
        self.optional(limits.maximum, Self::signed);
        self.optional(limits.per_transaction, Self::amount);
        self.list(&limits.velocity, Self::velocity);
    }

    fn limits_change(&mut self, change: &LimitsChange) {
        self.optional(change.minimum, |f, v| f.optional(v, Self::signed));
        self.optional(change.maximum, |f, v| f.optional(v, Self::signed));
        self.optional(change.per_transaction, |f, v| f.optional(v, Self::amount));
        self.optional(change.velocity.as_ref(), |form, velocity| {
            form.list(velocity, Self::velocity);
        });
    }

    fn velocity(&mut self, limit: &VelocityLimit) {
        self.choice(match limit.direction {
            Direction::Outflow => 1,
            Direction::Inflow => 2,
        });
        match limit.window {
            VelocityWindow::CalendarDay => self.choice(1),
            VelocityWindow::CalendarMonth => self.choice(2),
            VelocityWindow::Rolling { seconds } => {
                self.choice(3);
                self.bytes(&seconds.to_be_bytes());
            }
        }
        self.amount(limit.amount);
    }

    fn limits_mode(&mut self, mode: &LimitsMode) {
        match mode {
            LimitsMode::Enforce => self.choice(1),
            LimitsMode::RecordOnly(reason) => {
                self.choice(2);
                self.words(reason);
            }
        }
    }

    fn conditions(&mut self, conditions: &[Condition]) {
        self.list(conditions, |form, condition| match condition {
            Condition::AccountVersion { account, version } => {
                form.choice(1);
                form.account(account);
                form.bytes(&version.to_be_bytes());
            }
            Condition::Balance {
                account,
                kind,
                comparison,
                amount,
            } => {
                form.choice(2);
                form.account(account);
                form.choice(match kind {
                    BalanceKind::Posted => 1,
                    BalanceKind::Pending => 2,
                    BalanceKind::Available => 3,
                });
                form.choice(match comparison {
                    Comparison::AtLeast => 1,
                    Comparison::AtMost => 2,
                    Comparison::Equal => 3,
                });
                form.signed(*amount);
            }
        });
    }

    fn posting(&mut self, posting: &PostingSpec) {
        self.account(&posting.debit);
        self.account(&posting.credit);
        match posting.amount {
            AmountSpec::Exact(amount) => {
                self.choice(1);
                self.amount(amount);
            }
            AmountSpec::UpTo { most, at_least } => {
                self.choice(2);
                self.amount(most);
                self.amount(at_least);
            }
        }
        self.optional(posting.asset.as_ref(), Self::asset);
    }

    fn hold_terms(&mut self, terms: HoldTerms) {
        self.optional(terms.expires_at, Self::time);
        self.optional(terms.over_capture_up_to, Self::amount);
    }

    fn parts(&mut self, amounts: &[(u32, Amount)]) {
        self.list(amounts, |form, (index, amount)| {
            form.bytes(&index.to_be_bytes());
            form.amount(*amount);
        });
    }

    fn settlement(&mut self, accounts: &[(Asset, AccountName)]) {
        let mut accounts: Vec<_> = accounts.iter().collect();
        accounts.sort_unstable();
        self.list(&accounts, |form, (asset, name)| {
            form.asset(asset);
            form.text(name.as_str());
        });
    }

    fn change_account(&mut self, tag: u8, asked: &ChangeAccount) {
        self.choice(tag);
        self.account(&asked.account);
        self.maybe_words(asked.reason.as_ref());
    }

    fn operation(&mut self, operation: &Operation) {
        match operation {
            Operation::CreateLedger(asked) => {
                self.choice(1);
                self.text(&asked.zone());
                self.bytes(&asked.cut_off_seconds.to_be_bytes());
                self.maybe_words(asked.description.as_ref());
                self.metadata(&asked.metadata);
                self.settlement(&asked.settlement_accounts);
            }
            Operation::UpdateLedger(asked) => {
                self.choice(2);
                self.new_words(asked.description.as_ref());
                self.metadata_change(&asked.metadata);
                self.optional(asked.settlement_accounts.as_ref(), |form, accounts| {
                    form.settlement(accounts);
                });
            }
            Operation::OpenAccount(asked) => {
                self.choice(3);
                self.text(asked.name.as_str());
                self.asset(&asked.asset);
                self.choice(match asked.account_type {
                    AccountType::Asset => 1,
                    AccountType::Liability => 2,
                    AccountType::Equity => 3,
                    AccountType::Income => 4,
                    AccountType::Expense => 5,
                    AccountType::Memo => 6,
                });
                self.limits(&asked.limits);
                self.metadata(&asked.metadata);
            }
            Operation::UpdateAccount(asked) => {
                self.choice(4);
                self.account(&asked.account);
                self.limits_change(&asked.limits);
                self.metadata_change(&asked.metadata);
            }
            Operation::FreezeAccount(asked) => {
                self.choice(5);
                self.account(&asked.account);
                self.choice(match asked.scope {
                    FreezeScope::Debits => 1,
                    FreezeScope::Credits => 2,
                    FreezeScope::All => 3,
                });
                self.maybe_words(asked.reason.as_ref());
            }
            Operation::UnfreezeAccount(asked) => self.change_account(6, asked),
            Operation::CloseAccount(asked) => self.change_account(7, asked),
            Operation::ReopenAccount(asked) => self.change_account(8, asked),
            Operation::CreateTransaction(asked) => {
                self.choice(9);
                self.list(&asked.postings, Self::posting);
                self.optional(asked.effective_at, Self::time);
                self.optional(asked.hold, Self::hold_terms);
                self.limits_mode(&asked.limits);
                self.maybe_words(asked.description.as_ref());
                self.metadata(&asked.metadata);
            }
            Operation::CaptureTransaction(asked) => {
                self.choice(10);
                self.id(asked.hold);
                self.parts(&asked.amounts);
                self.choice(u8::from(asked.is_final));
                self.optional(asked.effective_at, Self::time);
                self.maybe_words(asked.description.as_ref());
                self.metadata(&asked.metadata);
            }
            Operation::VoidTransaction(asked) => {
                self.choice(11);
                self.id(asked.hold);
                self.maybe_words(asked.reason.as_ref());
            }
            Operation::ReverseTransaction(asked) => {
                self.choice(12);
                self.id(asked.original);
                self.parts(&asked.amounts);
                self.optional(asked.effective_at, Self::time);
                self.limits_mode(&asked.limits);
                self.maybe_words(asked.description.as_ref());
                self.metadata(&asked.metadata);
            }
            Operation::UpdateTransaction(asked) => {
                self.choice(13);
                self.id(asked.transaction);
                self.optional(asked.expected_version, |form, version| {
                    form.bytes(&version.to_be_bytes());
                });
                self.new_words(asked.description.as_ref());
                self.metadata_change(&asked.metadata);
            }
            Operation::CloseBooks(asked) => {
                self.choice(14);
                self.time(asked.through);
                self.maybe_words(asked.reason.as_ref());
            }
            Operation::ReopenBooks(asked) => {
                self.choice(15);
                self.optional(asked.through, Self::time);
                self.words(&asked.reason);
            }
            Operation::Atomic(members) => {
                self.choice(16);
                self.list(members, |form, member| {
                    form.conditions(&member.conditions);
                    form.operation(&member.operation);
                });
            }
            Operation::ExpireHold(hold) => {
                self.choice(17);
                self.id(*hold);
            }
        }
    }
}
