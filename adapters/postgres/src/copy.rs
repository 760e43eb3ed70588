//! Many new rows by one `COPY`, in binary form: nothing is parsed, planned or joined.

use ledger_core::time::Timestamp;
use ports::projection::ProjectionError;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::failure::Failure;
use crate::values::{Json, stored};
use crate::wire;

/// Bytes that are sent at once.
const SEND_BYTES: usize = 256 * 1024;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: [u8; 2] = (-1i16).to_be_bytes();
const NULL: [u8; 4] = (-1i32).to_be_bytes();

/// The row that is being written, value by value.
pub(crate) struct CopyRow<'a> {
    out: &'a mut Vec<u8>,
}

impl CopyRow<'_> {
    /// A value whose length is known when it has been written.
    fn value(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        put(self.out);
        let length = (self.out.len() - at - 4) as u32;
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub(crate) fn null(&mut self) {
        self.out.extend_from_slice(&NULL);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.out
            .extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) -> Result<(), ProjectionError> {
        self.i64(stored(value)?);
        Ok(())
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn text_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    pub(crate) fn time(&mut self, at: Timestamp) {
        self.value(|out| wire::put_time(out, at));
    }

    pub(crate) fn uuid(&mut self, uuid: u128) {
        self.bytes(&uuid.to_be_bytes());
    }

    pub(crate) fn numeric(&mut self, value: u128) {
        self.value(|out| wire::put_numeric(out, false, value));
    }

    pub(crate) fn signed_or_null(&mut self, value: Option<i128>) {
        match value {
            Some(value) => {
                self.value(|out| wire::put_numeric(out, value < 0, value.unsigned_abs()));
            }
            None => self.null(),
        }
    }

    pub(crate) fn json_or_null(&mut self, json: Option<&Json>) {
        match json {
            Some(json) => self.value(|out| {
                // The version of jsonb's binary form.
                out.push(1);
                out.extend_from_slice(json.0.as_bytes());
            }),
            None => self.null(),
        }
    }

    /// An array of one dimension, whose elements have type `oid`.
    fn array<T>(
        &mut self,
        oid: u32,
        elements: impl ExactSizeIterator<Item = T>,
        mut put: impl FnMut(&mut CopyRow<'_>, T),
    ) {
        self.value(|out| {
            let count = elements.len() as u32;
            let dimensions = u32::from(count > 0);
            for part in [dimensions, 0, oid] {
                out.extend_from_slice(&part.to_be_bytes());
            }
            if count > 0 {
                out.extend_from_slice(&count.to_be_bytes());
                out.extend_from_slice(&1u32.to_be_bytes());
            }
            let mut row = CopyRow { out };
            for element in elements {
                put(&mut row, element);
            }
        });
    }

    pub(crate) fn i64s(&mut self, values: impl ExactSizeIterator<Item = i64>) {
        self.array(20, values, |row, value| row.i64(value));
    }

    pub(crate) fn numerics(&mut self, values: impl ExactSizeIterator<Item = u128>) {
        self.array(1700, values, |row, value| row.numeric(value));
    }
}

/// Copies `rows` into `columns` (`table (column, …)`), `put` writing the values of one.
///
/// Must not be cancelled: the connection would be left in the middle of the copy.
pub(crate) async fn copy<T>(
    connection: &mut PgConnection,
    table: &str,
    columns: &[&str],
    rows: impl ExactSizeIterator<Item = T>,
    mut put: impl FnMut(&mut CopyRow<'_>, T) -> Result<(), ProjectionError>,
) -> Result<(), Failure> {
    let expected = rows.len() as u64;
    if expected == 0 {
        return Ok(());
    }
    let text = format!(
        "COPY {table} ({}) FROM STDIN (FORMAT binary)",
        columns.join(", ")
    );
    let mut copying = connection.copy_in_raw(&text).await?;
    let mut out = Vec::with_capacity(SEND_BYTES + 4_096);
    out.extend_from_slice(SIGNATURE);
    let count = (columns.len() as i16).to_be_bytes();
    for row in rows {
        out.extend_from_slice(&count);
        if let Err(error) = put(&mut CopyRow { out: &mut out }, row) {
            copying.abort(error.to_string()).await?;
            return Err(error.into());
        }
        if out.len() >= SEND_BYTES {
            copying.send(out.as_slice()).await?;
            out.clear();
        }
    }
    out.extend_from_slice(&END);
    copying.send(out.as_slice()).await?;
    let copied = copying.finish().await?;
    debug_assert_eq!(copied, expected);
    Ok(())
}

/// `AssertSqlSafe`, for texts that are made of constants and checked names alone.
pub(crate) fn sql(text: String) -> AssertSqlSafe<String> {
    AssertSqlSafe(text)
}
