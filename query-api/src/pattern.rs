//! Patterns over account names: `customers:*:checking`.

use ledger_core::limits::{NAME_BYTES_MAX, NAME_SEGMENTS_MAX};
use schemas::error::Fault;

use crate::fail;

/// A pattern: `*` stands for one segment, `**` at the end for any rest of at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    segments: Vec<Segment>,
    /// Ends with `**`.
    open: bool,
    prefix: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Any,
    Is(String),
}

impl Pattern {
    /// Reads a pattern; the empty one passes every name.
    pub(crate) fn parse(text: &str, field: &str) -> Result<Self, Fault> {
        let wrong = |why: String| Err(fail::field(field, why));
        let mut pattern = Self {
            segments: Vec::new(),
            open: text.is_empty(),
            prefix: String::new(),
        };
        if text.is_empty() {
            return Ok(pattern);
        }
        if text.len() > NAME_BYTES_MAX {
            return wrong(format!("{} bytes; at most {NAME_BYTES_MAX}", text.len()));
        }
        for segment in text.split(':') {
            if pattern.open {
                return wrong("'**' stands at the end only".to_owned());
            }
            match segment {
                "" => return wrong("it has an empty segment".to_owned()),
                "**" => pattern.open = true,
                "*" => pattern.segments.push(Segment::Any),
                segment if segment.contains('*') => {
                    return wrong(format!(
                        "{segment:?}: '*' stands for a whole segment, '**' for any rest"
                    ));
                }
                segment => {
                    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
                    if let Some(c) = segment.chars().find(|c| !fits(*c)) {
                        return wrong(format!("{c:?} is in no account's name"));
                    }
                    pattern.segments.push(Segment::Is(segment.to_owned()));
                }
            }
        }
        if pattern.segments.len() > NAME_SEGMENTS_MAX {
            return wrong(format!("names have at most {NAME_SEGMENTS_MAX} segments"));
        }
        for segment in &pattern.segments {
            let Segment::Is(segment) = segment else { break };
            if !pattern.prefix.is_empty() {
                pattern.prefix.push(':');
            }
            pattern.prefix.push_str(segment);
        }
        Ok(pattern)
    }

    /// What every name that passes starts with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether `name` passes.
    pub(crate) fn passes(&self, name: &str) -> bool {
        if self.open && self.segments.is_empty() {
            return true;
        }
        let mut names = name.split(':');
        for segment in &self.segments {
            match (segment, names.next()) {
                (Segment::Any, Some(_)) => {}
                (Segment::Is(is), Some(name)) if is == name => {}
                _ => return false,
            }
        }
        names.next().is_some() == self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_pass_what_they_say() {
        let cases = [
            ("", "a:b", true),
            ("**", "a", true),
            ("a", "a", true),
            ("a", "a:b", false),
            ("a", "ab", false),
            ("a:*", "a:b", true),
            ("a:*", "a", false),
            ("a:*", "a:b:c", false),
            ("a:**", "a", false),
            ("a:**", "a:b", true),
            ("a:**", "a:b:c", true),
            ("customers:*:checking", "customers:42:checking", true),
            ("customers:*:checking", "customers:42:savings", false),
            ("*:b:**", "a:b:c", true),
            ("*:b:**", "a:c:c", false),
        ];
        for (pattern, name, passes) in cases {
            let parsed = Pattern::parse(pattern, "pattern").unwrap();
            assert_eq!(parsed.passes(name), passes, "{pattern} {name}");
            if passes {
                assert!(name.starts_with(parsed.prefix()), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["a::b", "a*", "**:a", "a:***", "a b", ":", "a:"] {
            let error = Pattern::parse(wrong, "pattern").unwrap_err();
            assert_eq!(error.code(), "INVALID_ARGUMENT", "{wrong}");
        }
    }
}
