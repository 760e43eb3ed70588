//! Rows of transactions, read one by one and made into commands.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use csv::{ReaderBuilder, StringRecord};
use ledger_core::asset::Asset;
use ledger_core::limits::POSTINGS_MAX;
use schemas::proto::v1::*;
use tokio::sync::mpsc::Sender;

use super::pattern::TypeRule;
use super::{Item, KNOWN_ACCOUNTS_MAX, Lines, Purpose, open_key};
use crate::client::money::Written;
use crate::client::{iso4217, moment};

/// Rows between two reports of progress.
const PROGRESS_EVERY: u64 = 1_000;

/// Where each column stands.
struct Columns {
    key: Option<usize>,
    transaction: Option<usize>,
    effective_at: Option<usize>,
    from: usize,
    to: usize,
    amount: usize,
    asset: Option<usize>,
    description: Option<usize>,
    record_only: Option<usize>,
    metadata: Vec<(String, usize)>,
}

impl Columns {
    fn find(head: &StringRecord) -> Result<Self, String> {
        let mut found: HashMap<&str, usize> = HashMap::new();
        let mut metadata = Vec::new();
        for (at, name) in head.iter().enumerate() {
            let name = name.trim();
            match name.strip_prefix("metadata.") {
                Some(key) => metadata.push((key.to_owned(), at)),
                None if found.insert(name, at).is_some() => {
                    return Err(format!("column {name:?} stands there twice"));
                }
                None => {}
            }
        }
        let mut take = |name: &str| found.remove(name);
        let (from, to, amount) = (take("from"), take("to"), take("amount"));
        let (Some(from), Some(to), Some(amount)) = (from, to, amount) else {
            return Err("the first line must name the columns from, to and amount".to_owned());
        };
        let columns = Self {
            key: take("key"),
            transaction: take("transaction"),
            effective_at: take("effective_at"),
            from,
            to,
            amount,
            asset: take("asset"),
            description: take("description"),
            record_only: take("record_only"),
            metadata,
        };
        if let Some(unknown) = found.keys().next() {
            return Err(format!(
                "column {unknown:?} is not known; daybook import --help lists the columns"
            ));
        }
        if columns.key.is_none() && columns.transaction.is_none() {
            return Err(
                "a column named key (or transaction) is needed: it makes a repeat harmless"
                    .to_owned(),
            );
        }
        Ok(columns)
    }
}

/// Rows that make one transaction.
struct Group {
    lines: Lines,
    name: String,
    key: String,
    create: CreateTransaction,
    wrong: Option<String>,
}

/// Reads a file of transactions.
pub(crate) struct Reader {
    ledger: String,
    rules: Vec<TypeRule>,
    known: HashMap<Box<str>, Asset>,
    opening: Vec<(Lines, OpenAccount)>,
}

impl Reader {
    pub(crate) fn new(ledger: &str, rules: Vec<TypeRule>, known: HashMap<Box<str>, Asset>) -> Self {
        Self {
            ledger: ledger.to_owned(),
            rules,
            known,
            opening: Vec::new(),
        }
    }

    /// Reads all, and sends what it makes of it. Ends early when nobody takes it.
    pub(crate) fn read(mut self, input: impl Read, to: &Sender<Item>) {
        // That nobody takes it any more is no failure of this side.
        let _ = self.read_all(input, to);
    }

    fn read_all(&mut self, input: impl Read, to: &Sender<Item>) -> Option<()> {
        let mut csv = ReaderBuilder::new().flexible(true).from_reader(input);
        let columns = match csv
            .headers()
            .map_err(|error| error.to_string())
            .and_then(Columns::find)
        {
            Ok(columns) => columns,
            Err(why) => return to.blocking_send(Item::Broken(why)).ok(),
        };
        let width = csv.headers().map_or(0, StringRecord::len);
        let mut group: Option<Group> = None;
        let mut row = StringRecord::new();
        let mut count = 0_u64;
        loop {
            let line = csv.position().line();
            match csv.read_record(&mut row) {
                Ok(false) => break,
                Ok(true) => {
                    let line = row.position().map_or(line, csv::Position::line);
                    group = Some(self.join(&columns, &row, width, line, group.take(), to)?);
                }
                Err(error) if matches!(error.kind(), csv::ErrorKind::Io(_)) => {
                    return to.blocking_send(Item::Broken(error.to_string())).ok();
                }
                Err(error) => {
                    self.flush(group.take(), to)?;
                    let refused = Item::Refuse {
                        lines: Lines::one(line),
                        key: String::new(),
                        why: error.to_string(),
                    };
                    to.blocking_send(refused).ok()?;
                }
            }
            count += 1;
            if count.is_multiple_of(PROGRESS_EVERY) {
                to.blocking_send(Item::Read(csv.position().byte())).ok()?;
            }
        }
        self.flush(group.take(), to)?;
        to.blocking_send(Item::Read(csv.position().byte())).ok()
    }

