//! Pages: a token says where the next one begins, and belongs to one filter and one order.

use prost::Message;
use schemas::error::Fault;
use schemas::record::LogId;

use crate::fail;

/// Rows of a page where the caller does not say.
pub(crate) const SIZE_DEFAULT: usize = schemas::limits::PAGE_SIZE_DEFAULT;
/// Rows of a page, at most.
pub(crate) const SIZE_MAX: u32 = schemas::limits::PAGE_SIZE_MAX as u32;
/// Rows that are looked at for one page, at most, when a filter passes few of them: a short
/// page with a token for the rest is better than a call without end.
pub(crate) const SCAN_MAX: usize = 20_000;
/// Rows that are asked for at once.
pub(crate) const CHUNK: usize = 500;

/// How many rows a page may have.
pub(crate) fn size(said: u32) -> Result<usize, Fault> {
    match said {
        0 => Ok(SIZE_DEFAULT),
        1..=SIZE_MAX => Ok(said as usize),
        _ => Err(fail::field(
            "page_size",
            format!("{said} is above {SIZE_MAX}, the most"),
        )),
    }
}

/// Says which request a token belongs to. `request` is the call's message with page size,
/// token and consistency taken out: all that remains is filter and order.
pub(crate) fn binding(log_id: LogId, call: &str, request: &impl Message) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("daybook 2026 page token v1");
    hasher.update(&log_id.0);
    hasher.update(call.as_bytes());
    hasher.update(&[0]);
    hasher.update(&request.encode_to_vec());
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    half
}

/// A token, taken apart: numbers whose meaning the call knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageToken<const N: usize>(pub(crate) [u128; N]);

impl<const N: usize> PageToken<N> {
    /// The text that the caller brings back: the numbers, and a hash that binds them to the
    /// request, so that neither can be changed.
    pub(crate) fn seal(&self, binding: &[u8; 16]) -> String {
        let numbers: Vec<String> = self.0.iter().map(|n| format!("{n:x}")).collect();
        let numbers = numbers.join("-");
        let seal = seal(binding, &numbers);
        format!("p1-{seal}-{numbers}")
    }

    /// Reads a token back; `None` for the empty one, which is the first page's.
    pub(crate) fn open(text: &str, binding: &[u8; 16]) -> Result<Option<Self>, Fault> {
        if text.is_empty() {
            return Ok(None);
        }
        let unreadable = || Fault::PageTokenInvalid {
            why: "was not made by this version of Daybook".to_owned(),
        };
        let (said, numbers) = text
            .strip_prefix("p1-")
            .and_then(|rest| rest.split_once('-'))
            .ok_or_else(unreadable)?;
        if said != seal(binding, numbers) {
            return Err(Fault::PageTokenInvalid {
                why: "belongs to another request: filter and order must stay as they \
                      were on the first page"
                    .to_owned(),
            });
        }
        let numbers: Option<Vec<u128>> = numbers
            .split('-')
            .map(|n| u128::from_str_radix(n, 16).ok())
            .collect();
        let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
        numbers
            .map(|numbers| Some(Self(numbers)))
            .ok_or_else(unreadable)
    }
}

fn seal(binding: &[u8; 16], numbers: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(binding);
    hasher.update(numbers.as_bytes());
    hasher.finalize().to_hex()[..24].to_owned()
}

/// Numbers of 64 bits come back as such: they were put in as such, and the seal holds them.
pub(crate) fn narrow(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use schemas::proto::v1::ListAccountsRequest;

    use super::*;

    fn binding_of(pattern: &str) -> [u8; 16] {
        let request = ListAccountsRequest {
            pattern: pattern.to_owned(),
            ..ListAccountsRequest::default()
        };
        binding(LogId([1; 16]), "ListAccounts", &request)
    }

    #[test]
    fn a_token_comes_back() {
        let token = PageToken([0, 7, u128::MAX]);
        let text = token.seal(&binding_of("a:*"));
        assert_eq!(PageToken::open(&text, &binding_of("a:*")), Ok(Some(token)));
        assert_eq!(PageToken::<3>::open("", &binding_of("a:*")), Ok(None));
    }

    #[test]
    fn a_token_of_another_request_or_a_changed_one_is_refused() {
        let text = PageToken([5, 9]).seal(&binding_of("a:*"));
        let refused = |text: &str, binding: &[u8; 16]| {
            let error = PageToken::<2>::open(text, binding).unwrap_err();
            assert_eq!(error.code(), "PAGE_TOKEN_INVALID", "{text}");
            assert!(error.to_string().contains("page token"), "{error}");
        };
        refused(&text, &binding_of("b:*"));
        let last = text.len() - 1;
        refused(&format!("{}8", &text[..last]), &binding_of("a:*"));
        refused("nonsense", &binding_of("a:*"));
        refused(&PageToken([5]).seal(&binding_of("a:*")), &binding_of("a:*"));
    }

    #[test]
    fn sizes_have_a_default_and_an_end() {
        assert_eq!(size(0), Ok(100));
        assert_eq!(size(1_000), Ok(1_000));
        assert_eq!(size(1_001).unwrap_err().code(), "INVALID_ARGUMENT");
    }
}
