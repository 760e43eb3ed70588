//! `daybook replay`: the read models made again from the log, beside the live ones, compared,
//! and switched.

use std::path::Path;
use std::time::Instant;

use adapter_embedded::{Embedded, OpenError, Options};
use indicatif::{ProgressBar, ProgressStyle};
use schemas::proto::v1::RebuildReadModelsRequest;

use super::{PlaceArgs, runtime};
use crate::client::failure::{Failure, Kind};
use crate::client::output::{self, BOLD, DIM, GREEN, YELLOW};
use crate::client::rpc;
use crate::serve::embedded::open_failure;

/// `daybook replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

impl ReplayArgs {
    /// True when the output is for machines.
    pub fn json(&self) -> bool {
        self.place.json
    }
}

#[derive(Default, serde::Serialize)]
struct Outcome {
    records: u64,
    seconds: f64,
    switched: bool,
    not_compared: bool,
    differences: Vec<String>,
}

/// Rebuilds the read models of a server or a folder.
///
/// # Errors
/// They cannot be made; the live ones are as they were then.
pub fn run(args: ReplayArgs) -> Result<(), Failure> {
    let json = args.place.json;
    let bar = match json {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(0),
    };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} records  {per_sec}") {
        bar.set_style(style);
    }
    let started = Instant::now();
    let outcome = runtime()?.block_on(async {
        match &args.place.data {
            Some(folder) => offline(folder, &bar).await,
            None => online(&args, &bar).await,
        }
    });
    bar.finish_and_clear();
    let mut outcome = outcome?;
    outcome.seconds = started.elapsed().as_secs_f64();
    if json {
        let value = serde_json::to_value(&outcome).map_err(|e| Failure::broken(e.to_string()))?;
        output::json(&value);
        return Ok(());
    }
    output::line(format!(
        "{GREEN}replayed{GREEN:#} {BOLD}{}{BOLD:#} records in {:.1} s; the new read models are live",
        outcome.records, outcome.seconds
    ));
    if outcome.not_compared {
        output::line(format!(
            "  {DIM}there were no usable ones to compare with{DIM:#}"
        ));
    } else if outcome.differences.is_empty() {
        output::line(format!("  {DIM}the old ones were equal, row by row{DIM:#}"));
    }
    for difference in &outcome.differences {
        output::line(format!("  {YELLOW}differed{YELLOW:#}  {difference}"));
    }
    Ok(())
}

async fn offline(folder: &Path, bar: &ProgressBar) -> Result<Outcome, Failure> {
    let mut discarded = false;
    let embedded = match Embedded::open(folder, Options::default()).await {
        Err(OpenError::Views(_)) => {
            discarded = true;
            let options = Options {
                discard_views: true,
                ..Default::default()
            };
            Embedded::open(folder, options).await
        }
        other => other,
    };
    let embedded = embedded.map_err(|error| open_failure(error, folder))?;
    let log = embedded.log();
    let shards = (0..log.shard_count())
        .map(|shard| projector::Config::new(log.log_id(), shard))
        .collect();
    let told = bar.clone();
    let rebuilt = projector::rebuild(
        shards,
        log.reader(),
        embedded.projection(),
        Vec::new(),
        embedded.switch(),
        Box::new(move |at| {
            told.set_length(at.target_sequence);
            told.set_position(at.sequence);
        }),
    )
    .await;
    drop(log);
    embedded.close().await;
    let rebuilt =
        rebuilt.map_err(|error| Failure::new(Kind::Broken, "REBUILD_FAILED", error.to_string()))?;
    Ok(Outcome {
        records: rebuilt.sequences.iter().map(|(_, sequence)| sequence).sum(),
        switched: true,
        not_compared: discarded || rebuilt.not_compared,
        differences: if discarded {
            Vec::new()
        } else {
            rebuilt.differences
        },
        ..Default::default()
    })
}

async fn online(args: &ReplayArgs, bar: &ProgressBar) -> Result<Outcome, Failure> {
    let session = args.place.session();
    let mut stream = session
        .stream(rpc::REBUILD_READ_MODELS, RebuildReadModelsRequest {})
        .await?;
    let mut outcome = Outcome::default();
    while let Some(progress) = stream
        .message()
        .await
        .map_err(|status| Failure::from_status(&status))?
    {
        bar.set_length(progress.target_sequence);
        bar.set_position(progress.sequence);
        if progress.switched {
            outcome.switched = true;
            outcome.records += progress.sequence;
            outcome.differences = progress.differences;
        }
    }
    match outcome.switched {
        true => Ok(outcome),
        false => Err(Failure::broken("the server ended without switching")),
    }
}
