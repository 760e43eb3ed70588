//! A ledger as a child would write it: totals in a map, holds in a map, one rule. What the
//! engine decided is held against it, record by record.

use std::collections::BTreeMap;

use ledger_core::time::Timestamp;

/// What the simulator asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    Transfer {
        from: &'static str,
        to: &'static str,
        amount: i128,
    },
    Hold {
        from: &'static str,
        to: &'static str,
        amount: i128,
        expires_at: Option<Timestamp>,
    },
    /// Of the hold that the wish of this number makes.
    Capture {
        hold: usize,
        amount: i128,
        last: bool,
    },
    Void {
        hold: usize,
    },
}

#[derive(Debug, Clone)]
struct Held {
    from: &'static str,
    to: &'static str,
    left: i128,
    captured: i128,
    expires_at: Option<Timestamp>,
    open: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Naive {
    /// In minus out, but for `cash` which may owe.
    pub posted: BTreeMap<&'static str, i128>,
    /// What open holds take out.
    pub pending_out: BTreeMap<&'static str, i128>,
    holds: BTreeMap<usize, Held>,
}

impl Naive {
    fn available(&self, account: &str) -> i128 {
        self.posted.get(account).copied().unwrap_or_default()
            - self.pending_out.get(account).copied().unwrap_or_default()
    }

    fn can_pay(&self, from: &str, amount: i128) -> bool {
        from == "cash" || self.available(from) >= amount
    }

    fn moves(&mut self, from: &'static str, to: &'static str, amount: i128) {
        *self.posted.entry(from).or_default() -= amount;
        *self.posted.entry(to).or_default() += amount;
    }

    fn reserves(&mut self, from: &'static str, amount: i128) {
        *self.pending_out.entry(from).or_default() += amount;
    }

    /// Carries the wish of this number out, or says no.
    pub fn decide(&mut self, number: usize, wish: &Wish, at: Timestamp) -> bool {
        match *wish {
            Wish::Transfer { from, to, amount } => {
                if !self.can_pay(from, amount) {
                    return false;
                }
                self.moves(from, to, amount);
            }
            Wish::Hold {
                from,
                to,
                amount,
                expires_at,
            } => {
                if expires_at.is_some_and(|e| e <= at) || !self.can_pay(from, amount) {
                    return false;
                }
                self.reserves(from, amount);
                self.holds.insert(
                    number,
                    Held {
                        from,
                        to,
                        left: amount,
                        captured: 0,
                        expires_at,
                        open: true,
                    },
                );
            }
            Wish::Capture { hold, amount, last } => {
                let Some(held) = self.holds.get_mut(&hold) else {
                    return false;
                };
                if !held.open || amount > held.left || held.expires_at.is_some_and(|e| e <= at) {
                    return false;
                }
                held.left -= amount;
                held.captured += amount;
                let (from, to, left) = (held.from, held.to, held.left);
                let ends = last || left == 0;
                held.open = !ends;
                self.reserves(from, -amount);
                self.moves(from, to, amount);
                if ends {
                    self.reserves(from, -left);
                }
            }
            Wish::Void { hold } => {
                let Some(held) = self.holds.get(&hold) else {
                    return false;
                };
                if !held.open || held.expires_at.is_some_and(|e| e <= at) {
                    return false;
                }
                self.release(hold);
            }
        }
        true
    }

    /// Lets the hold of this number go.
    pub fn release(&mut self, hold: usize) {
        let held = self.holds.get_mut(&hold).expect("it was made");
        assert!(held.open, "a hold ends once");
        held.open = false;
        let (from, left) = (held.from, held.left);
        self.reserves(from, -left);
    }

    /// True when the hold of this number is open and its time has come.
    pub fn is_due(&self, hold: usize, at: Timestamp) -> bool {
        self.holds
            .get(&hold)
            .is_some_and(|held| held.open && held.expires_at.is_some_and(|e| e <= at))
    }

    pub fn any_due(&self, at: Timestamp) -> bool {
        self.holds.keys().any(|hold| self.is_due(*hold, at))
    }
}
