//! Malformed input: what cannot even be said as a command.

use std::fmt;

use ledger_core::invalid::Invalid;

/// Violations that are listed one by one; beyond them only their number is told, since a
/// status must fit into the headers of a reply.
const LISTED_MAX: usize = 12;
/// Characters of a description.
const DESCRIPTION_CHARS_MAX: usize = 240;
/// Characters of a field path.
const FIELD_CHARS_MAX: usize = 160;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, such as `create_transaction.postings[3].amount`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// All that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// At least one.
    pub violations: Vec<Violation>,
}

impl Malformed {
    /// One violation.
    pub fn new(field: impl fmt::Display, description: impl fmt::Display) -> Self {
        let mut violations = Violations::default();
        violations.add(&field, &description);
        Self {
            violations: violations.listed,
        }
    }

    /// These violations, in a member of something: `commands[7]` makes `ledger` of it
    /// `commands[7].ledger`.
    #[must_use]
    pub fn under(mut self, path: impl fmt::Display) -> Self {
        for violation in &mut self.violations {
            violation.field = match violation.field.as_str() {
                "" => path.to_string(),
                field => format!("{path}.{field}"),
            };
        }
        self
    }

    /// These violations, where the request has the same thing under another path:
    /// `renamed("create_transaction", "create")`.
    #[must_use]
    pub fn renamed(mut self, from: &str, to: &str) -> Self {
        for violation in &mut self.violations {
            if let Some(rest) = violation.field.strip_prefix(from)
                && (rest.is_empty() || rest.starts_with(['.', '[']))
            {
                violation.field = format!("{to}{rest}");
            }
        }
        self
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.violations.first() else {
            return f.write_str("the request is malformed");
        };
        if !first.field.is_empty() {
            write!(f, "{}: ", first.field)?;
        }
        f.write_str(&first.description)?;
        match self.violations.len() - 1 {
            0 => Ok(()),
            1 => f.write_str(" (and 1 more violation)"),
            more => write!(f, " (and {more} more violations)"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Where a field stands, made into text only when something is wrong with it.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Text(&'a str),
    Field(&'a Path<'a>, &'static str),
    Index(&'a Path<'a>, usize),
    Key(&'a Path<'a>, &'a str),
}

impl<'a> Path<'a> {
    pub(crate) const ROOT: Path<'static> = Path::Text("");

    pub(crate) fn field(&'a self, name: &'static str) -> Self {
        Path::Field(self, name)
    }

    pub(crate) fn index(&'a self, index: usize) -> Self {
        Path::Index(self, index)
    }

    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        Path::Key(self, key)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Text(text) => f.write_str(text),
            Path::Field(Path::Text(""), name) => f.write_str(name),
            Path::Field(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Key(parent, key) => write!(f, "{parent}[{key:?}]"),
        }
    }
}

/// Collects what is wrong. Bounded, whatever comes in.
#[derive(Default)]
pub(crate) struct Violations {
    listed: Vec<Violation>,
    unlisted: usize,
}

impl Violations {
    pub(crate) fn add(&mut self, field: &dyn fmt::Display, description: &dyn fmt::Display) {
        if self.listed.len() == LISTED_MAX {
            self.unlisted += 1;
            return;
        }
        self.listed.push(Violation {
            field: shortened(field, FIELD_CHARS_MAX),
            description: shortened(description, DESCRIPTION_CHARS_MAX),
        });
    }

    /// The value, or `None` with its violation noted.
    pub(crate) fn check<T>(&mut self, field: &Path<'_>, value: Result<T, Invalid>) -> Option<T> {
        value.map_err(|why| self.add(field, &why)).ok()
    }

    /// `value`, if nothing was wrong with anything.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Malformed> {
        if self.unlisted > 0 {
            self.listed.push(Violation {
                field: String::new(),
                description: format!("and {} more violations", self.unlisted),
            });
        }
        match value {
            Some(value) if self.listed.is_empty() => Ok(value),
            _ => Err(Malformed {
                violations: self.listed,
            }),
        }
    }
}

/// Text that stops being written when it is long enough.
struct Short {
    text: String,
    room: usize,
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.room == 0 {
                self.text.push('…');
                return Err(fmt::Error);
            }
            self.room -= 1;
            self.text.push(c);
        }
        Ok(())
    }
}

fn shortened(value: &dyn fmt::Display, chars_max: usize) -> String {
    let mut short = Short {
        text: String::new(),
        room: chars_max,
    };
    // An error only says that the text was cut.
    let _ = fmt::write(&mut short, format_args!("{value}"));
    short.text
}
