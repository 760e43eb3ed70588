//! A naive ledger: the rules once more, straight from the design, over plain maps and `i128`,
//! sharing nothing with the engine but the words. It says of a command the code that refuses it
//! or nothing, and what stands on the accounts afterwards.

use std::collections::BTreeMap;

use ledger_core::rejection::Code;

/// What the model is asked; accounts and transactions are small numbers.
#[derive(Debug, Clone)]
pub enum Ask {
    Open {
        account: usize,
        asset: u8,
        debit_side: bool,
        minimum: Option<i128>,
        maximum: Option<i128>,
        each: Option<i128>,
        daily_out: Option<i128>,
        rolling_in: Option<i128>,
    },
    Limit {
        account: usize,
        minimum: Option<i128>,
        maximum: Option<i128>,
        daily_out: Option<i128>,
    },
    Freeze {
        account: usize,
        debits: bool,
        credits: bool,
    },
    Unfreeze {
        account: usize,
    },
    Close {
        account: usize,
    },
    Reopen {
        account: usize,
    },
    Post {
        postings: Vec<Post>,
        hold: Option<HoldAsk>,
        effective: i64,
        record_only: bool,
    },
    Capture {
        of: usize,
        amounts: Vec<(u32, i128)>,
        last: bool,
        effective: i64,
    },
    Void {
        of: usize,
    },
    Expire {
        of: usize,
    },
    Reverse {
        of: usize,
        amounts: Vec<(u32, i128)>,
        effective: i64,
        record_only: bool,
    },
    CloseBooks {
        through: i64,
    },
    ReopenBooks {
        through: Option<i64>,
    },
    Atomic(Vec<Ask>),
}

#[derive(Debug, Clone)]
pub struct Post {
    pub debit: usize,
    pub credit: usize,
    pub most: i128,
    /// `None` for exactly `most`.
    pub at_least: Option<i128>,
}

#[derive(Debug, Clone)]
pub struct HoldAsk {
    pub expires: Option<i64>,
    pub over: Option<i128>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub asset: u8,
    pub debit_side: bool,
    pub minimum: Option<i128>,
    pub maximum: Option<i128>,
    pub each: Option<i128>,
    pub daily_out: Option<i128>,
    pub rolling_in: Option<i128>,
    pub frozen: (bool, bool),
    pub closed: bool,
    pub version: u64,
    /// Debits and credits, posted and pending.
    pub posted: [i128; 2],
    pub pending: [i128; 2],
    /// (time, day, amount) of every outflow and inflow that counts.
    out_flows: Vec<Flow>,
    in_flows: Vec<Flow>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Flow {
    /// The hold that may give back.
    hold: Option<usize>,
    posting: usize,
    second: i64,
    day: i64,
    amount: i128,
}

#[derive(Debug, Clone)]
pub struct Transaction {
    pub postings: Vec<(usize, usize, i128)>,
    pub captured: Vec<i128>,
    pub reversed: Vec<i128>,
    pub kind: Kind,
    pub state: State,
    pub expires: Option<i64>,
    pub over: Option<i128>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Direct,
    Hold,
    Capture,
    Reversal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Posted,
    Pending,
    Voided,
    Expired,
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub accounts: BTreeMap<usize, Account>,
    pub numbers: Vec<usize>,
    /// By the number that the test gives each.
    pub transactions: BTreeMap<usize, Transaction>,
    pub closed_through: Option<i64>,
    pub second: i64,
}

impl Account {
    fn available(&self) -> i128 {
        let side = usize::from(!self.debit_side);
        self.posted[side] - self.posted[1 - side] - self.pending[1 - side]
    }

    fn incoming(&self) -> i128 {
        let side = usize::from(!self.debit_side);
        self.posted[side] + self.pending[side] - self.posted[1 - side]
    }

    /// True when `column` (0 debits, 1 credits) goes out.
    fn is_out(&self, column: usize) -> bool {
        (column == 0) != self.debit_side
    }

