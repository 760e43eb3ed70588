//! Statuses that the gRPC library makes by itself, as faults.

use tonic::{Code, Status};

use super::Fault;

/// The fault that a status of the server's gRPC library stands for: a message that it could not
/// read, or that is too large. `None` for statuses with details, which are our own, and for what
/// has no code of its own (an unknown method, a caller who went away).
pub fn of_transport(status: &Status) -> Option<Fault> {
    if !status.details().is_empty() {
        return None;
    }
    let why = status.message();
    match status.code() {
        // "Error, decoded message length too large: found 17 bytes, the limit is: 16 bytes"
        Code::OutOfRange if why.contains("message length too large") => {
            let mut numbers = why
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|digits| digits.parse().ok());
            let found = numbers.next().unwrap_or_default();
            let most = numbers.next().unwrap_or_default();
            Some(match why.contains("encoded message") {
                true => Fault::ReplyTooLarge {
                    what: "bytes",
                    most,
                },
                false => Fault::MessageTooLarge { found, most },
            })
        }
        Code::Internal if why.starts_with("Error encoding") => Some(Fault::internal(why)),
        Code::Internal if why.starts_with("Error compressing") => Some(Fault::internal(why)),
        // Every other one is about what came in: its frame, its compression, its protobuf.
        Code::Internal => Some(Fault::MessageMalformed {
            why: why.to_owned(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_the_library_get_a_code() {
        let of = |status| of_transport(&status).map(|fault| fault.to_string());
        let large = "message length too large: found 17 bytes, the limit is: 16 bytes";
        assert_eq!(
            of(Status::out_of_range(format!("Error, decoded {large}"))).as_deref(),
            Some("the message has 17 bytes; at most 16 are taken")
        );
        assert_eq!(
            of(Status::out_of_range(format!("Error, encoded {large}"))).as_deref(),
            Some("the answer would hold more than 16 bytes, the most that one message carries")
        );
        let broken = of_transport(&Status::internal("failed to decode Protobuf message"));
        assert_eq!(broken.map(|fault| fault.code()), Some("MESSAGE_MALFORMED"));
        let ours = of_transport(&Status::internal("Error encoding: no room"));
        assert_eq!(ours.map(|fault| fault.code()), Some("INTERNAL"));
    }

    #[test]
    fn our_own_statuses_and_unknown_methods_stay_as_they_are() {
        for status in [
            Status::unimplemented(""),
            Status::cancelled("gone"),
            Fault::internal("a bug").into(),
            Fault::SequenceNotReached {
                ledger: ledger_core::name::LedgerName::new("main").expect("a name"),
                asked: 9,
                reached: 7,
            }
            .into(),
        ] {
            assert_eq!(of_transport(&status), None, "{status:?}");
        }
    }
}
