//! What is sent: how much of which, as the command line says it.

use std::fmt;
use std::str::FromStr;

/// A part of a thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Permille(pub u32);

impl FromStr for Permille {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a share such as 5% or 0.5%");
        let digits = text.strip_suffix('%').ok_or_else(wrong)?;
        let (whole, tenth) = digits.split_once('.').unwrap_or((digits, "0"));
        let whole: u32 = whole.parse().map_err(|_| wrong())?;
        let tenth: u32 = match tenth.len() {
            1 => tenth.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        };
        match whole.checked_mul(10).map(|tens| tens + tenth) {
            Some(permille) if permille <= 900 => Ok(Self(permille)),
            _ => Err(format!("{text} is too much: at most 90%")),
        }
    }
}

impl fmt::Display for Permille {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 10 {
            0 => write!(f, "{}%", self.0 / 10),
            tenth => write!(f, "{}.{tenth}%", self.0 / 10),
        }
    }
}

/// How many of each kind, in proportion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mix {
    /// Money comes in.
    pub deposits: u32,
    /// Money goes out.
    pub withdrawals: u32,
    /// Money moves between two accounts.
    pub transfers: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            deposits: 5,
            withdrawals: 3,
            transfers: 12,
        }
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mix = Self {
            deposits: 0,
            withdrawals: 0,
            transfers: 0,
        };
        for part in text.split(',') {
            let (name, count) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is not a part such as deposits=5"))?;
            let count: u32 = count
                .trim()
                .parse()
                .ok()
                .filter(|count| *count <= 1_000_000)
                .ok_or_else(|| format!("{count:?} is not a number up to 1000000"))?;
            match name.trim() {
                "deposits" => mix.deposits = count,
                "withdrawals" => mix.withdrawals = count,
                "transfers" => mix.transfers = count,
                other => {
                    return Err(format!(
                        "{other:?} is none of deposits, withdrawals, transfers"
                    ));
                }
            }
        }
        match mix.sum() {
            0 => Err("nothing is to be sent".to_owned()),
            _ => Ok(mix),
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "deposits={},withdrawals={},transfers={}",
            self.deposits, self.withdrawals, self.transfers
        )
    }
}

impl Mix {
    /// All parts together.
    pub fn sum(&self) -> u32 {
        self.deposits + self.withdrawals + self.transfers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_mixes_are_read_as_they_are_said() {
        assert_eq!("5%".parse(), Ok(Permille(50)));
        assert_eq!("0.5%".parse(), Ok(Permille(5)));
        assert_eq!(Permille(25).to_string(), "2.5%");
        for wrong in ["5", "%", "0.55%", "91%", "-1%", "1.%"] {
            assert!(wrong.parse::<Permille>().is_err(), "{wrong}");
        }
        let mix: Mix = "deposits=1,transfers=4".parse().expect("a mix");
        assert_eq!(mix.to_string(), "deposits=1,withdrawals=0,transfers=4");
        assert_eq!(mix.to_string().parse(), Ok(mix));
        for wrong in ["", "deposits", "deposits=x", "refunds=1", "deposits=0"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }
}
