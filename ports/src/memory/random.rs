//! Random books for property tests: every kind of event, back-dated and post-dated, several at
//! the same instant, refused ones among them. The same seed gives the same books.

use ledger_core::account::{AccountNumber, AccountType, FreezeScope, Limits};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::command::{
    AccountRef, AmountSpec, AtomicMember, CaptureTransaction, ChangeAccount, CloseBooks,
    CreateLedger, CreateTransaction, FreezeAccount, OpenAccount, Operation, PostingSpec,
    ReopenBooks, ReverseTransaction, UpdateTransaction, VoidTransaction,
};
use ledger_core::event::Event;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::AccountName;
use ledger_core::text::{Metadata, MetadataChange, Text};
use ledger_core::time::Timestamp;
use ledger_core::transaction::{HoldTerms, LimitsMode};

use super::Scribe;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// Accounts of every random ledger, by number from 1: three of USD, two of EUR.
pub const ACCOUNTS: [(&str, &str, AccountType); 5] = [
    ("cash", "USD/2", AccountType::Asset),
    ("customers:1:checking", "USD/2", AccountType::Liability),
    ("customers:2:checking", "USD/2", AccountType::Liability),
    ("cash:euro", "EUR/2", AccountType::Asset),
    ("customers:1:euro", "EUR/2", AccountType::Liability),
];

/// Writes random books.
pub struct RandomBooks {
    scribe: Scribe,
    ledger: String,
    random: u64,
    transactions: Vec<TransactionId>,
    holds: Vec<TransactionId>,
}

impl RandomBooks {
    /// Creates `ledger` and its accounts.
    pub fn new(scribe: Scribe, ledger: &str, seed: u64) -> Self {
        let books = Self {
            scribe,
            ledger: ledger.to_owned(),
            random: seed,
            transactions: Vec::new(),
            holds: Vec::new(),
        };
        let created = Operation::CreateLedger(CreateLedger::default());
        books.scribe.write(ledger, created).expect("a new ledger");
        for (name, asset, account_type) in ACCOUNTS {
            books.open_account(name, asset, account_type);
        }
        books
    }

    /// Opens an account.
    pub fn open_account(&self, name: &str, asset: &str, account_type: AccountType) {
        let opened = Operation::OpenAccount(OpenAccount {
            name: AccountName::new(name).expect("a right name"),
            asset: Asset::parse(asset).expect("a right asset"),
            account_type,
            limits: Limits::default(),
            metadata: Metadata::default(),
        });
        self.scribe
            .write(&self.ledger, opened)
            .expect("a new account");
    }

    /// Writes `count` random commands, committed in random batches.
    pub async fn write(&mut self, count: usize) {
        for _ in 0..count {
            let operation = self.any();
            // Refusals belong to the books too.
            if let Ok(event) = self.scribe.write(&self.ledger, operation) {
                self.learn(&event);
            }
            let pass = match self.below(3) {
                0 => 0,
                _ => self.below(5 * HOUR as u64) as i64,
            };
            self.scribe.wait(pass);
            if self.below(4) == 0 {
                self.scribe.commit().await;
            }
        }
        self.scribe.commit().await;
    }

    /// A random number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    /// An instant within a few days of now, often at the very end or start of a day.
    pub fn instant(&mut self) -> Timestamp {
        let now = self.scribe.now();
        let at = now - 6 * DAY + self.below(8 * DAY as u64) as i64;
        let midnight = at.div_euclid(DAY) * DAY;
        let at = match self.below(4) {
            0 => midnight,
            1 => midnight - 1,
            2 => midnight + 12 * HOUR,
            _ => at,
        };
        Timestamp::from_micros(at).expect("near to now")
    }

    fn learn(&mut self, event: &Event) {
        match event {
            Event::TransactionCreated(created) => match created.transaction.kind {
                ledger_core::transaction::TransactionKind::Hold(_) => {
                    self.holds.push(created.transaction.id);
                }
                _ => self.transactions.push(created.transaction.id),
            },
            Event::TransactionCaptured(captured) => self.transactions.push(captured.capture.id),
            Event::Atomic(events) => {
                for event in events {
                    self.learn(event);
                }
            }
            _ => {}
        }
    }

