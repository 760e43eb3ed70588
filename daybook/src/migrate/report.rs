//! What `daybook migrate` prints.

use schemas::record::LogId;
use shard_state::Source;
use shard_state::migrate::{Carried, Plan};
use shard_state::verify::Report;

use super::{MigrateArgs, Place, said};
use crate::client::output::{self, BOLD, CYAN, DIM, GREEN, RED, Table, cell};
use crate::upkeep;

/// What was carried over, and what verification of it found.
pub(super) struct Done {
    pub(super) carried: Carried,
    pub(super) report: Report,
}

pub(super) fn show_plan(plan: &Plan, source: &Source, args: &MigrateArgs, target: &Place) {
    if args.json {
        let shards: Vec<_> = plan
            .shards
            .iter()
            .map(|shard| {
                serde_json::json!({
                    "records": shard.records,
                    "bytes": shard.bytes,
                    "ledgers": shard.ledgers,
                })
            })
            .collect();
        output::json(&serde_json::json!({
            "dry_run": true,
            "source": source.log_id.to_string(),
            "source_shards": source.shard_count,
            "shards": shards,
        }));
        return;
    }
    output::line(format!(
        "{BOLD}nothing was changed{BOLD:#} {DIM}all chains of log {} hold{DIM:#}",
        source.log_id
    ));
    output::line(format!(
        "{} ({} shards) would go to {} ({} shards):",
        said(args, &args.from),
        source.shard_count,
        said(args, target),
        plan.shards.len()
    ));
    let mut table = Table::new(&[">shard", ">ledgers", ">records", ">bytes"]);
    for (number, shard) in plan.shards.iter().enumerate() {
        table.row(vec![
            number.to_string().into(),
            shard.ledgers.to_string().into(),
            cell(BOLD, shard.records.to_string()),
            shard.bytes.to_string().into(),
        ]);
    }
    table.print("nothing is recorded yet");
}

pub(super) fn show_done(done: &Done, args: &MigrateArgs, target: &Place) {
    let Done { carried, report } = done;
    let heads: Vec<String> = carried
        .heads
        .iter()
        .map(|(ledger, head)| format!("{ledger}@{}:{}", head.ledger_sequence, head.hash))
        .collect();
    if args.json {
        let shards: Vec<_> = carried
            .shards
            .iter()
            .map(|shard| {
                serde_json::json!({
                    "records": shard.records,
                    "stood_before": shard.stood,
                    "ledgers": shard.ledgers,
                })
            })
            .collect();
        let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        output::json(&serde_json::json!({
            "source": carried.source.to_string(),
            "log_id": carried.target.to_string(),
            "shards": shards,
            "heads": heads,
            "clean": report.is_clean(),
            "findings": findings,
        }));
        return;
    }
    output::line(format!(
        "{GREEN}carried over{GREEN:#} {} to {CYAN}{}{CYAN:#}",
        said(args, &args.from),
        said(args, target)
    ));
    output::line(format!(
        "  {DIM}from{DIM:#}      log {}, sealed: it takes no more records",
        carried.source
    ));
    output::line(format!("  {DIM}to{DIM:#}        log {}", carried.target));
    for (number, shard) in carried.shards.iter().enumerate() {
        let before = match shard.stood {
            0 => String::new(),
            stood => format!(", {stood} of them by an earlier run"),
        };
        output::line(format!(
            "  {DIM}shard {number:<3}{DIM:#} {BOLD}{}{BOLD:#} records of {} ledgers{before}",
            shard.records, shard.ledgers
        ));
    }
    output::line(match report.is_clean() {
        true => format!(
            "  {DIM}verified{DIM:#}  {GREEN}clean{GREEN:#}: {} records from the first on, and the heads of all {} ledgers are the source's",
            report.summary.records,
            heads.len()
        ),
        false => format!("  {DIM}verified{DIM:#}  {RED}not clean{RED:#}"),
    });
    for finding in upkeep::findings(report) {
        output::line(format!(
            "  {RED}{}{RED:#} {}",
            finding.code, finding.message
        ));
    }
    const HEADS_SHOWN: usize = 20;
    for head in heads.iter().take(HEADS_SHOWN) {
        output::line(format!("  {DIM}head{DIM:#}      {head}"));
    }
    if heads.len() > HEADS_SHOWN {
        output::line(format!(
            "  {DIM}head{DIM:#}      and {} more: --json has all",
            heads.len() - HEADS_SHOWN
        ));
    }
    output::line(match target.folder() {
        Some(folder) => format!(
            "  {DIM}try{DIM:#}       daybook serve --data {}",
            folder.display()
        ),
        None => format!("  {DIM}try{DIM:#}       daybook serve --profile cluster"),
    });
}

pub(super) fn show_given_up(reopened: u32, log_id: LogId, args: &MigrateArgs) {
    if args.json {
        output::json(&serde_json::json!({
            "log_id": log_id.to_string(),
            "reopened_shards": reopened,
        }));
        return;
    }
    output::line(match reopened {
        0 => format!("{} was not sealed", said(args, &args.from)),
        _ => format!(
            "{GREEN}open again{GREEN:#} {}: log {log_id} takes records, the other one never will",
            said(args, &args.from)
        ),
    });
}
