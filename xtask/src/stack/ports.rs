//! The ports of a stack: one block, counted from its base.

use std::net::{Ipv4Addr, TcpListener};

use super::StackError;

/// How many proxies can stand between clients and the broker at the same time.
pub const LANES: u16 = 4;
/// How many ports a stack has.
pub const BLOCK: u16 = 20;
/// Where the first stack's ports begin.
pub const FIRST: u16 = 17_400;
const LAST: u16 = 18_400;

/// Where each server of a stack listens, all on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    base: u16,
}

/// A listener of the broker whose advertised address is a proxy's: what asks through the proxy
/// stays on the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Where the broker listens.
    pub broker: u16,
    /// Where the proxy has to listen.
    pub proxy: u16,
}

impl Ports {
    /// The ports from `base` on.
    #[must_use]
    pub const fn from(base: u16) -> Self {
        Self { base }
    }

    /// Where they begin.
    #[must_use]
    pub const fn base(self) -> u16 {
        self.base
    }

    /// Kafka's, for clients.
    #[must_use]
    pub const fn kafka(self) -> u16 {
        self.base
    }

    /// Kafka's, for its own controller.
    #[must_use]
    pub const fn controller(self) -> u16 {
        self.base + 1
    }

    /// The Bigtable emulator's.
    #[must_use]
    pub const fn bigtable(self) -> u16 {
        self.base + 2
    }

    /// Postgres's.
    #[must_use]
    pub const fn postgres(self) -> u16 {
        self.base + 3
    }

    /// MinIO's.
    #[must_use]
    pub const fn minio(self) -> u16 {
        self.base + 4
    }

    /// Kafka's, for itself, where its clients' is encrypted.
    #[must_use]
    pub const fn kafka_inner(self) -> u16 {
        self.base + 5
    }

    /// Those for proxies before the broker.
    #[must_use]
    pub fn lanes(self) -> Vec<Lane> {
        (0..LANES)
            .map(|lane| Lane {
                broker: self.base + 10 + 2 * lane,
                proxy: self.base + 11 + 2 * lane,
            })
            .collect()
    }

    fn all(self) -> Vec<(u16, &'static str)> {
        let mut all = vec![
            (self.kafka(), "Kafka"),
            (self.controller(), "Kafka's controller"),
            (self.bigtable(), "the Bigtable emulator"),
            (self.postgres(), "Postgres"),
            (self.minio(), "MinIO"),
            (self.kafka_inner(), "Kafka, for itself"),
        ];
        for lane in self.lanes() {
            all.push((lane.broker, "Kafka, behind a proxy"));
            all.push((lane.proxy, "a proxy before Kafka"));
        }
        all
    }

    /// Says which port is taken, where one is.
    ///
    /// # Errors
    /// [`StackError::PortTaken`] of the first that is.
    pub fn check_free(self) -> Result<(), StackError> {
        match self.all().into_iter().find(|(port, _)| !is_free(*port)) {
            Some((port, what)) => Err(StackError::PortTaken { port, what }),
            None => Ok(()),
        }
    }

    /// The first block that nobody uses.
    ///
    /// # Errors
    /// [`StackError::NoPorts`] where all are in use.
    pub fn find() -> Result<Self, StackError> {
        (FIRST..LAST)
            .step_by(usize::from(BLOCK))
            .map(Self::from)
            .find(|ports| ports.check_free().is_ok())
            .ok_or(StackError::NoPorts {
                from: FIRST,
                to: LAST,
            })
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_has_two_uses_and_all_lie_in_the_block() {
        let ports = Ports::from(FIRST);
        let mut all: Vec<u16> = ports.all().into_iter().map(|(port, _)| port).collect();
        assert!(all.iter().all(|port| (FIRST..FIRST + BLOCK).contains(port)));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_port_in_use_is_named() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let error = Ports::from(port).check_free().unwrap_err().to_string();
        assert!(error.contains(&port.to_string()), "{error}");
    }
}
