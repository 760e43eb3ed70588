//! Headers of messages that anybody may have written.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::message::{BorrowedHeaders, Header, Headers as _};

/// The header at `index`; `None` where there is none, or its name is no UTF-8: rdkafka itself panics
/// over such a name, and anybody can write one.
pub fn header_at(headers: &BorrowedHeaders, index: usize) -> Option<Header<'_, &[u8]>> {
    catch_unwind(AssertUnwindSafe(|| headers.try_get(index))).unwrap_or_default()
}
