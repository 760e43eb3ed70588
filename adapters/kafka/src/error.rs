//! What an error of the brokers or of librdkafka means to us.

use ports::log::LogError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// A failure outside of a transaction, as the port has it.
pub(crate) fn log_error(doing: &str, error: &KafkaError) -> LogError {
    match error {
        KafkaError::ClientConfig(_, what, key, _) => {
            LogError::Unusable(format!("Kafka's property {key}: {what}"))
        }
        KafkaError::ClientCreation(what) => LogError::Unusable(format!("{doing}: {what}")),
        other => match other.rdkafka_error_code() {
            Some(code) if is_refusal(code) => LogError::Unusable(format!(
                "{doing}: the brokers do not permit it ({other}); grant it to this user"
            )),
            _ => LogError::Unavailable(format!("{doing}: {other}")),
        },
    }
}

/// The brokers refuse this user, and will until someone changes that.
pub(crate) fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
    )
}

/// Another producer of the same transactional id has come, or the transaction timed out (the
/// coordinator answers the same to both).
pub(crate) fn is_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::TransactionCoordinatorFenced
    )
}

/// The consumer group has moved on since the metadata was taken.
pub(crate) fn is_stale_group(code: Code) -> bool {
    matches!(
        code,
        Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::RebalanceInProgress
    )
}
