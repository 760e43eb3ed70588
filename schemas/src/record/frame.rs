//! A body: records one after another, each behind its length as a protobuf varint.

use bytes::{Buf, Bytes, BytesMut};
use prost::encoding::{decode_varint, encode_varint};

use super::RecordError;

/// Appends `record` behind its length.
pub fn push(out: &mut BytesMut, record: &[u8]) {
    out.reserve(record.len() + 10);
    encode_varint(record.len() as u64, out);
    out.extend_from_slice(record);
}

/// The records of `body`, each a slice of it (nothing is copied).
///
/// # Errors
/// [`RecordError::Frame`] where a length is no varint, is zero, or reaches beyond the end.
pub fn split(mut body: Bytes) -> Result<Vec<Bytes>, RecordError> {
    let total = body.len();
    let mut records = Vec::new();
    while body.has_remaining() {
        let offset = total - body.len();
        let failed = |what| RecordError::Frame {
            index: records.len(),
            offset,
            what,
        };
        let length = decode_varint(&mut body).map_err(|_| failed("its length is no varint"))?;
        if length == 0 {
            return Err(failed("it is empty"));
        }
        match usize::try_from(length) {
            Ok(length) if length <= body.len() => records.push(body.split_to(length)),
            _ => return Err(failed("it reaches beyond the end of the body")),
        }
    }
    Ok(records)
}
