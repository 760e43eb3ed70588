//! Which commands a load is made of: each follows from the seed and its number alone, so that
//! it can be sent again, and proven, without having been kept.

use super::mix::{Mix, Permille};

/// What shapes a load.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// Of everything that is drawn.
    pub seed: u64,
    /// Sets this load's names and keys apart from every other's.
    pub run: u32,
    /// Ledgers.
    pub ledgers: u32,
    /// Accounts in each, beside the bank's own.
    pub accounts: u32,
    /// How many of each kind.
    pub mix: Mix,
    /// Commands that must be refused.
    pub refused: Permille,
    /// Commands that are sent once more, with their keys.
    pub repeats: Permille,
    /// Messages that are no commands.
    pub malformed: Permille,
}

/// What kind of movement a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From the bank's cash to an account.
    Deposit,
    /// From an account to the bank's cash.
    Withdrawal,
    /// From an account to another.
    Transfer,
}

/// The bank's own account in a ledger; all others count from 1.
pub const BANK: u32 = 0;

/// Why a command will be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// More than there is in all the books.
    Funds,
    /// To an account that is not there.
    NoAccount,
    /// To the account that it comes from.
    SameAccount,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// An amount that is no number.
    Amount,
    /// An account's name that is none.
    Account,
    /// No key.
    Key,
}

/// What a command is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be carried out, where the balances allow it.
    Carry,
    /// To be refused.
    Refuse(Refusal),
    /// To be told that it is no command.
    Malformed(Defect),
    /// To get the outcome of this earlier one again.
    Repeat(u64),
}

/// A command of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Its number, from 0.
    pub number: u64,
    /// What it is there for.
    pub purpose: Purpose,
    /// The number whose key and content it has: its own, but for a repeat.
    pub original: u64,
    /// What kind of movement.
    pub kind: Kind,
    /// The ledger, from 0.
    pub ledger: u32,
    /// Account that is debited.
    pub debit: u32,
    /// Account that is credited.
    pub credit: u32,
    /// Minor units.
    pub amount: u64,
}

/// No books of a load ever hold so much: a withdrawal of it is refused.
const TOO_MUCH: u64 = 1 << 60;

/// Repeats are of commands at most so far back.
const REPEAT_BACK: u64 = 5_000;

/// SplitMix64, which needs no state but its seed.
struct Draw(u64);

