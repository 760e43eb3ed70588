//! What the bank's files say: customers, accounts and movements.

use std::collections::HashMap;
use std::path::Path;

use jiff::civil::Date;

use crate::lines::{
    FilesError, Place, Refused, birthday, date, each_line, exactly, hundredths, number,
};

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
