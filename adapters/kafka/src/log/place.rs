//! The header of a message of the log: what it is and where in its batch it stands.
//!
//! One header, `daybook`, of 29 bytes, numbers big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | kind: 1 a record, 2 a barrier, 3 a confirmation |
//! | 4 | the first bytes of the log's id |
//! | 8 | the writer's epoch; for a barrier the last one in the log before it |
//! | 8 | the record's sequence; for a barrier the next one |
//! | 4 | index in the batch |
//! | 4 | records of the batch |

use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use schemas::record::LogId;

use crate::headers::header_at;

const HEADER: &str = "daybook";
const LENGTH: usize = 29;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A record.
    Record,
    /// What a claim begins with.
    Barrier,
    /// What an idle writer proves with that it was not deposed; in a topic of its own.
    Confirmation,
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) log: [u8; 4],
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) index: u32,
    pub(crate) count: u32,
}

/// The part of a log's id that stands in every header.
pub(crate) fn tag(log_id: LogId) -> [u8; 4] {
    let [a, b, c, d, ..] = log_id.0;
    [a, b, c, d]
}

impl Place {
    /// The sequence after it.
    pub(crate) fn next_sequence(&self) -> u64 {
        match self.kind {
            Kind::Record => self.sequence.saturating_add(1),
            Kind::Barrier | Kind::Confirmation => self.sequence,
        }
    }

    fn encode(&self) -> [u8; LENGTH] {
        let mut out = [0; LENGTH];
        out[0] = match self.kind {
            Kind::Record => 1,
            Kind::Barrier => 2,
            Kind::Confirmation => 3,
        };
        out[1..5].copy_from_slice(&self.log);
        out[5..13].copy_from_slice(&self.epoch.to_be_bytes());
        out[13..21].copy_from_slice(&self.sequence.to_be_bytes());
        out[21..25].copy_from_slice(&self.index.to_be_bytes());
        out[25..29].copy_from_slice(&self.count.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes: &[u8; LENGTH] = bytes
            .try_into()
            .map_err(|_| "its header daybook does not have 29 bytes")?;
        let eight = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(number)
        };
        let four = |at: usize| {
            let mut number = [0; 4];
            number.copy_from_slice(&bytes[at..at + 4]);
            number
        };
        let place = Self {
            kind: match bytes[0] {
                1 => Kind::Record,
                2 => Kind::Barrier,
                3 => Kind::Confirmation,
                _ => return Err("its header daybook names an unknown kind"),
            },
            log: four(1),
            epoch: eight(5),
            sequence: eight(13),
            index: u32::from_be_bytes(four(21)),
            count: u32::from_be_bytes(four(25)),
        };
        if place.kind == Kind::Record && place.index >= place.count {
            return Err("its header daybook has an index beyond its batch");
        }
        Ok(place)
    }

    /// The header to be sent.
    pub(crate) fn header(&self) -> OwnedHeaders {
        OwnedHeaders::new_with_capacity(1).insert(Header {
            key: HEADER,
            value: Some(&self.encode()),
        })
    }

    /// The place that a message of `log` names.
    ///
    /// # Errors
    /// Why it is no message of this log.
    pub(crate) fn of(message: &BorrowedMessage<'_>, log: [u8; 4]) -> Result<Self, &'static str> {
        let headers = message
            .headers()
            .filter(|headers| headers.count() == 1)
            .ok_or("it has no header daybook, or others too")?;
        let header = header_at(headers, 0)
            .filter(|header| header.key == HEADER)
            .ok_or("it has no header daybook")?;
        let place = Self::decode(header.value.unwrap_or_default())?;
        match (place.log == log, message.payload()) {
            (false, _) => Err("it belongs to another log"),
            (true, None | Some([])) => Err("it has no value"),
            (true, Some(_)) => Ok(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        kind: Kind::Record,
        log: [1, 2, 3, 4],
        epoch: 5,
        sequence: 6,
        index: 7,
        count: 8,
    };

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let bytes = PLACE.encode();
        assert_eq!(Place::decode(&bytes), Ok(PLACE));
        assert_eq!(bytes[12], 5);
        assert_eq!(bytes[20], 6);
        for kind in [Kind::Barrier, Kind::Confirmation] {
            let control = Place {
                kind,
                index: 0,
                count: 0,
                ..PLACE
            };
            assert_eq!(Place::decode(&control.encode()), Ok(control));
            assert_eq!(control.next_sequence(), 6);
        }
        assert_eq!(PLACE.next_sequence(), 7);
    }

    #[test]
    fn what_is_no_place_is_refused() {
        assert!(Place::decode(&[]).is_err());
        assert!(Place::decode(&[1; 30]).is_err());
        let mut bytes = PLACE.encode();
        bytes[0] = 9;
        assert!(Place::decode(&bytes).is_err());
        let beyond = Place { index: 8, ..PLACE };
        assert!(Place::decode(&beyond.encode()).is_err());
    }
}
