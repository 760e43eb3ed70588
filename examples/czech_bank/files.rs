//! Reads the bank's files line by line. What a line cannot be understood for is its reason to be
//! refused; one bad line never spoils another.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use jiff::civil::Date;

/// What the files say.
#[derive(Debug)]
pub struct Bank {
    /// Accounts with their customers.
    pub accounts: Vec<AccountRow>,
    /// Movements on them.
    pub transactions: Vec<TransactionRow>,
    /// Lines that cannot be used.
    pub refused: Vec<Refused>,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: &'static str,
    /// The line, from 1.
    pub line: u64,
}

/// A row that was not booked.
#[derive(Debug)]
pub struct Refused {
    /// Where it stands.
    pub place: Place,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} line {}: {}",
            self.place.file, self.place.line, self.reason
        )
    }
}

/// An account and whose it is.
#[derive(Debug)]
pub struct AccountRow {
    /// Where it stands.
    pub place: Place,
    /// The bank's number of it.
    pub id: u32,
    /// The client that it belongs to.
    pub owner: Client,
    /// A client who may use it too.
    pub disponent: Option<u32>,
    /// District of the branch.
    pub district: u32,
    /// How often a statement is sent.
    pub statements: &'static str,
    /// When it was opened.
    pub opened: Date,
}

/// A customer.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// The bank's number.
    pub id: u32,
    /// Birthday.
    pub born: Date,
    /// District where the client lives.
    pub district: u32,
}

/// The bank's own side of a movement, by kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnSide {
    /// Paid in or out over the counter.
    Cash,
    /// By card.
    Card,
    /// From or to another bank.
    OtherBanks,
    /// Interest that the bank pays.
    InterestPaid,
    /// Interest that the bank takes for an overdraft.
    InterestEarned,
    /// Fees.
    Fees,
}

/// One movement on an account.
#[derive(Debug)]
pub struct TransactionRow {
    /// Where it stands.
    pub place: Place,
    /// The bank's number of it: the idempotency key.
    pub id: u32,
    /// Name of the account in Daybook.
    pub account_name: String,
    /// Its day.
    pub date: Date,
    /// Whether the account's balance grows.
    pub credit: bool,
    /// The bank's own side.
    pub own_side: OwnSide,
    /// How much, in hundredths.
    pub amount: u64,
    /// The balance that the bank printed behind it, in hundredths.
    pub printed: i64,
    /// What it is for, where the bank says so.
    pub purpose: Option<&'static str>,
    /// Bank and account of the other party, where they are given.
    pub counterparty: Option<(String, String)>,
}

/// A file that cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Neither the packed nor the plain file is there.
    #[error("neither {0}.gz nor {0} can be opened: {1}")]
    Missing(PathBuf, io::Error),
    /// It ends or breaks while it is read.
    #[error("{0} cannot be read: {1}")]
    Broken(&'static str, io::Error),
    /// It is another file.
    #[error("{file} begins with {found:?}, not with {expected:?}: is this the right folder?")]
    Header {
        /// The file.
        file: &'static str,
        /// Its first line.
        found: String,
        /// What it should be.
        expected: String,
    },
}

/// A line's fields, or why there are none.
type Fields<'a> = Result<Vec<&'a str>, String>;

/// Reads the four files.
///
/// # Errors
/// When one is missing, broken or another.
pub fn read(folder: &Path) -> Result<Bank, FilesError> {
    let mut refused = Vec::new();

    let columns = ["client_id", "birth_number", "district_id"];
    let mut clients = HashMap::new();
    each_line(folder, "client.asc", &columns, &mut refused, |_, fields| {
        let [id, birth_number, district] = exactly(fields)?;
        let born = birthday(birth_number)?;
        let client = Client {
            id: number(id)?,
            born,
            district: number(district)?,
        };
        clients.insert(client.id, client);
        Ok(())
    })?;

    let columns = ["disp_id", "client_id", "account_id", "type"];
    let mut owners = HashMap::new();
    let mut disponents = HashMap::new();
    each_line(folder, "disp.asc", &columns, &mut refused, |_, fields| {
        let [_, client, account, kind] = exactly(fields)?;
        let client: u32 = number(client)?;
        match kind {
            "OWNER" => owners.insert(number(account)?, client),
            "DISPONENT" => disponents.insert(number(account)?, client),
            other => return Err(format!("{other:?} is neither OWNER nor DISPONENT")),
        };
        Ok(())
    })?;

    let columns = ["account_id", "district_id", "frequency", "date"];
    let mut accounts = Vec::new();
    let mut names = HashMap::new();
    each_line(
        folder,
        "account.asc",
        &columns,
        &mut refused,
        |place, fields| {
            let [id, district, frequency, opened] = exactly(fields)?;
            let id = number(id)?;
            let owner = owners.get(&id).and_then(|owner| clients.get(owner));
            let row = AccountRow {
                place,
                id,
                owner: *owner.ok_or_else(|| format!("account {id} belongs to nobody"))?,
                disponent: disponents.get(&id).copied(),
                district: number(district)?,
                statements: match frequency {
                    "POPLATEK MESICNE" => "monthly",
                    "POPLATEK TYDNE" => "weekly",
                    "POPLATEK PO OBRATU" => "after each transaction",
                    other => return Err(format!("the frequency {other:?} is unknown")),
                },
                opened: date(opened)?,
            };
            names.insert(id, crate::books::account_name(&row));
            accounts.push(row);
            Ok(())
        },
    )?;

    let mut transactions = Vec::new();
    each_line(
        folder,
        "trans.asc",
        &TRANSACTION_COLUMNS,
        &mut refused,
        |place, fields| {
            transactions.push(transaction(place, exactly(fields)?, &names)?);
            Ok(())
        },
    )?;
    Ok(Bank {
        accounts,
        transactions,
        refused,
    })
}