    fn out_today(&self, day: i64) -> i128 {
        let today = self.out_flows.iter().filter(|flow| flow.day == day);
        today.map(|flow| flow.amount).sum()
    }

    fn in_lately(&self, second: i64) -> i128 {
        // 600 seconds in buckets of 10: sixty whole ones and the present one.
        let from = second.div_euclid(10) - 60;
        let lately = self
            .in_flows
            .iter()
            .filter(|flow| flow.second.div_euclid(10) >= from);
        lately.map(|flow| flow.amount).sum()
    }
}

impl Model {
    fn day(&self) -> i64 {
        self.second.div_euclid(86_400)
    }

    /// Carries `ask` out, or says the code that refuses it and changes nothing. `id` is the
    /// number of the transaction that it would make; members count on from it.
    pub fn submit(&mut self, id: usize, ask: &Ask) -> Result<(), Code> {
        let mut next = self.clone();
        match ask {
            Ask::Atomic(members) => {
                for (index, member) in members.iter().enumerate() {
                    next.one(id + 1 + index, member)?;
                }
            }
            ask => next.one(id, ask)?,
        }
        *self = next;
        Ok(())
    }

    fn one(&mut self, id: usize, ask: &Ask) -> Result<(), Code> {
        match ask {
            Ask::Open {
                account,
                asset,
                debit_side,
                minimum,
                maximum,
                each,
                daily_out,
                rolling_in,
            } => {
                if self.accounts.contains_key(account) {
                    return Err(Code::AccountAlreadyExists);
                }
                check_bounds(*minimum, *maximum)?;
                self.numbers.push(*account);
                self.accounts.insert(
                    *account,
                    Account {
                        asset: *asset,
                        debit_side: *debit_side,
                        minimum: *minimum,
                        maximum: *maximum,
                        each: *each,
                        daily_out: *daily_out,
                        rolling_in: *rolling_in,
                        frozen: (false, false),
                        closed: false,
                        version: 1,
                        posted: [0; 2],
                        pending: [0; 2],
                        out_flows: Vec::new(),
                        in_flows: Vec::new(),
                    },
                );
            }
            Ask::Limit {
                account,
                minimum,
                maximum,
                daily_out,
            } => {
                check_bounds_of(self.accounts.get(account), *minimum, *maximum)?;
                let a = self
                    .accounts
                    .get_mut(account)
                    .ok_or(Code::AccountNotFound)?;
                (a.minimum, a.maximum) = (*minimum, *maximum);
                if a.daily_out.is_none() && daily_out.is_some() {
                    // A new limit starts with what open holds still reserve.
                    let name = *account;
                    let transactions = &self.transactions;
                    a.out_flows.retain_mut(|flow| {
                        let Some(hold) = flow.hold.and_then(|h| transactions.get(&h)) else {
                            return false;
                        };
                        if hold.state != State::Pending {
                            return false;
                        }
                        let (debit, credit, amount) = hold.postings[flow.posting];
                        assert!(debit == name || credit == name);
                        flow.amount = (amount - hold.captured[flow.posting]).max(0);
                        true
                    });
                }
                a.daily_out = *daily_out;
                a.version += 1;
            }
            Ask::Freeze {
                account,
                debits,
                credits,
            } => {
                let a = self
                    .accounts
                    .get_mut(account)
                    .ok_or(Code::AccountNotFound)?;
                if a.closed {
                    return Err(Code::AccountAlreadyClosed);
                }
                a.frozen = (*debits, *credits);
                a.version += 1;
            }
            Ask::Unfreeze { account } => {
                let a = self
                    .accounts
                    .get_mut(account)
                    .ok_or(Code::AccountNotFound)?;
                if a.closed || a.frozen == (false, false) {
                    return Err(Code::AccountNotFrozen);
                }
                a.frozen = (false, false);
                a.version += 1;
            }
            Ask::Close { account } => {
                let a = self.accounts.get(account).ok_or(Code::AccountNotFound)?;
                if a.closed {
                    return Err(Code::AccountAlreadyClosed);
                }
                let touches = |t: &Transaction| {
                    t.state == State::Pending
                        && t.postings
                            .iter()
                            .any(|p| p.0 == *account || p.1 == *account)
                };
                if self.transactions.values().any(touches) {
                    return Err(Code::AccountHasHolds);
                }
                if a.posted[0] != a.posted[1] {
                    return Err(Code::AccountNotEmpty);
                }
                let a = self.accounts.get_mut(account).expect("found above");
                a.closed = true;
                a.version += 1;
            }
            Ask::Reopen { account } => {
                let a = self
                    .accounts
                    .get_mut(account)
                    .ok_or(Code::AccountNotFound)?;
                if !a.closed {
                    return Err(Code::AccountNotClosed);
                }
                a.closed = false;
                a.frozen = (false, false);
                a.version += 1;
            }
            Ask::Post {
                postings,
                hold,
                effective,
                record_only,
            } => {
                self.post(id, postings, hold.as_ref(), *effective, *record_only)?;
            }
            Ask::Capture {
                of,
                amounts,
                last,
                effective,
            } => {
                self.capture(id, *of, amounts, *last, *effective)?;
            }
            Ask::Void { of } => {
                self.open_hold(*of)?;
                self.release(*of, State::Voided);
            }
            Ask::Expire { of } => {
                let hold = self.transactions.get(of).ok_or(Code::TransactionNotFound)?;
                let due = hold.expires.is_some_and(|at| at <= self.second);
                if hold.kind == Kind::Hold && hold.state == State::Pending {
                    if !due {
                        return Err(Code::CommandInvalid);
                    }
                } else {
                    self.open_hold(*of)?;
                }
                self.release(*of, State::Expired);
            }
            Ask::Reverse {
                of,
                amounts,
                effective,
                record_only,
            } => {
                self.reverse(id, *of, amounts, *effective, *record_only)?;
            }
            Ask::CloseBooks { through } => {
                if self.closed_through.is_some_and(|closed| *through <= closed)
                    || *through > self.second
                {
                    return Err(Code::BooksCloseNotForward);
                }
                self.closed_through = Some(*through);
            }
            Ask::ReopenBooks { through } => {
                let Some(closed) = self.closed_through else {
                    return Err(Code::BooksNotClosed);
                };
                if through.is_some_and(|through| through >= closed) {
                    return Err(Code::BooksNotClosed);
                }
                self.closed_through = *through;
            }
            Ask::Atomic(_) => return Err(Code::CommandInvalid),
        }
        Ok(())
    }

