//! Rows of accounts, read one by one and made into commands.

use std::io::Read;

use clap::ValueEnum as _;
use csv::{ReaderBuilder, StringRecord};
use schemas::proto::v1::*;
use tokio::sync::mpsc::Sender;

use super::{Item, Lines, Purpose, open_key};
use crate::cli::TypeArg;
use crate::client::iso4217;
use crate::client::money::Written;

const COLUMNS: &[&str] = &[
    "name",
    "asset",
    "type",
    "minimum",
    "maximum",
    "per_transaction",
];

/// Reads a file of accounts, and sends what it makes of it. Ends early when nobody takes it.
pub(crate) fn read(input: impl Read, ledger: &str, to: &Sender<Item>) {
    // That nobody takes it any more is no failure of this side.
    let _ = read_all(input, ledger, to);
}

fn check(head: &StringRecord) -> Option<String> {
    let unknown = head
        .iter()
        .map(str::trim)
        .find(|name| !COLUMNS.contains(name) && !name.starts_with("metadata."));
    let missing = COLUMNS[..3]
        .iter()
        .find(|name| !head.iter().any(|own| own.trim() == **name));
    match (unknown, missing) {
        (Some(name), _) => Some(format!("column {name:?} is not known")),
        (_, Some(name)) => Some(format!("the first line does not name the column {name}")),
        _ => None,
    }
}

fn read_all(input: impl Read, ledger: &str, to: &Sender<Item>) -> Option<()> {
    let mut csv = ReaderBuilder::new().from_reader(input);
    let head = match csv.headers() {
        Ok(head) => head.clone(),
        Err(error) => return to.blocking_send(Item::Broken(error.to_string())).ok(),
    };
    if let Some(why) = check(&head) {
        return to.blocking_send(Item::Broken(why)).ok();
    }
    let mut row = StringRecord::new();
    loop {
        let line = csv.position().line();
        let item = match csv.read_record(&mut row) {
            Ok(false) => break,
            Ok(true) => {
                let line = row.position().map_or(line, csv::Position::line);
                item(&head, &row, ledger, Lines::one(line))
            }
            Err(error) if matches!(error.kind(), csv::ErrorKind::Io(_)) => {
                return to.blocking_send(Item::Broken(error.to_string())).ok();
            }
            Err(error) => Item::Refuse {
                lines: Lines::one(line),
                key: String::new(),
                why: error.to_string(),
            },
        };
        to.blocking_send(item).ok()?;
    }
    to.blocking_send(Item::Read(csv.position().byte())).ok()
}

fn item(head: &StringRecord, row: &StringRecord, ledger: &str, lines: Lines) -> Item {
    let name = field(head, row, "name");
    match open_account(head, row) {
        Ok(open) => Item::Send {
            lines,
            command: Box::new(Command {
                idempotency_key: open_key(name),
                ledger: ledger.to_owned(),
                operation: Some(command::Operation::OpenAccount(open)),
                ..Default::default()
            }),
            purpose: Purpose::Rows,
        },
        Err(why) => Item::Refuse {
            lines,
            key: name.to_owned(),
            why,
        },
    }
}

fn field<'a>(head: &StringRecord, row: &'a StringRecord, name: &str) -> &'a str {
    head.iter()
        .position(|own| own.trim() == name)
        .and_then(|at| row.get(at))
        .map_or("", str::trim)
}

fn open_account(head: &StringRecord, row: &StringRecord) -> Result<OpenAccount, String> {
    let field = |name: &str| field(head, row, name);
    let asset = iso4217::asset(field("asset")).map_err(|failure| failure.message)?;
    let account_type = TypeArg::from_str(field("type"), true)
        .map_err(|_| format!("{:?} is not a type of account", field("type")))?;
    let amount = |name: &str| match field(name) {
        "" => Ok(String::new()),
        text => Written::parse(text)
            .and_then(|written| written.signed_minor(&asset))
            .map_err(|failure| format!("{name}: {}", failure.message)),
    };
    let limits = Limits {
        minimum: amount("minimum")?,
        maximum: amount("maximum")?,
        per_transaction: amount("per_transaction")?,
        velocity: Vec::new(),
    };
    let metadata = head
        .iter()
        .zip(row)
        .filter_map(|(name, value)| {
            let key = name.trim().strip_prefix("metadata.")?;
            let text = Text {
                text: Some(text::Text::Plain(value.to_owned())),
            };
            (!value.is_empty()).then(|| (key.to_owned(), text))
        })
        .collect();
    Ok(OpenAccount {
        name: field("name").to_owned(),
        asset: asset.to_string(),
        r#type: AccountType::from(account_type).into(),
        limits: (limits != Limits::default()).then_some(limits),
        metadata,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_with_limits_and_metadata() {
        let (to, mut from) = tokio::sync::mpsc::channel(10);
        let text = "name,type,asset,minimum,metadata.city\n\
                    a:1,liability,USD,0,Brno\n\
                    a:2,money,USD,,\n";
        read(text.as_bytes(), "main", &to);
        let Some(Item::Send { command, .. }) = from.try_recv().ok() else {
            panic!("the first row is well");
        };
        let Some(command::Operation::OpenAccount(open)) = command.operation else {
            panic!("it opens an account");
        };
        assert_eq!(open.limits.unwrap().minimum, "0");
        assert_eq!(open.metadata.len(), 1);
        assert!(matches!(from.try_recv(), Ok(Item::Refuse { .. })));
    }
}
