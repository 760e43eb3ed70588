//! Tables: given, when and then as text. One line is one command with named columns, and after
//! a bar what it comes to:
//!
//! ```text
//! == a table begins with its title
//! open a=cash type=asset
//! open a=alice type=liability min=0
//! post id=t1 p=cash>alice:100            | alice=100
//! hold id=h1 p=alice>bob:60 expires=+60  | alice=100/40/40 h1=PENDING
//! post id=t2 p=alice>bob:41              | INSUFFICIENT_FUNDS account=alice available=40
//! ```
//!
//! Balances are `posted` alone where available and pending are the same, else
//! `posted/available/pending`; they are in minor units of `USD/2` unless an account says
//! `asset=`. Amounts of postings are `5`, `..5` (up to) or `2..5` (up to, at least). Times are
//! seconds after midnight of the table's day, `+60` after now. Members of `atomic` follow
//! indented. A key is made of `id`, or given by `key=`.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::account::AccountNumber;
use ledger_core::account::{
    AccountType, Direction, FreezeScope, Limits, LimitsChange, VelocityLimit, VelocityWindow,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::command::*;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::AccountName;
use ledger_core::rejection::{Code, Rejection};
use ledger_core::text::{Metadata, MetadataChange, Text};
use ledger_core::time::{Day, Timestamp};
use ledger_core::transaction::{HoldTerms, LimitsMode, TransactionStatus};

use super::{Mode, Outcome, World, ledger, uuid_key};

/// A line of a table, split up.
#[derive(Debug, Clone)]
struct Line {
    number: usize,
    indented: bool,
    verb: String,
    columns: Vec<(String, String)>,
    then: Vec<String>,
}

/// A table.
pub struct Table {
    pub title: String,
    lines: Vec<Line>,
}

/// Reads the tables of one file.
pub fn parse(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for (number, raw) in (1..).zip(text.lines()) {
        let line = raw.split("# ").next().unwrap_or_default().trim_end();
        if let Some(title) = line.strip_prefix("== ") {
            tables.push(Table {
                title: title.to_owned(),
                lines: Vec::new(),
            });
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        let (when, then) = line.split_once(" | ").unwrap_or((line, ""));
        let mut words = when.split_whitespace();
        let verb = words.next().expect("a line that is not blank").to_owned();
        let columns = words
            .map(|word| {
                let (name, value) = word.split_once('=').unwrap_or((word, "yes"));
                (name.to_owned(), value.to_owned())
            })
            .collect();
        let table = tables
            .last_mut()
            .unwrap_or_else(|| panic!("line {number} stands before the first title"));
        table.lines.push(Line {
            number,
            indented: line.starts_with(' '),
            verb,
            columns,
            then: then.split_whitespace().map(str::to_owned).collect(),
        });
    }
    tables
}

/// Runs one table, and gives what it left behind.
pub fn run_all(table: &Table, mode: Mode) -> World {
    run(table, mode, &mut BTreeSet::new())
}

/// Runs one table in one mode, and adds the codes that it gave to `codes`.
pub fn run(table: &Table, mode: Mode, codes: &mut BTreeSet<Code>) -> World {
    let mut runner = Runner {
        world: World::new(mode),
        keys: BTreeMap::new(),
        made: 0,
    };
    let created = Command {
        key: uuid_key(1, 1),
        conditions: Vec::new(),
        operation: Operation::CreateLedger(CreateLedger::default()),
    };
    if !table.title.starts_with("no ledger:") {
        runner.world.submit(&created);
    }
    let mut lines = table.lines.iter().peekable();
    while let Some(line) = lines.next() {
        let mut members = Vec::new();
        while let Some(member) = lines.next_if(|l| l.indented) {
            members.push(member.clone());
        }
        let place = format!("{:?}, line {} ({mode:?})", table.title, line.number);
        let outcome = runner.step(line, &members);
        if let Some(Outcome::Decided(Err(rejection))) = &outcome {
            codes.insert(rejection.code);
        }
        runner.expect(line, outcome, &place);
    }
    runner.world
}

struct Runner {
    world: World,
    /// Keys by the id that tables give them.
    keys: BTreeMap<String, IdempotencyKey>,
    made: u32,
}

impl Line {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.columns
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.columns.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    fn need(&self, name: &str) -> &str {
        self.get(name)
            .unwrap_or_else(|| panic!("line {} needs {name}=", self.number))
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn words(&self, name: &str) -> Option<Text> {
        self.get(name).map(Text::plain)
    }
}

pub fn amount(text: &str) -> Amount {
    match text {
        "max" => Amount::MAX,
        text => Amount::parse(text).expect("an amount"),
    }
}

fn signed(text: &str) -> i128 {
    match text {
        "max" => i128::MAX,
        "min" => i128::MIN,
        text => text.parse().expect("a signed number"),
    }
}

fn account_ref(text: &str) -> AccountRef {
    match text.strip_prefix("number-") {
        Some(number) => AccountRef::Number(AccountNumber(number.parse().expect("a number"))),
        None => AccountRef::Name(AccountName::new(text).expect("an account name")),
    }
}

fn asset(text: Option<&str>) -> Asset {
    Asset::parse(text.unwrap_or("USD/2")).expect("an asset")
}

/// `day:out:500`, `month:in:500`, `600s:out:500`.
fn velocity(text: &str) -> VelocityLimit {
    let parts: Vec<&str> = text.split(':').collect();
    VelocityLimit {
        window: match parts[0] {
            "day" => VelocityWindow::CalendarDay,
            "month" => VelocityWindow::CalendarMonth,
            seconds => VelocityWindow::Rolling {
                seconds: seconds.trim_end_matches('s').parse().expect("seconds"),
            },
        },
        direction: match parts[1] {
            "out" => Direction::Outflow,
            "in" => Direction::Inflow,
            other => panic!("direction {other}"),
        },
        amount: amount(parts[2]),
    }
}

/// `k:v` entries.
fn metadata(line: &Line, name: &str) -> Metadata {
    let mut entries = BTreeMap::new();
    for text in line.all(name) {
        match text.split_once(':') {
            Some((key, value)) => {
                entries.insert(Box::from(key), Text::plain(value));
            }
            // `meta=30` is thirty entries.
            None => {
                for i in 0..text.parse::<u32>().expect("a count of entries") {
                    entries.insert(format!("{name}{i}").into(), Text::plain("value"));
                }
            }
        }
    }
    Metadata::new(entries).expect("metadata within its limits")
}

fn posting(text: &str) -> PostingSpec {
    let (text, asked) = match text.split_once('@') {
        Some((text, asked)) => (text, Some(asset(Some(asked)))),
        None => (text, None),
    };
    let (accounts, moved) = text.rsplit_once(':').expect("debit>credit:amount");
    let (debit, credit) = accounts.split_once('>').expect("debit>credit");
    PostingSpec {
        debit: account_ref(debit),
        credit: account_ref(credit),
        amount: match moved.split_once("..") {
            None => AmountSpec::Exact(amount(moved)),
            Some((least, most)) => AmountSpec::UpTo {
                most: amount(most),
                at_least: if least.is_empty() {
                    Amount::ZERO
                } else {
                    amount(least)
                },
            },
        },
        asset: asked,
    }
}

/// `0:30,1:20`.
fn parts(line: &Line) -> Vec<(u32, Amount)> {
    let Some(text) = line.get("amounts") else {
        return Vec::new();
    };
    text.split(',')
        .map(|part| {
            let (index, moved) = part.split_once(':').expect("index:amount");
            (index.parse().expect("an index"), amount(moved))
        })
        .collect()
}

/// `alice@3` or `alice.available>=100`.
fn condition(text: &str) -> Condition {
    if let Some((account, version)) = text.split_once('@') {
        return Condition::AccountVersion {
            account: account_ref(account),
            version: version.parse().expect("a version"),
        };
    }
    let (account, demand) = text.split_once('.').expect("account.kind");
    let (kind, comparison, number) = [
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        ("==", Comparison::Equal),
    ]
    .into_iter()
    .find_map(|(sign, comparison)| {
        let (kind, number) = demand.split_once(sign)?;
        Some((kind, comparison, number))
    })
    .expect("a comparison");
    Condition::Balance {
        account: account_ref(account),
        kind: match kind {
            "posted" => BalanceKind::Posted,
            "pending" => BalanceKind::Pending,
            "available" => BalanceKind::Available,
            other => panic!("balance {other}"),
        },
        comparison,
        amount: signed(number),
    }
}

impl Runner {
    fn step(&mut self, line: &Line, members: &[Line]) -> Option<Outcome> {
        if line.verb == "at" {
            self.set_clock(line);
            return None;
        }
        let key = self.key(line);
        let operation = match line.verb.as_str() {
            "atomic" => Operation::Atomic(
                members
                    .iter()
                    .map(|member| {
                        if let Some(id) = member.get("id") {
                            let place = members.iter().take_while(|m| m.number < member.number);
                            let id_of = key.member_transaction_id(&ledger(), place.count() as u32);
                            self.keys
                                .insert(id.to_owned(), IdempotencyKey::Uuid(id_of.0));
                        }
                        AtomicMember {
                            conditions: member.all("if").map(condition).collect(),
                            operation: self.operation(member),
                        }
                    })
                    .collect(),
            ),
            _ => self.operation(line),
        };
        let command = Command {
            key,
            conditions: line.all("if").map(condition).collect(),
            operation,
        };
        Some(if line.has("dry") {
            self.world.judge(&command)
        } else {
            self.world.submit(&command)
        })
    }

    fn set_clock(&mut self, line: &Line) {
        let day = match line.get("day") {
            Some(day) => 20_000 + day.parse::<i32>().expect("a day"),
            None => self.world.now.business_date.0,
        };
        let seconds = line
            .get("second")
            .map_or(0, |s| s.parse().expect("seconds"));
        self.world.now = super::moment(day, seconds);
        if let Some(date) = line.get("date") {
            self.world.now.business_date = Day(20_000 + date.parse::<i32>().expect("a date"));
        }
    }

    fn key(&mut self, line: &Line) -> IdempotencyKey {
        if let Some(text) = line.get("key") {
            let key = match self.keys.get(text) {
                Some(known) => known.clone(),
                None => IdempotencyKey::parse(text).expect("a key"),
            };
            if let Some(id) = line.get("id") {
                self.keys.insert(id.to_owned(), key.clone());
            }
            return key;
        }
        self.made += 1;
        let key = uuid_key(1_000 + u64::from(self.made), self.made);
        if let Some(id) = line.get("id") {
            self.keys.insert(id.to_owned(), key.clone());
        }
        key
    }

    fn transaction(&self, id: &str) -> TransactionId {
        match self.keys.get(id) {
            Some(key) => key.transaction_id(&ledger()),
            None => TransactionId(0xdead),
        }
    }

    /// `+60` after now, `60` after midnight, `-1d` a day before now.
    fn time(&self, text: &str) -> Timestamp {
        let now = self.world.now.recorded_at;
        let seconds = |text: &str| match text.strip_suffix('d') {
            Some(days) => days.parse::<i64>().expect("days") * 86_400_000_000,
            None => text.parse::<i64>().expect("seconds") * 1_000_000,
        };
        match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(after), _) => now.saturating_add(seconds(after)),
            (_, Some(before)) => now.saturating_add(-seconds(before)),
            _ => now.utc_day().start().saturating_add(seconds(text)),
        }
    }

    fn effective_at(&self, line: &Line) -> Option<Timestamp> {
        line.get("effective").map(|text| self.time(text))
    }

    fn operation(&self, line: &Line) -> Operation {
        let account = || account_ref(line.need("a"));
        let change = || ChangeAccount {
            account: account(),
            reason: line.words("reason"),
        };
        let limits_mode = || match line.words("record_only") {
            Some(reason) => LimitsMode::RecordOnly(reason),
            None => LimitsMode::Enforce,
        };
        let new_words = || match line.get("words") {
            None => None,
            Some("none") => Some(None),
            Some(text) => Some(Some(Text::plain(text))),
        };
        let changed = || MetadataChange {
            set: metadata(line, "set"),
            remove: line.all("remove").map(Box::from).collect(),
        };
        let settlement = || -> Vec<(Asset, AccountName)> {
            line.all("settle")
                .map(|text| {
                    let (a, name) = text.split_once(':').expect("asset:account");
                    let name = AccountName::new(name).expect("an account name");
                    (asset(Some(a)), name)
                })
                .collect()
        };
        match line.verb.as_str() {
            "create" => Operation::CreateLedger(CreateLedger {
                settlement_accounts: settlement(),
                cut_off_seconds: line
                    .get("cut_off")
                    .map_or(0, |s| s.parse().expect("seconds")),
                ..CreateLedger::default()
            }),
            "change" => Operation::UpdateLedger(UpdateLedger {
                description: new_words(),
                metadata: changed(),
                settlement_accounts: line.has("settle").then(settlement),
            }),
            "open" => Operation::OpenAccount(OpenAccount {
                name: AccountName::new(line.need("a")).expect("an account name"),
                asset: asset(line.get("asset")),
                account_type: match line.get("type").unwrap_or("liability") {
                    "asset" => AccountType::Asset,
                    "liability" => AccountType::Liability,
                    "equity" => AccountType::Equity,
                    "income" => AccountType::Income,
                    "expense" => AccountType::Expense,
                    "memo" => AccountType::Memo,
                    other => panic!("type {other}"),
                },
                limits: Limits {
                    minimum: line.get("min").map(signed),
                    maximum: line.get("max").map(signed),
                    per_transaction: line.get("each").map(amount),
                    velocity: line.all("velocity").map(velocity).collect(),
                },
                metadata: metadata(line, "meta"),
            }),
            "limit" => {
                let bound = |name: &str| match line.get(name) {
                    None => None,
                    Some("none") => Some(None),
                    Some(text) => Some(Some(signed(text))),
                };
                Operation::UpdateAccount(UpdateAccount {
                    account: account(),
                    limits: LimitsChange {
                        minimum: bound("min"),
                        maximum: bound("max"),
                        per_transaction: line
                            .get("each")
                            .map(|text| (text != "none").then(|| amount(text))),
                        velocity: line.has("velocity").then(|| {
                            line.all("velocity")
                                .filter(|text| *text != "none")
                                .map(velocity)
                                .collect()
                        }),
                    },
                    metadata: changed(),
                })
            }
            "freeze" => Operation::FreezeAccount(FreezeAccount {
                account: account(),
                scope: match line.get("scope").unwrap_or("all") {
                    "debits" => FreezeScope::Debits,
                    "credits" => FreezeScope::Credits,
                    _ => FreezeScope::All,
                },
                reason: line.words("reason"),
            }),
            "unfreeze" => Operation::UnfreezeAccount(change()),
            "close" => Operation::CloseAccount(change()),
            "reopen" => Operation::ReopenAccount(change()),
            "post" | "hold" => Operation::CreateTransaction(CreateTransaction {
                postings: line.all("p").map(posting).collect(),
                effective_at: self.effective_at(line),
                hold: (line.verb == "hold").then(|| HoldTerms {
                    expires_at: line.get("expires").map(|text| self.time(text)),
                    over_capture_up_to: line.get("over").map(amount),
                }),
                limits: limits_mode(),
                description: line.words("words"),
                metadata: metadata(line, "meta"),
            }),
            "capture" => Operation::CaptureTransaction(CaptureTransaction {
                hold: self.transaction(line.need("of")),
                amounts: parts(line),
                is_final: line.has("final"),
                effective_at: self.effective_at(line),
                description: line.words("words"),
                metadata: metadata(line, "meta"),
            }),
            "void" => Operation::VoidTransaction(VoidTransaction {
                hold: self.transaction(line.need("of")),
                reason: line.words("reason"),
            }),
            "expire" => Operation::ExpireHold(self.transaction(line.need("of"))),
            "reverse" => Operation::ReverseTransaction(ReverseTransaction {
                original: self.transaction(line.need("of")),
                amounts: parts(line),
                effective_at: self.effective_at(line),
                limits: limits_mode(),
                description: line.words("words"),
                metadata: metadata(line, "meta"),
            }),
            "amend" => Operation::UpdateTransaction(UpdateTransaction {
                transaction: self.transaction(line.need("of")),
                expected_version: line.get("version").map(|v| v.parse().expect("a version")),
                description: new_words(),
                metadata: changed(),
            }),
            "close_books" => Operation::CloseBooks(CloseBooks {
                through: self.time(line.need("through")),
                reason: line.words("reason"),
            }),
            "reopen_books" => Operation::ReopenBooks(ReopenBooks {
                through: line.get("through").map(|text| self.time(text)),
                reason: Text::plain(line.get("reason").unwrap_or("audit")),
            }),
            "atomic" => Operation::Atomic(Vec::new()),
            other => panic!("line {}: there is no verb {other}", line.number),
        }
    }

    fn expect(&self, line: &Line, outcome: Option<Outcome>, place: &str) {
        let first = line.then.first().map_or("", String::as_str);
        let code = Code::parse(first);
        match outcome {
            None => {}
            Some(Outcome::Decided(Err(rejection))) => {
                assert_eq!(Some(rejection.code), code, "{place}: {rejection}");
                for said in &line.then[1..] {
                    expect_figure(&rejection, said, place);
                }
                return;
            }
            Some(Outcome::Decided(Ok(event))) => {
                assert!(code.is_none(), "{place}: expected {first}, got {event:?}");
                assert!(
                    !matches!(first, "REPEATED" | "REUSED"),
                    "{place}: {event:?}"
                );
            }
            Some(Outcome::Repeated(_)) => {
                assert_eq!(first, "REPEATED", "{place}");
            }
            Some(Outcome::Reused) => {
                assert_eq!(first, "REUSED", "{place}");
            }
        }
        for said in &line.then {
            if matches!(said.as_str(), "REPEATED" | "REUSED") {
                continue;
            }
            self.expect_state(said, place);
        }
    }

    fn expect_state(&self, said: &str, place: &str) {
        let (name, value) = said
            .split_once('=')
            .unwrap_or_else(|| panic!("{place}: {said} is no expectation"));
        let state = &self.world.state;
        if let Some(number) = name.strip_suffix("@version") {
            let account = state.account(&account_ref(number)).expect("the account");
            assert_eq!(account.version.to_string(), value, "{place}: {said}");
            return;
        }
        if name == "holds" {
            assert_eq!(state.open_holds().len().to_string(), value, "{place}");
            return;
        }
        if name == "due" {
            let due = state.due_hold(self.world.now.recorded_at);
            let expected = (value != "none").then(|| self.transaction(value));
            assert_eq!(due, expected, "{place}: {said}");
            return;
        }
        if self.keys.contains_key(name) {
            let transaction = &self.world.index.transactions[&self.transaction(name)];
            let (status, version) = match value.split_once('@') {
                Some((status, version)) => (status, Some(version)),
                None => (value, None),
            };
            let shown = match transaction.status {
                TransactionStatus::Posted => "POSTED",
                TransactionStatus::Pending => "PENDING",
                TransactionStatus::Voided => "VOIDED",
                TransactionStatus::Expired => "EXPIRED",
            };
            assert_eq!(shown, status, "{place}: {said}");
            if let Some(version) = version {
                assert_eq!(transaction.version.to_string(), version, "{place}: {said}");
            }
            return;
        }
        let account = state
            .account(&account_ref(name))
            .unwrap_or_else(|| panic!("{place}: account {name} is not open"));
        let shown: Vec<String> = [
            BalanceKind::Posted,
            BalanceKind::Available,
            BalanceKind::Pending,
        ]
        .into_iter()
        .map(|kind| account.balance(kind).to_string())
        .collect();
        let expected = match value.contains('/') {
            true => value.to_owned(),
            false => [value; 3].join("/"),
        };
        assert_eq!(shown.join("/"), expected, "{place}: {said}");
    }
}

fn expect_figure(rejection: &Rejection, said: &str, place: &str) {
    let (name, value) = said
        .split_once('=')
        .unwrap_or_else(|| panic!("{place}: {said} is no figure"));
    if name == "member" {
        assert_eq!(
            rejection.member.map(|m| m.to_string()),
            Some(value.to_owned()),
            "{place}"
        );
        return;
    }
    let figure = rejection.figures.iter().find(|(n, _)| n == name);
    assert_eq!(
        figure.map(|(_, v)| v.as_str()),
        Some(value),
        "{place}: {name} of {rejection}"
    );
}