    fn open_hold(&self, of: usize) -> Result<&Transaction, Code> {
        let hold = self
            .transactions
            .get(&of)
            .ok_or(Code::TransactionNotFound)?;
        match (hold.kind, hold.state) {
            (Kind::Hold, State::Pending) if hold.expires.is_some_and(|at| at <= self.second) => {
                Err(Code::HoldExpired)
            }
            (Kind::Hold, State::Pending) => Ok(hold),
            (Kind::Hold, State::Voided) => Err(Code::HoldAlreadyVoided),
            (Kind::Hold, State::Expired) => Err(Code::HoldExpired),
            (Kind::Hold, State::Posted) => Err(Code::HoldAlreadyPosted),
            _ => Err(Code::TransactionNotAHold),
        }
    }

    fn period(&self, effective: i64) -> Result<(), Code> {
        match self.closed_through {
            Some(closed) if effective < closed => Err(Code::PeriodClosed),
            _ => Ok(()),
        }
    }

    fn statuses(&self, postings: &[(usize, usize)]) -> Vec<Code> {
        let mut broken = Vec::new();
        for (debit, credit) in postings {
            let (debit, credit) = (&self.accounts[debit], &self.accounts[credit]);
            if debit.closed || credit.closed {
                broken.push(Code::AccountClosed);
            }
            if !debit.closed && debit.frozen.0 || !credit.closed && credit.frozen.1 {
                broken.push(Code::AccountFrozen);
            }
        }
        broken
    }

