//! What a benchmark found, for people and for machines.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::check::Checked;
use super::load::Loaded;
use super::queries::Queried;
use super::target::Disk;
use super::{BenchArgs, Form};

/// The figures of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `friendly` or `packed`.
    pub form: &'static str,
    /// Accounts that were transferred between.
    pub accounts: u32,
    /// Transfers acknowledged.
    pub transfers: u64,
    /// Captures acknowledged beside them.
    pub captures: u64,
    /// Transfers a request.
    pub batch: usize,
    /// Requests in flight per client.
    pub in_flight: usize,
    /// Clients.
    pub clients: usize,
    /// Seconds until all was acknowledged.
    pub acknowledged_seconds: f64,
    /// Transfers and captures acknowledged a second.
    pub acknowledged_per_second: u64,
    /// Seconds until all was query-visible.
    pub visible_seconds: f64,
    /// The same a second, until all was query-visible.
    pub visible_per_second: u64,
    /// How often the server, working at its limit, asked a client for a pause.
    pub pauses: u64,
    /// Latency of a request.
    pub request_micros: Percentiles,
    /// Latency of a balance as of a moment.
    pub balance_as_of_micros: Option<Percentiles>,
    /// Latency of an account's last 20 postings.
    pub last_postings_micros: Option<Percentiles>,
    /// Resident memory of the server after the load, where it is ours.
    pub server_memory_bytes: Option<u64>,
    /// Bytes of log a transfer, where the server is ours.
    pub log_bytes_per_transfer: Option<u64>,
    /// Bytes of all files a transfer, where the server is ours.
    pub disk_bytes_per_transfer: Option<u64>,
    /// Accounts whose totals were compared with what was acknowledged, and equal.
    pub checked_accounts: usize,
    /// Transfers that were fetched one by one, and there.
    pub checked_transfers: usize,
    /// Decisions in the ledger's chain: exactly those acknowledged.
    pub checked_decisions: u64,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Percentiles {
    /// Half are faster.
    pub p50: u64,
    /// Nine of ten are faster.
    pub p90: u64,
    /// 99 of 100 are faster.
    pub p99: u64,
    /// The slowest.
    pub max: u64,
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        }
    }
}

impl Report {
    #[allow(clippy::too_many_arguments, reason = "each is a part of the run")]
    pub(super) fn new(
        args: &BenchArgs,
        loaded: Loaded,
        acknowledged_in: Duration,
        visible_in: Duration,
        memory: Option<u64>,
        disk: Option<(Disk, Disk)>,
        queried: Option<Queried>,
        checked: Checked,
    ) -> Self {
        let decided = loaded.transfers + loaded.captures;
        let rate = |time: Duration| (decided as f64 / time.as_secs_f64()) as u64;
        let per_transfer = |of: fn(&Disk) -> u64| {
            disk.map(|(before, after)| {
                of(&after).saturating_sub(of(&before)) / loaded.transfers.max(1)
            })
        };
        Self {
            form: match args.form {
                Form::Packed => "packed",
                Form::Friendly => "friendly",
            },
            accounts: args.accounts,
            transfers: loaded.transfers,
            captures: loaded.captures,
            batch: args.batch,
            in_flight: args.in_flight,
            clients: args.clients,
            acknowledged_seconds: acknowledged_in.as_secs_f64(),
            acknowledged_per_second: rate(acknowledged_in),
            visible_seconds: visible_in.as_secs_f64(),
            visible_per_second: rate(visible_in),
            pauses: loaded.pauses,
            request_micros: Percentiles::of(&loaded.latency),
            balance_as_of_micros: queried.as_ref().map(|q| Percentiles::of(&q.balance_as_of)),
            last_postings_micros: queried.as_ref().map(|q| Percentiles::of(&q.last_postings)),
            server_memory_bytes: memory,
            log_bytes_per_transfer: per_transfer(|disk| disk.log),
            disk_bytes_per_transfer: per_transfer(|disk| disk.all),
            checked_accounts: checked.accounts,
            checked_transfers: checked.sampled,
            checked_decisions: checked.decisions,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} transfers ({}), {} accounts, batches of {}, {} client(s) with {} in flight",
            self.transfers, self.form, self.accounts, self.batch, self.clients, self.in_flight
        )?;
        if self.captures > 0 {
            writeln!(f, "captures beside them   {}", self.captures)?;
        }
        writeln!(
            f,
            "acknowledged           {:>10} /s  ({:.2} s)",
            self.acknowledged_per_second, self.acknowledged_seconds
        )?;
        writeln!(
            f,
            "query-visible          {:>10} /s  ({:.2} s)",
            self.visible_per_second, self.visible_seconds
        )?;
        let ms = |micros: u64| micros as f64 / 1_000.0;
        let latency = |f: &mut fmt::Formatter<'_>, name: &str, p: &Percentiles| {
            writeln!(
                f,
                "{name:<22} p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
                ms(p.p50),
                ms(p.p90),
                ms(p.p99),
                ms(p.max)
            )
        };
        latency(f, "request", &self.request_micros)?;
        if self.pauses > 0 {
            writeln!(
                f,
                "pauses                 {:>10}, since the server was working at its limit",
                self.pauses
            )?;
        }
        if let Some(p) = &self.balance_as_of_micros {
            latency(f, "balance as of", p)?;
        }
        if let Some(p) = &self.last_postings_micros {
            latency(f, "last 20 postings", p)?;
        }
        if let Some(bytes) = self.server_memory_bytes {
            writeln!(f, "server memory          {:>10} MB", bytes / 1_000_000)?;
        }
        if let (Some(log), Some(all)) = (self.log_bytes_per_transfer, self.disk_bytes_per_transfer)
        {
            writeln!(
                f,
                "disk a transfer        {log:>10} bytes of log, {all} in all"
            )?;
        }
        write!(
            f,
            "checked                {} accounts' totals, {} transfers, {} decisions: all there, books balance",
            self.checked_accounts, self.checked_transfers, self.checked_decisions
        )
    }
}