const TRANSACTION_COLUMNS: [&str; 10] = [
    "trans_id",
    "account_id",
    "date",
    "type",
    "operation",
    "amount",
    "balance",
    "k_symbol",
    "bank",
    "account",
];

fn transaction(
    place: Place,
    fields: [&str; 10],
    names: &HashMap<u32, String>,
) -> Result<TransactionRow, String> {
    let [
        id,
        account,
        day,
        kind,
        operation,
        amount,
        balance,
        symbol,
        bank,
        other,
    ] = fields;
    let account = number(account)?;
    let own_side = match (symbol.trim(), operation) {
        ("UROK", _) => OwnSide::InterestPaid,
        ("SANKC. UROK", _) => OwnSide::InterestEarned,
        ("SLUZBY", _) => OwnSide::Fees,
        (_, "VKLAD" | "VYBER") => OwnSide::Cash,
        (_, "VYBER KARTOU") => OwnSide::Card,
        (_, "PREVOD Z UCTU" | "PREVOD NA UCET") => OwnSide::OtherBanks,
        _ => {
            return Err(format!(
                "the operation {operation:?} with {symbol:?} is unknown"
            ));
        }
    };
    let amount = hundredths(amount)?;
    Ok(TransactionRow {
        place,
        id: number(id)?,
        account_name: names
            .get(&account)
            .cloned()
            .ok_or_else(|| format!("account {account} is not in account.asc"))?,
        date: date(day)?,
        credit: match kind {
            "PRIJEM" => true,
            "VYDAJ" | "VYBER" => false,
            other => return Err(format!("the type {other:?} is unknown")),
        },
        own_side,
        amount: amount
            .try_into()
            .map_err(|_| format!("the amount {amount} is negative"))?,
        printed: hundredths(balance)?,
        purpose: match symbol.trim() {
            "" => None,
            "UROK" => Some("interest"),
            "SLUZBY" => Some("statement fee"),
            "SANKC. UROK" => Some("penalty interest"),
            "SIPO" => Some("household"),
            "DUCHOD" => Some("pension"),
            "POJISTNE" => Some("insurance"),
            "UVER" => Some("loan"),
            other => return Err(format!("the k_symbol {other:?} is unknown")),
        },
        // Where no other bank has a part, some rows leave the account empty and some say 0.
        counterparty: match (bank, other) {
            ("", "" | "0") => None,
            (bank, other) => Some((bank.to_owned(), other.to_owned())),
        },
    })
}

