//! Why the brokers are not reached. librdkafka tells that beside its answers, and to clients whose
//! events somebody takes: an admin client is none.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ports::log::LogError;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::connection::Connection;
use crate::error::log_error;
use crate::log::log_line;

/// How long connections are listened to at a time.
const WHILE: Duration = Duration::from_secs(2);

/// Tries to connect by itself, and hears what becomes of it.
pub(super) struct Listener {
    consumer: BaseConsumer<Heard>,
    /// Whether TLS is not even tried.
    plain: bool,
}

#[derive(Default)]
struct Heard {
    reason: Mutex<Option<Reason>>,
}

#[derive(Debug, Clone)]
struct Reason {
    code: Code,
    /// With the broker's name.
    what: String,
}

impl Reason {
    /// Trying again will hardly help: someone has to change a setting or a certificate.
    fn is_verdict(&self) -> bool {
        match self.code {
            Code::Authentication => true,
            // Others are connections that broke while they were being made.
            Code::SSL => self.what.contains("certificate"),
            _ => false,
        }
    }
}

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
        // A connection that was closed is no error to librdkafka, and told here alone.
        if facility == "FAIL" {
            // Behind the name of the thread.
            let what = message.split_once("]: ").map_or(message, |(_, what)| what);
            self.hear(Code::BrokerTransportFailure, what);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.hear(code, reason);
        }
    }
}

impl ConsumerContext for Heard {}

impl Heard {
    fn reason(&self) -> MutexGuard<'_, Option<Reason>> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, code: Code, what: &str) {
        let mut known = self.reason();
        // That all are down says nothing, and of several addresses of a broker one may be right.
        if code != Code::AllBrokersDown && !known.as_ref().is_some_and(Reason::is_verdict) {
            *known = Some(Reason {
                code,
                what: what.to_owned(),
            });
        }
    }
}

impl Listener {
    pub(super) fn new(connection: &Connection) -> Result<Self, LogError> {
        let consumer = connection
            .client()
            .set("group.id", connection.readers_group())
            .create_with_context(Heard::default())
            .map_err(|error| log_error("reaching the brokers", &error))?;
        Ok(Self {
            consumer,
            plain: connection.config().tls.is_none(),
        })
    }

    /// Listens for a while; says why the brokers are not reached, where trying again will hardly
    /// help.
    pub(super) fn verdict(&self, doing: &str) -> Option<LogError> {
        let until = Instant::now() + WHILE;
        loop {
            // Errors go to the context; it reads no topic, so there are no messages.
            drop(self.consumer.poll(Duration::from_millis(50)));
            if let Some(reason) = self.consumer_reason()
                && reason.is_verdict()
            {
                return Some(match reason.code {
                    Code::Authentication => LogError::Unusable(format!(
                        "{doing}: the brokers do not let this user in, or not by this password: {}",
                        reason.what
                    )),
                    _ => LogError::Unavailable(format!("{doing}: {}", reason.what)),
                });
            }
            if Instant::now() >= until {
                return None;
            }
        }
    }

    /// `error` with what was heard last.
    pub(super) fn explain(&self, doing: &str, error: &KafkaError) -> LogError {
        match (log_error(doing, error), self.consumer_reason()) {
            (LogError::Unavailable(said), Some(reason)) => {
                // In this state librdkafka waits for the answer to its first words.
                let hung_up = self.plain && reason.what.contains("APIVERSION_QUERY");
                let why = match hung_up {
                    true => "; as a broker does that wants TLS, which is not set",
                    false => "",
                };
                LogError::Unavailable(format!("{said}: {}{why}", reason.what))
            }
            (error, _) => error,
        }
    }

    fn consumer_reason(&self) -> Option<Reason> {
        use rdkafka::consumer::Consumer as _;
        self.consumer.context().reason().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_telling_reason_is_kept() {
        let heard = Heard::default();
        let tell = |code, what: &str| heard.error(KafkaError::Global(code), what);
        tell(Code::BrokerTransportFailure, "b: connection refused");
        tell(Code::AllBrokersDown, "1/1 brokers are down");
        let known = |heard: &Heard| heard.reason().clone().map(|reason| reason.what);
        assert_eq!(known(&heard).as_deref(), Some("b: connection refused"));
        tell(
            Code::SSL,
            "b: SSL handshake failed: certificate verify failed",
        );
        tell(Code::BrokerTransportFailure, "b: connection refused");
        let closed = "[thrd:ssl://b]: ssl://b: Disconnected";
        heard.log(RDKafkaLogLevel::Info, "FAIL", closed);
        let reason = heard.reason().clone().expect("a reason");
        assert!(reason.is_verdict() && reason.what.contains("certificate"));
    }
}