    fn post(
        &mut self,
        id: usize,
        asked: &[Post],
        hold: Option<&HoldAsk>,
        effective: i64,
        record_only: bool,
    ) -> Result<(), Code> {
        for post in asked {
            if !self.accounts.contains_key(&post.debit) || !self.accounts.contains_key(&post.credit)
            {
                return Err(Code::AccountNotFound);
            }
        }
        self.period(effective)?;
        if hold
            .and_then(|h| h.expires)
            .is_some_and(|at| at <= self.second)
        {
            return Err(Code::ExpiryInPast);
        }
        let mut broken = Vec::new();
        for post in asked {
            if post.most == 0 {
                broken.push(Code::AmountNotPositive);
            }
            let over = hold.and_then(|h| h.over);
            if post.at_least.is_some_and(|least| least > post.most)
                || over.is_some_and(|over| asked.len() > 1 || over < post.most)
            {
                broken.push(Code::AmountSpecInvalid);
            }
            if post.debit == post.credit {
                broken.push(Code::SameAccount);
            }
            if self.accounts[&post.debit].asset != self.accounts[&post.credit].asset {
                broken.push(Code::AssetMismatch);
            }
            broken.extend(self.statuses(&[(post.debit, post.credit)]));
        }
        if let Some(code) = broken.into_iter().min() {
            return Err(code);
        }
        let before = self.accounts.clone();
        let mut gross: BTreeMap<usize, [i128; 2]> = BTreeMap::new();
        let mut postings = Vec::new();
        for post in asked {
            let amount = match post.at_least {
                Some(least) if !record_only => self.up_to(post, least, &gross)?,
                _ => post.most,
            };
            for (name, column) in [(post.debit, 0), (post.credit, 1)] {
                let account = self.accounts.get_mut(&name).expect("found above");
                let sum = match hold {
                    None => &mut account.posted[column],
                    Some(_) => &mut account.pending[column],
                };
                *sum = sum.checked_add(amount).ok_or(Code::BalanceOverflow)?;
                if account.posted[column]
                    .checked_add(account.pending[column])
                    .is_none()
                {
                    return Err(Code::BalanceOverflow);
                }
                gross.entry(name).or_default()[column] += amount;
            }
            postings.push((post.debit, post.credit, amount));
        }
        if !record_only {
            let mut broken = Vec::new();
            for (name, gross) in &gross {
                let (was, is) = (&before[name], &self.accounts[name]);
                broken.extend(flow_limits(is, *gross, self.second, self.day()));
                broken.extend(balance_limits(was, is));
            }
            if let Some(code) = broken.into_iter().min() {
                return Err(code);
            }
        }
        let (second, day) = (self.second, self.day());
        for (posting, (debit, credit, amount)) in postings.iter().enumerate() {
            for (name, column) in [(debit, 0), (credit, 1)] {
                self.count(
                    name,
                    column,
                    Flow {
                        hold: hold.map(|_| id),
                        posting,
                        second,
                        day,
                        amount: *amount,
                    },
                );
            }
        }
        for name in gross.keys() {
            self.accounts.get_mut(name).expect("found above").version += 1;
        }
        let count = postings.len();
        self.transactions.insert(
            id,
            Transaction {
                postings,
                captured: vec![0; count],
                reversed: vec![0; count],
                kind: if hold.is_some() {
                    Kind::Hold
                } else {
                    Kind::Direct
                },
                state: if hold.is_some() {
                    State::Pending
                } else {
                    State::Posted
                },
                expires: hold.and_then(|h| h.expires),
                over: hold.and_then(|h| h.over),
            },
        );
        Ok(())
    }

