//! Lines of the bank's files, their fields, and the numbers, amounts and dates in them. What a
//! line cannot be understood for is its reason to be refused; one bad line never spoils another.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use jiff::civil::Date;

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

/// Calls `take` with every line after the header, and collects why lines were refused.
pub fn each_line(
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
                        "the line is cut off within column {} of {} ({column})",
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

/// The fields as an array.
///
/// # Errors
/// When there are more or fewer.
pub fn exactly<const N: usize>(fields: Vec<&str>) -> Result<[&str; N], String> {
    fields
        .try_into()
        .map_err(|fields: Vec<&str>| format!("{} columns, not {N}", fields.len()))
}

/// A number of the bank's.
///
/// # Errors
/// When it is none.
pub fn number(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a number"))
}

/// `-12.50` as -1250: exact, never through floating point.
pub fn hundredths(text: &str) -> Result<i64, String> {
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
pub fn date(text: &str) -> Result<Date, String> {
    let (year, month, day) = year_month_day(text)?;
    Date::new(1900 + year, month, day).map_err(|_| format!("{text:?} is not a date"))
}

/// A birth number is a date; a woman's has 50 added to its month.
pub fn birthday(text: &str) -> Result<Date, String> {
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
            Err("the line is cut off within column 2 of 3 (b)".into())
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