    /// Adds the row to the group where it belongs to it; otherwise sends the group and begins
    /// another.
    fn join(
        &mut self,
        columns: &Columns,
        row: &StringRecord,
        width: usize,
        line: u64,
        group: Option<Group>,
        to: &Sender<Item>,
    ) -> Option<Group> {
        let name = columns.transaction.and_then(|at| row.get(at)).unwrap_or("");
        let mut group = match group {
            Some(group) if !name.is_empty() && group.name == name => group,
            other => {
                self.flush(other, to)?;
                let key = columns.key.and_then(|at| row.get(at)).unwrap_or(name);
                Group {
                    lines: Lines::one(line),
                    name: name.to_owned(),
                    key: key.trim().to_owned(),
                    create: CreateTransaction::default(),
                    wrong: None,
                }
            }
        };
        group.lines.last = line;
        let taken = match row.len() == width {
            true => self.take(columns, row, line, &mut group.create),
            false => Err(format!(
                "{} fields, and the first line has {width}",
                row.len()
            )),
        };
        if let Err(why) = taken {
            group.wrong.get_or_insert(format!("line {line}: {why}"));
        }
        Some(group)
    }

    fn take(
        &mut self,
        columns: &Columns,
        row: &StringRecord,
        line: u64,
        create: &mut CreateTransaction,
    ) -> Result<(), String> {
        let field = |at: Option<usize>| at.and_then(|at| row.get(at)).map_or("", str::trim);
        let needed = |at: usize, name: &str| match field(Some(at)) {
            "" => Err(format!("{name} is empty")),
            text => Ok(text.to_owned()),
        };
        if create.postings.len() >= POSTINGS_MAX {
            return Err(format!(
                "more than {POSTINGS_MAX} postings in one transaction"
            ));
        }
        let debit = needed(columns.from, "from")?;
        let credit = needed(columns.to, "to")?;
        let known = self.known.get(debit.as_str());
        let asset = match (field(columns.asset), known) {
            ("", Some(known)) => *known,
            ("", None) => {
                return Err(format!(
                    "account {debit} is not known, and no asset is given"
                ));
            }
            (text, Some(known)) if known.code() == text => *known,
            (text, _) => iso4217::asset(text).map_err(|failure| failure.message)?,
        };
        let amount = Written::parse(&needed(columns.amount, "amount")?)
            .and_then(|written| written.minor(&asset))
            .map_err(|failure| format!("amount: {}", failure.message))?;
        if create.postings.is_empty() {
            create.effective_at = match field(columns.effective_at) {
                "" => None,
                text => Some(
                    moment::parse(text)
                        .map_err(|failure| format!("effective_at: {}", failure.message))?,
                ),
            };
            create.description = plain(field(columns.description));
            create.record_only_reason = plain(field(columns.record_only));
            create.metadata = columns
                .metadata
                .iter()
                .filter_map(|(key, at)| Some((key.clone(), plain(field(Some(*at)))?)))
                .collect::<BTreeMap<_, _>>();
        }
        for name in [&debit, &credit] {
            self.open(name, asset, line);
        }
        create.postings.push(PostingSpec {
            debit,
            credit,
            asset: asset.to_string(),
            amount_spec: Some(posting_spec::AmountSpec::Amount(amount.to_string())),
        });
        Ok(())
    }