    fn count(&mut self, name: &usize, column: usize, flow: Flow) {
        let account = self.accounts.get_mut(name).expect("found before");
        if account.is_out(column) {
            account.out_flows.push(flow);
        } else {
            account.in_flows.push(flow);
        }
    }

    fn up_to(
        &self,
        post: &Post,
        least: i128,
        gross: &BTreeMap<usize, [i128; 2]>,
    ) -> Result<i128, Code> {
        let mut amount = post.most;
        let mut broken = Vec::new();
        for (name, column) in [(post.debit, 0), (post.credit, 1)] {
            let account = &self.accounts[&name];
            let gross = gross.get(&name).map_or(0, |g| g[column]);
            let mut rooms = Vec::new();
            if let Some(each) = account.each {
                rooms.push((each.saturating_sub(gross), Code::TransactionLimitExceeded));
            }
            if account.is_out(column) {
                if let Some(limit) = account.daily_out {
                    rooms.push((
                        limit
                            .saturating_sub(account.out_today(self.day()))
                            .saturating_sub(gross),
                        Code::VelocityLimitExceeded,
                    ));
                }
                if let Some(minimum) = account.minimum {
                    rooms.push((
                        account.available().saturating_sub(minimum),
                        Code::InsufficientFunds,
                    ));
                }
            } else {
                if let Some(limit) = account.rolling_in {
                    rooms.push((
                        limit
                            .saturating_sub(account.in_lately(self.second))
                            .saturating_sub(gross),
                        Code::VelocityLimitExceeded,
                    ));
                }
                if let Some(maximum) = account.maximum {
                    rooms.push((
                        maximum.saturating_sub(account.incoming()),
                        Code::BalanceLimitExceeded,
                    ));
                }
            }
            for (room, code) in rooms {
                let room = room.max(0);
                amount = amount.min(room);
                if room < least {
                    broken.push(code);
                }
            }
        }
        match broken.into_iter().min() {
            Some(code) => Err(code),
            None => Ok(amount),
        }
    }

    fn capture(
        &mut self,
        id: usize,
        of: usize,
        asked: &[(u32, i128)],
        last: bool,
        effective: i64,
    ) -> Result<(), Code> {
        let hold = self.open_hold(of)?.clone();
        self.period(effective)?;
        let amounts = parts(&hold.postings, asked, |i| {
            (hold.postings[i].2 - hold.captured[i]).max(0)
        })?;
        for (index, amount) in &amounts {
            let most = hold.over.unwrap_or(hold.postings[*index].2);
            if *amount > most - hold.captured[*index] {
                return Err(Code::CaptureExceedsHold);
            }
        }
        if amounts.is_empty() {
            return Err(Code::NothingToCapture);
        }
        let mut after = hold.clone();
        let mut touched = Vec::new();
        let (second, day) = (self.second, self.day());
        for (index, amount) in &amounts {
            let (debit, credit, held) = hold.postings[*index];
            let reserved = (held - hold.captured[*index]).max(0).min(*amount);
            for (name, column) in [(debit, 0), (credit, 1)] {
                let account = self.accounts.get_mut(&name).expect("a hold's account");
                account.pending[column] -= reserved;
                let posted = account.posted[column]
                    .checked_add(*amount)
                    .ok_or(Code::BalanceOverflow)?;
                account.posted[column] = posted;
                if posted.checked_add(account.pending[column]).is_none() {
                    return Err(Code::BalanceOverflow);
                }
                touched.push(name);
                if *amount > reserved {
                    let excess = amount - reserved;
                    self.count(
                        &name,
                        column,
                        Flow {
                            hold: None,
                            posting: 0,
                            second,
                            day,
                            amount: excess,
                        },
                    );
                }
            }
            after.captured[*index] += amount;
        }
        let more = (0..hold.postings.len())
            .any(|i| after.captured[i] < hold.over.unwrap_or(hold.postings[i].2));
        self.transactions.insert(of, after);
        if last || !more {
            // The release touches every account of the hold, and counts as the same event.
            let all: Vec<usize> = hold.postings.iter().flat_map(|p| [p.0, p.1]).collect();
            let versions: Vec<u64> = all.iter().map(|n| self.accounts[n].version).collect();
            self.release(of, State::Posted);
            for (name, version) in all.iter().zip(versions) {
                self.accounts
                    .get_mut(name)
                    .expect("a hold's account")
                    .version = version;
            }
            touched = all;
        }
        touched.sort_unstable();
        touched.dedup();
        for name in touched {
            self.accounts
                .get_mut(&name)
                .expect("a hold's account")
                .version += 1;
        }
        let postings = amounts
            .iter()
            .map(|(i, amount)| (hold.postings[*i].0, hold.postings[*i].1, *amount));
        self.posted(id, postings.collect(), Kind::Capture);
        Ok(())
    }

