//! What was sent and what was proven, for people and machines.

use std::fmt;

use super::manifest::{Manifest, Way};
use super::proof::{Counts, Item};
use crate::client::output::{BOLD, DIM, GREEN, RED};

/// How fast commands were answered.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Speed {
    /// Commands.
    pub commands: u64,
    /// From the first to the last answer.
    pub seconds: f64,
}

/// The report of a load.
#[derive(Debug, serde::Serialize)]
pub struct Report {
    manifest: String,
    to: Way,
    ledgers: Vec<String>,
    accounts: u32,
    seed: u64,
    mix: String,
    speed: Option<Speed>,
    counts: Counts,
    proven: bool,
    items: Vec<Item>,
}

impl Report {
    pub(super) fn new(
        manifest: &Manifest,
        speed: Option<Speed>,
        counts: Counts,
        items: Vec<Item>,
    ) -> Self {
        let shape = &manifest.header.shape;
        Self {
            manifest: manifest.path.display().to_string(),
            to: manifest.header.way,
            ledgers: (0..shape.ledgers)
                .map(|ledger| shape.ledger_name(ledger))
                .collect(),
            accounts: shape.accounts,
            seed: shape.seed,
            mix: shape.mix.to_string(),
            speed,
            counts,
            proven: items.iter().all(Item::holds),
            items,
        }
    }

    /// The first claim that does not hold.
    pub(super) fn first_wrong(&self) -> Option<&Item> {
        self.items.iter().find(|item| !item.holds())
    }
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let way = match self.to {
            Way::Grpc => "by calls",
            Way::Kafka => "through the topics",
        };
        write!(
            f,
            "{BOLD}{}{BOLD:#} commands {way}, to {} ledgers of {} accounts",
            grouped(counts.sent),
            self.ledgers.len(),
            self.accounts
        )?;
        if let Some(speed) = self.speed {
            let rate = speed.commands as f64 / speed.seconds.max(0.001);
            write!(
                f,
                ", {:.1} s, {} a second",
                speed.seconds,
                grouped(rate as u64)
            )?;
        }
        writeln!(f)?;
        for (what, count) in [
            ("carried out", counts.accepted),
            ("refused", counts.refused),
            ("repeats", counts.repeats),
            ("no commands", counts.malformed),
            ("declined", counts.declined),
            ("no outcome", counts.unanswered),
        ] {
            if count > 0 || what == "carried out" {
                writeln!(f, "  {DIM}{what:<12}{DIM:#} {:>12}", grouped(count))?;
            }
            if what == "refused" {
                for (code, count) in &counts.codes {
                    writeln!(
                        f,
                        "  {DIM}{:<12} {:>12}  {code}{DIM:#}",
                        "",
                        grouped(*count)
                    )?;
                }
            }
        }
        writeln!(f)?;
        for item in &self.items {
            let mark = match item.holds() {
                true => format!("{GREEN}proven{GREEN:#}    "),
                false => format!("{RED}NOT PROVEN{RED:#}"),
            };
            writeln!(f, "{mark} {:>12}  {}", grouped(item.checked), item.claim)?;
            for culprit in &item.culprits {
                writeln!(f, "                         {RED}{culprit}{RED:#}")?;
            }
            let more = item.wrong - item.culprits.len() as u64;
            if more > 0 {
                writeln!(f, "                         {RED}and {more} more{RED:#}")?;
            }
        }
        write!(
            f,
            "\n{}  {DIM}manifest{DIM:#} {}",
            match self.proven {
                true => format!("{GREEN}{BOLD}PROVEN{BOLD:#}{GREEN:#}"),
                false => format!("{RED}{BOLD}NOT PROVEN{BOLD:#}{RED:#}"),
            },
            self.manifest
        )
    }
}