    /// Notes that the account must be opened first, where a rule says so.
    fn open(&mut self, name: &str, asset: Asset, line: u64) {
        if self.known.contains_key(name) {
            return;
        }
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(name)) else {
            return;
        };
        self.opening.push((
            Lines::one(line),
            OpenAccount {
                name: name.to_owned(),
                asset: asset.to_string(),
                r#type: rule.account_type.into(),
                ..Default::default()
            },
        ));
        if self.known.len() < KNOWN_ACCOUNTS_MAX {
            self.known.insert(name.into(), asset);
        }
    }

    fn flush(&mut self, group: Option<Group>, to: &Sender<Item>) -> Option<()> {
        let Some(group) = group else {
            return Some(());
        };
        for (lines, open) in self.opening.drain(..) {
            let command = Command {
                idempotency_key: open_key(&open.name),
                ledger: self.ledger.clone(),
                operation: Some(command::Operation::OpenAccount(open)),
                ..Default::default()
            };
            to.blocking_send(Item::Send {
                lines,
                command: Box::new(command),
                purpose: Purpose::OpenAccount,
            })
            .ok()?;
        }
        let wrong = match group.key.is_empty() {
            true => Some(format!("line {}: key is empty", group.lines.first)),
            false => group.wrong,
        };
        let item = match wrong {
            Some(why) => Item::Refuse {
                lines: group.lines,
                key: group.key,
                why,
            },
            None => Item::Send {
                lines: group.lines,
                command: Box::new(Command {
                    idempotency_key: group.key,
                    ledger: self.ledger.clone(),
                    operation: Some(command::Operation::CreateTransaction(group.create)),
                    ..Default::default()
                }),
                purpose: Purpose::Rows,
            },
        };
        to.blocking_send(item).ok()
    }
}

fn plain(text: &str) -> Option<Text> {
    (!text.is_empty()).then(|| Text {
        text: Some(text::Text::Plain(text.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, rules: &[&str]) -> Vec<Item> {
        let (to, mut from) = tokio::sync::mpsc::channel(1_000);
        let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        Reader::new("main", rules, HashMap::new()).read(text.as_bytes(), &to);
        drop(to);
        std::iter::from_fn(|| from.try_recv().ok()).collect()
    }

    fn operations(items: &[Item]) -> impl Iterator<Item = (&str, &command::Operation)> {
        items.iter().filter_map(|item| match item {
            Item::Send { command, .. } => Some((
                command.idempotency_key.as_str(),
                command.operation.as_ref().unwrap(),
            )),
            _ => None,
        })
    }

    fn creates(items: &[Item]) -> Vec<(&str, usize)> {
        operations(items)
            .filter_map(|(key, operation)| match operation {
                command::Operation::CreateTransaction(create) => Some((key, create.postings.len())),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn rows_of_one_transaction_are_joined_where_they_follow_each_other() {
        let items = read(
            "key,transaction,from,to,amount,asset\n\
             1,t,a,b,1.00,USD\n\
             2,t,a,c,2.00,USD\n\
             3,,a,b,3.00,USD\n\
             4,,a,b,4.00,USD\n",
            &[],
        );
        assert_eq!(creates(&items), [("1", 2), ("3", 1), ("4", 1)]);
    }

    #[test]
    fn a_wrong_row_refuses_its_whole_transaction_and_no_other() {
        let items = read(
            "key,transaction,from,to,amount,asset\n\
             1,t,a,b,1.00,USD\n\
             2,t,a,c,2.005,USD\n\
             3,,a,b,3.00,USD\n\
             4,,a\n",
            &[],
        );
        assert_eq!(creates(&items), [("3", 1)]);
        let refused: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Refuse { lines, why, .. } => Some((lines.first, lines.last, why.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(refused.len(), 2);
        assert_eq!((refused[0].0, refused[0].1), (2, 3));
        assert!(refused[0].2.contains("line 3: amount"), "{}", refused[0].2);
        assert!(refused[1].2.contains("3 fields"), "{}", refused[1].2);
    }

    #[test]
    fn unknown_accounts_are_opened_once_before_their_first_row() {
        let items = read(
            "key,from,to,amount,asset\n1,bank,c:1,1.00,USD\n2,bank,c:2,1.00,USD\n",
            &["c:**=liability", "**=asset"],
        );
        let opened: Vec<_> = operations(&items)
            .filter_map(|(_, operation)| match operation {
                command::Operation::OpenAccount(open) => Some((open.name.as_str(), open.r#type())),
                _ => None,
            })
            .collect();
        let expected = [
            ("bank", AccountType::Asset),
            ("c:1", AccountType::Liability),
            ("c:2", AccountType::Liability),
        ];
        assert_eq!(opened, expected);
    }

    #[test]
    fn a_file_without_the_needed_columns_is_refused_as_a_whole() {
        for (head, why) in [
            ("key,from,amount\n", "from, to and amount"),
            ("from,to,amount\n", "key"),
            ("key,from,to,amount,colour\n", "colour"),
            ("key,key,from,to,amount\n", "twice"),
        ] {
            let items = read(head, &[]);
            let Some(Item::Broken(said)) = items.first() else {
                panic!("{head} was taken");
            };
            assert!(said.contains(why), "{said}");
        }
    }
}