    fn posted(&mut self, id: usize, postings: Vec<(usize, usize, i128)>, kind: Kind) {
        let count = postings.len();
        self.transactions.insert(
            id,
            Transaction {
                postings,
                captured: vec![0; count],
                reversed: vec![0; count],
                kind,
                state: State::Posted,
                expires: None,
                over: None,
            },
        );
    }

    /// Gives back what is left of the hold; also in the flows that it counted.
    fn release(&mut self, of: usize, state: State) {
        let hold = self.transactions.get_mut(&of).expect("an open hold");
        hold.state = if hold.captured.iter().any(|c| *c > 0) {
            State::Posted
        } else {
            state
        };
        let hold = hold.clone();
        let mut touched = Vec::new();
        for (index, (debit, credit, amount)) in hold.postings.iter().enumerate() {
            let left = (amount - hold.captured[index]).max(0);
            for (name, column) in [(debit, 0), (credit, 1)] {
                let account = self.accounts.get_mut(name).expect("a hold's account");
                account.pending[column] -= left;
                let flows = if account.is_out(column) {
                    &mut account.out_flows
                } else {
                    &mut account.in_flows
                };
                for flow in flows
                    .iter_mut()
                    .filter(|f| f.hold == Some(of) && f.posting == index)
                {
                    flow.amount -= left;
                }
                touched.push(*name);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for name in touched {
            self.accounts
                .get_mut(&name)
                .expect("a hold's account")
                .version += 1;
        }
    }

    fn reverse(
        &mut self,
        id: usize,
        of: usize,
        asked: &[(u32, i128)],
        effective: i64,
        record_only: bool,
    ) -> Result<(), Code> {
        let original = self
            .transactions
            .get(&of)
            .ok_or(Code::TransactionNotFound)?
            .clone();
        if matches!(original.kind, Kind::Hold | Kind::Reversal) {
            return Err(Code::TransactionNotReversible);
        }
        self.period(effective)?;
        let amounts = parts(&original.postings, asked, |i| {
            original.postings[i].2 - original.reversed[i]
        })?;
        let mirrored: Vec<(usize, usize)> = amounts
            .iter()
            .map(|(i, _)| (original.postings[*i].1, original.postings[*i].0))
            .collect();
        if let Some(code) = self.statuses(&mirrored).into_iter().min() {
            return Err(code);
        }
        for (index, amount) in &amounts {
            if *amount > original.postings[*index].2 - original.reversed[*index] {
                return Err(Code::ReversalExceedsOriginal);
            }
        }
        if amounts.is_empty() {
            return Err(Code::NothingToReverse);
        }
        let before = self.accounts.clone();
        let mut after = original.clone();
        let mut touched = Vec::new();
        for ((index, amount), (debit, credit)) in amounts.iter().zip(&mirrored) {
            for (name, column) in [(debit, 0), (credit, 1)] {
                let account = self.accounts.get_mut(name).expect("an original's account");
                let posted = account.posted[column]
                    .checked_add(*amount)
                    .ok_or(Code::BalanceOverflow)?;
                account.posted[column] = posted;
                if posted.checked_add(account.pending[column]).is_none() {
                    return Err(Code::BalanceOverflow);
                }
                touched.push(*name);
            }
            after.reversed[*index] += amount;
        }
        touched.sort_unstable();
        touched.dedup();
        if !record_only {
            let broken = touched
                .iter()
                .flat_map(|n| balance_limits(&before[n], &self.accounts[n]));
            if let Some(code) = broken.min() {
                return Err(code);
            }
        }
        for name in &touched {
            self.accounts
                .get_mut(name)
                .expect("an original's account")
                .version += 1;
        }
        self.transactions.insert(of, after);
        let postings = amounts
            .iter()
            .zip(&mirrored)
            .map(|((_, amount), (d, c))| (*d, *c, *amount));
        self.posted(id, postings.collect(), Kind::Reversal);
        Ok(())
    }
}

fn check_bounds(minimum: Option<i128>, maximum: Option<i128>) -> Result<(), Code> {
    match (minimum, maximum) {
        (Some(minimum), Some(maximum)) if minimum > maximum => Err(Code::LimitsInvalid),
        _ => Ok(()),
    }
}

fn check_bounds_of(
    account: Option<&Account>,
    minimum: Option<i128>,
    maximum: Option<i128>,
) -> Result<(), Code> {
    account.ok_or(Code::AccountNotFound)?;
    check_bounds(minimum, maximum)
}

fn flow_limits(account: &Account, gross: [i128; 2], second: i64, day: i64) -> Vec<Code> {
    let mut broken = Vec::new();
    if account
        .each
        .is_some_and(|each| gross[0].max(gross[1]) > each)
    {
        broken.push(Code::TransactionLimitExceeded);
    }
    let (out, inward) = if account.debit_side {
        (gross[1], gross[0])
    } else {
        (gross[0], gross[1])
    };
    let over = |limit: i128, counted: i128, new: i128| {
        new > 0 && counted.checked_add(new).is_none_or(|sum| sum > limit)
    };
    if account
        .daily_out
        .is_some_and(|limit| over(limit, account.out_today(day), out))
        || account
            .rolling_in
            .is_some_and(|limit| over(limit, account.in_lately(second), inward))
    {
        broken.push(Code::VelocityLimitExceeded);
    }
    broken
}

fn balance_limits(was: &Account, is: &Account) -> Vec<Code> {
    let mut broken = Vec::new();
    if is.available() < was.available()
        && is.minimum.is_some_and(|minimum| is.available() < minimum)
    {
        broken.push(Code::InsufficientFunds);
    }
    if is.incoming() > was.incoming() && is.maximum.is_some_and(|maximum| is.incoming() > maximum) {
        broken.push(Code::BalanceLimitExceeded);
    }
    broken
}

fn parts(
    postings: &[(usize, usize, i128)],
    asked: &[(u32, i128)],
    left: impl Fn(usize) -> i128,
) -> Result<Vec<(usize, i128)>, Code> {
    if asked.is_empty() {
        return Ok((0..postings.len())
            .map(|i| (i, left(i)))
            .filter(|(_, a)| *a > 0)
            .collect());
    }
    let mut broken = Vec::new();
    for (place, (index, amount)) in asked.iter().enumerate() {
        if *index as usize >= postings.len() || asked[..place].iter().any(|(i, _)| i == index) {
            broken.push(Code::PostingIndexInvalid);
        }
        if *amount == 0 {
            broken.push(Code::AmountNotPositive);
        }
    }
    match broken.into_iter().min() {
        Some(code) => Err(code),
        None => Ok(asked.iter().map(|(i, a)| (*i as usize, *a)).collect()),
    }
}