/// Calls `take` with every line after the header, and collects why lines were refused.
fn each_line(
    folder: &Path,
    file: &'static str,
    columns: &[&str],
    refused: &mut Vec<Refused>,
    mut take: impl FnMut(Place, Vec<&str>) -> Result<(), String>,
) -> Result<(), FilesError> {
    let mut lines = open(&folder.join(file))?;
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if lines
            .read_until(b'\n', &mut bytes)
            .map_err(|e| FilesError::Broken(file, e))?
            == 0
        {
            break;
        }
        let text = str::from_utf8(&bytes).map_err(|error| error.to_string());
        let text = text.map(|text| text.trim_end_matches(['\r', '\n']));
        if line == 1 {
            check_header(file, text.unwrap_or_default(), columns)?;
            continue;
        }
        let place = Place { file, line };
        let taken = text
            .and_then(|text| split(text, columns))
            .and_then(|fields| take(place, fields));
        if let Err(reason) = taken {
            refused.push(Refused { place, reason });
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, FilesError> {
    let mut packed = path.as_os_str().to_owned();
    packed.push(".gz");
    let reader: Box<dyn Read> = match File::open(packed) {
        Ok(file) => Box::new(MultiGzDecoder::new(BufReader::new(file))),
        Err(_) => match File::open(path) {
            Ok(file) => Box::new(file),
            Err(error) => return Err(FilesError::Missing(path.to_owned(), error)),
        },
    };
    Ok(Box::new(BufReader::new(reader)))
}

fn check_header(file: &'static str, found: &str, columns: &[&str]) -> Result<(), FilesError> {
    match split(found, columns) {
        Ok(fields) if fields == columns => Ok(()),
        _ => Err(FilesError::Header {
            file,
            found: found.chars().take(80).collect(),
            expected: columns.join(";"),
        }),
    }
}

/// Splits a line at its semicolons; texts stand in quotes, and have none inside.
fn split<'a>(line: &'a str, columns: &[&str]) -> Fields<'a> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => match quoted.split_once('"') {
                Some(parts) => parts,
                None => {
                    let column = columns.get(fields.len()).unwrap_or(&"none");
                    return Err(format!(
                        "the line is cut off: {rest:?} in column {} of {} ({column}) has no end",
                        fields.len() + 1,
                        columns.len(),
                    ));
                }
            },
            None => rest.split_at(rest.find(';').unwrap_or(rest.len())),
        };
        fields.push(field);
        match after.strip_prefix(';') {
            Some(next) => rest = next,
            None if after.is_empty() => break,
            None => return Err(format!("{after:?} stands behind the end of a quoted text")),
        }
    }
    if fields.len() == columns.len() {
        Ok(fields)
    } else {
        Err(format!(
            "the line has {} of {} columns",
            fields.len(),
            columns.len()
        ))
    }
}

fn exactly<const N: usize>(fields: Vec<&str>) -> Result<[&str; N], String> {
    fields
        .try_into()
        .map_err(|fields: Vec<&str>| format!("{} columns, not {N}", fields.len()))
}

fn number(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a number"))
}

/// `-12.50` as -1250: exact, never through floating point.
fn hundredths(text: &str) -> Result<i64, String> {
    let bad = || format!("{text:?} is not an amount");
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > 2 || !all_digits(whole) || !all_digits(part) {
        return Err(bad());
    }
    let value: i64 = format!("{whole}{part:0<2}").parse().map_err(|_| bad())?;
    Ok(if digits.len() < text.len() {
        -value
    } else {
        value
    })
}

/// `930101` as 1993-01-01.
fn date(text: &str) -> Result<Date, String> {
    let (year, month, day) = year_month_day(text)?;
    Date::new(1900 + year, month, day).map_err(|_| format!("{text:?} is not a date"))
}

/// A birth number is a date; a woman's has 50 added to its month.
fn birthday(text: &str) -> Result<Date, String> {
    let (year, month, day) = year_month_day(text)?;
    let month = if month > 50 { month - 50 } else { month };
    Date::new(1900 + year, month, day).map_err(|_| format!("{text:?} is not a birth number"))
}

fn year_month_day(text: &str) -> Result<(i16, i8, i8), String> {
    let bad = || format!("{text:?} is not six digits");
    if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let two = |at: usize| text[at..at + 2].parse::<i8>().map_err(|_| bad());
    Ok((two(0)?.into(), two(2)?, two(4)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, expected) in [
            ("700.00", 70_000),
            ("0.1", 10),
            ("12", 1_200),
            ("-300.40", -30_040),
            ("-0.05", -5),
        ] {
            assert_eq!(hundredths(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "-",
            ".5",
            "1.234",
            "1,5",
            "1e3",
            "--1",
            "+1",
            "99999999999999999999",
        ] {
            assert!(hundredths(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lines_are_split_or_refused_with_a_reason() {
        let columns = ["a", "b", "c"];
        assert_eq!(split(r#"1;"x;y";"#, &columns), Ok(vec!["1", "x;y", ""]));
        assert_eq!(
            split(r#"1;"PRIJE"#, &columns),
            Err(r#"the line is cut off: "\"PRIJE" in column 2 of 3 (b) has no end"#.into())
        );
        assert_eq!(
            split("1;2", &columns),
            Err("the line has 2 of 3 columns".into())
        );
        assert!(split(r#"1;"x"y;3"#, &columns).is_err());
    }

    #[test]
    fn dates_and_birth_numbers() {
        assert_eq!(date("930101"), Ok(Date::constant(1993, 1, 1)));
        assert_eq!(birthday("706213"), Ok(Date::constant(1970, 12, 13)));
        for text in ["930230", "9301", "93010a", "ábcd"] {
            assert!(date(text).is_err(), "{text}");
        }
    }
}