impl Draw {
    fn of(seed: u64, number: u64, stream: u64) -> Self {
        let mut draw = Self(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ stream << 56);
        draw.next();
        draw
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

impl Shape {
    /// The command of `number`.
    pub fn command(&self, number: u64) -> Planned {
        let purpose = self.purpose(number);
        let original = match purpose {
            Purpose::Repeat(original) => original,
            _ => number,
        };
        let content = match purpose {
            Purpose::Repeat(original) => self.purpose(original),
            own => own,
        };
        let mut draw = Draw::of(self.seed, original, 1);
        let ledger = draw.below(u64::from(self.ledgers)) as u32;
        let of_mix = draw.below(u64::from(self.mix.sum())) as u32;
        let accounts = u64::from(self.accounts);
        let one = 1 + draw.below(accounts) as u32;
        let another = 1 + (u64::from(one) + draw.below(accounts - 1)) as u32 % self.accounts;
        let mut amount = 1 + draw.below(9_999);
        let (kind, mut debit, mut credit) = if of_mix < self.mix.deposits {
            // More comes in than goes out, so that most of the rest can be carried out.
            amount *= 4;
            (Kind::Deposit, BANK, one)
        } else if of_mix < self.mix.deposits + self.mix.withdrawals {
            (Kind::Withdrawal, one, BANK)
        } else {
            (Kind::Transfer, one, another)
        };
        match content {
            Purpose::Refuse(Refusal::Funds) => {
                amount = TOO_MUCH;
                // What comes from the bank would be carried out.
                if debit == BANK {
                    (debit, credit) = (credit, BANK);
                }
            }
            Purpose::Refuse(Refusal::NoAccount) => credit = self.accounts + 1,
            Purpose::Refuse(Refusal::SameAccount) => credit = debit,
            _ => {}
        }
        let kind = match (kind, content) {
            (Kind::Deposit, Purpose::Refuse(Refusal::Funds)) => Kind::Withdrawal,
            (kind, _) => kind,
        };
        Planned {
            number,
            purpose,
            original,
            kind,
            ledger,
            debit,
            credit,
            amount,
        }
    }

    /// What the command of `number` is there for.
    fn purpose(&self, number: u64) -> Purpose {
        let mut draw = Draw::of(self.seed, number, 2);
        let drawn = draw.below(1_000) as u32;
        let which = draw.next();
        let (refused, malformed) = (self.refused.0, self.malformed.0);
        if drawn < refused {
            Purpose::Refuse(match which % 3 {
                0 => Refusal::Funds,
                1 => Refusal::NoAccount,
                _ => Refusal::SameAccount,
            })
        } else if drawn < refused + malformed {
            Purpose::Malformed(match which % 3 {
                0 => Defect::Amount,
                1 => Defect::Account,
                _ => Defect::Key,
            })
        } else if drawn < refused + malformed + self.repeats.0 {
            self.repeated(number, which)
        } else {
            Purpose::Carry
        }
    }

    /// The first command with a key of its own at or before a drawn one.
    fn repeated(&self, number: u64, which: u64) -> Purpose {
        let back = 1 + which % REPEAT_BACK.min(number.max(1));
        let mut original = number.saturating_sub(back);
        loop {
            if original >= number {
                return Purpose::Carry;
            }
            // Not by `purpose`, which would look at repeats of repeats in turn.
            let drawn = Draw::of(self.seed, original, 2).below(1_000) as u32;
            let taken = self.refused.0 + self.malformed.0 + self.repeats.0;
            if drawn < self.refused.0 || drawn >= taken {
                return Purpose::Repeat(original);
            }
            match original.checked_sub(1) {
                Some(before) => original = before,
                None => return Purpose::Carry,
            }
        }
    }

    /// The ledger's name.
    pub fn ledger_name(&self, ledger: u32) -> String {
        format!("load-{:08x}-{}", self.run, ledger + 1)
    }

    /// The account's name; one beyond the last is not there.
    pub fn account_name(account: u32) -> String {
        match account {
            BANK => "bank:cash".to_owned(),
            number => format!("customers:{number:07}"),
        }
    }

    /// The key of the command of `number`, which was first sent at `stamp` (milliseconds): one
    /// half are UUIDs, the other texts.
    pub fn key(&self, number: u64, stamp: u64) -> String {
        match number % 2 {
            0 => format!("load:{:08x}:{number}", self.run),
            _ => uuid::Uuid::from_u128(
                u128::from(stamp & 0xffff_ffff_ffff) << 80
                    | 7 << 76
                    | u128::from(self.run >> 20) << 64
                    | 0b10 << 62
                    | u128::from(self.run & 0xf_ffff) << 42
                    | u128::from(number & 0x3ff_ffff_ffff),
            )
            .to_string(),
        }
    }

    /// The number of the command with this key, where it is one of this load's.
    pub fn number_of(&self, key: &str) -> Option<u64> {
        if let Some(rest) = key.strip_prefix("load:") {
            let (run, number) = rest.split_once(':')?;
            let run = u32::from_str_radix(run, 16).ok()?;
            let number: u64 = number.parse().ok()?;
            return (run == self.run && number.is_multiple_of(2)).then_some(number);
        }
        let uuid = uuid::Uuid::try_parse(key).ok()?.as_u128();
        let run = ((uuid >> 64) as u32 & 0xfff) << 20 | (uuid >> 42) as u32 & 0xf_ffff;
        let number = uuid as u64 & 0x3ff_ffff_ffff;
        (run == self.run && !number.is_multiple_of(2)).then_some(number)
    }
}

impl Planned {
    /// For people.
    pub fn said(&self, shape: &Shape) -> String {
        let kind = match self.kind {
            Kind::Deposit => "deposit",
            Kind::Withdrawal => "withdrawal",
            Kind::Transfer => "transfer",
        };
        let purpose = match self.purpose {
            Purpose::Carry => String::new(),
            Purpose::Refuse(why) => format!(", to be refused ({why:?})"),
            Purpose::Malformed(what) => format!(", malformed ({what:?})"),
            Purpose::Repeat(original) => format!(", which repeats command {original}"),
        };
        format!(
            "command {}{purpose}: {kind} of {} from {} to {} in {}",
            self.number,
            self.amount,
            Shape::account_name(self.debit),
            Shape::account_name(self.credit),
            shape.ledger_name(self.ledger)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            seed: 7,
            run: 0xdead_beef,
            ledgers: 3,
            accounts: 50,
            mix: Mix::default(),
            refused: Permille(50),
            repeats: Permille(30),
            malformed: Permille(10),
        }
    }

    #[test]
    fn the_shares_are_what_was_asked_for_and_all_is_reproducible() {
        let shape = shape();
        let (mut refused, mut repeats, mut malformed, mut kinds) = (0, 0, 0, [0; 3]);
        for number in 0..100_000 {
            let planned = shape.command(number);
            assert_eq!(planned, shape.command(number));
            match planned.purpose {
                Purpose::Carry => {
                    kinds[planned.kind as usize] += 1;
                    assert_ne!(planned.debit, planned.credit);
                    assert!(planned.debit <= 50 && planned.credit <= 50);
                }
                Purpose::Refuse(Refusal::Funds) => {
                    refused += 1;
                    assert_ne!(planned.debit, BANK, "the bank's own has no limit");
                }
                Purpose::Refuse(_) => refused += 1,
                Purpose::Malformed(_) => malformed += 1,
                Purpose::Repeat(original) => {
                    repeats += 1;
                    assert!(original < number);
                    let original = shape.command(original);
                    assert!(matches!(
                        original.purpose,
                        Purpose::Carry | Purpose::Refuse(_)
                    ));
                    assert_eq!(
                        (
                            planned.debit,
                            planned.credit,
                            planned.amount,
                            planned.ledger
                        ),
                        (
                            original.debit,
                            original.credit,
                            original.amount,
                            original.ledger
                        )
                    );
                }
            }
        }
        let about = |found: i32, wanted: i32| (found - wanted).abs() < wanted / 10;
        assert!(about(refused, 5_000), "{refused}");
        assert!(about(repeats, 3_000), "{repeats}");
        assert!(about(malformed, 1_000), "{malformed}");
        assert!(about(kinds[0], 22_750), "{kinds:?}");
        assert!(about(kinds[2], 54_600), "{kinds:?}");
    }

    #[test]
    fn a_key_tells_its_command() {
        let shape = shape();
        let mut keys = std::collections::BTreeSet::new();
        for number in 0..1_000 {
            let key = shape.key(number, 1_800_000_000_000 + number);
            assert_eq!(shape.number_of(&key), Some(number), "{key}");
            assert!(key.len() <= 64);
            assert!(keys.insert(key));
        }
        let other = Shape { run: 1, ..shape };
        assert_eq!(other.number_of(keys.first().expect("a key")), None);
        assert_eq!(other.number_of("setup"), None);
    }
}