    fn any(&mut self) -> Operation {
        match self.below(24) {
            0..9 => self.transaction(None),
            9..12 => {
                let expires = self.below(2) == 0;
                let expires_at = Timestamp::from_micros(self.scribe.now() + DAY);
                self.transaction(Some(HoldTerms {
                    expires_at: expires_at.filter(|_| expires),
                    over_capture_up_to: None,
                }))
            }
            12..15 => Operation::CaptureTransaction(CaptureTransaction {
                hold: self.one_of(true),
                amounts: match self.below(3) {
                    0 => Vec::new(),
                    _ => vec![(0, self.amount())],
                },
                is_final: self.below(2) == 0,
                effective_at: (self.below(2) == 0).then(|| self.instant()),
                description: None,
                metadata: Metadata::default(),
            }),
            15 => Operation::VoidTransaction(VoidTransaction {
                hold: self.one_of(true),
                reason: None,
            }),
            16 => self.due(),
            17 => Operation::ReverseTransaction(ReverseTransaction {
                original: self.one_of(false),
                amounts: vec![(0, self.amount())],
                effective_at: (self.below(2) == 0).then(|| self.instant()),
                limits: LimitsMode::Enforce,
                description: None,
                metadata: Metadata::default(),
            }),
            18 => Operation::UpdateTransaction(UpdateTransaction {
                transaction: self.one_of(false),
                expected_version: None,
                description: Some(Some(Text::plain("another note"))),
                metadata: MetadataChange::default(),
            }),
            19 => Operation::FreezeAccount(FreezeAccount {
                account: self.account(3),
                scope: FreezeScope::Debits,
                reason: None,
            }),
            20 => Operation::UnfreezeAccount(ChangeAccount {
                account: self.account(3),
                reason: None,
            }),
            21 => match self.below(2) {
                0 => Operation::CloseBooks(CloseBooks {
                    through: Timestamp::from_micros(self.scribe.now() - 5 * DAY)
                        .expect("near to now"),
                    reason: None,
                }),
                _ => Operation::ReopenBooks(ReopenBooks {
                    through: None,
                    reason: Text::plain("a mistake"),
                }),
            },
            _ => {
                let members = (0..1 + self.below(3))
                    .map(|_| AtomicMember {
                        conditions: Vec::new(),
                        operation: self.transaction(None),
                    })
                    .collect();
                Operation::Atomic(members)
            }
        }
    }

    /// Expires what is due, as the engine does.
    fn due(&mut self) -> Operation {
        let at = Timestamp::from_micros(self.scribe.now()).expect("near to now");
        while let Some(hold) = self.scribe.state(&self.ledger, |state| state.due_hold(at)) {
            let hex = format!("{:032x}", hold.0);
            let key = IdempotencyKey::text(&format!("daybook:expire:{hex}"));
            self.scribe
                .write_as(
                    &self.ledger,
                    key.expect("a right key"),
                    Operation::ExpireHold(hold),
                )
                .expect("it is due");
        }
        self.transaction(None)
    }

    fn transaction(&mut self, hold: Option<HoldTerms>) -> Operation {
        let postings = (0..1 + self.below(2))
            .map(|_| {
                let euro = self.below(4) == 0;
                let (debit, credit) = match euro {
                    true if self.below(2) == 0 => (4, 5),
                    true => (5, 4),
                    false => {
                        let debit = self.below(3) as u32;
                        let other = (debit + 1 + self.below(2) as u32) % 3;
                        (debit + 1, other + 1)
                    }
                };
                PostingSpec {
                    debit: AccountRef::Number(AccountNumber(debit)),
                    credit: AccountRef::Number(AccountNumber(credit)),
                    amount: AmountSpec::Exact(self.amount()),
                    asset: None,
                }
            })
            .collect();
        Operation::CreateTransaction(CreateTransaction {
            postings,
            effective_at: (self.below(3) > 0).then(|| self.instant()),
            hold,
            limits: LimitsMode::Enforce,
            description: (self.below(4) == 0).then(|| Text::plain("a note")),
            metadata: Metadata::default(),
        })
    }

    fn account(&mut self, of: u64) -> AccountRef {
        AccountRef::Number(AccountNumber(self.below(of) as u32 + 1))
    }

    fn amount(&mut self) -> Amount {
        Amount::new(u128::from(self.below(500))).expect("small")
    }

    fn one_of(&mut self, holds: bool) -> TransactionId {
        let count = match holds {
            true => self.holds.len(),
            false => self.transactions.len(),
        };
        let index = self.below(count as u64) as usize;
        let known = match holds {
            true => &self.holds,
            false => &self.transactions,
        };
        known.get(index).copied().unwrap_or(TransactionId(9))
    }
}
