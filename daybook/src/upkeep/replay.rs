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
    /// Where a cluster's log is read from: kafka reads the archive only where the topic was
    /// trimmed, bigtable all that is archived. [default: kafka]
    #[arg(long, value_enum, value_name = "STORE", requires = "profile")]
    from: Option<From>,
}

/// Where a cluster's log is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum From {
    /// The topic, and the archive where the topic was trimmed.
    Kafka,
    /// All that is archived from the archive, the rest from the topic.
    Bigtable,
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
            None if args.place.is_cluster() => cluster(&args, &bar).await,
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
    let rebuilt = projector::rebuild(
        shards(log.as_ref()),
        log.reader(),
        embedded.projection(),
        Vec::new(),
        embedded.switch(),
        told(bar),
    )
    .await;
    drop(log);
    embedded.close().await;
    let rebuilt = rebuilt.map_err(failed)?;
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

/// Rebuilds the read models of a cluster's stores. Its servers may run: their projectors go on
/// on the new read models.
#[cfg(feature = "cluster")]
async fn cluster(args: &ReplayArgs, bar: &ProgressBar) -> Result<Outcome, Failure> {
    use crate::serve::cluster::from_archive::from_archive;
    use crate::serve::cluster::patience::Trouble;

    let opened = super::open_cluster(&args.place).await?;
    let stores = &opened.stores;
    let log = &stores.log;
    let reader = match (args.from, &stores.archive) {
        (Some(From::Bigtable), Some(archive)) => {
            from_archive(log.reader(), archive.as_ref(), log.shard_count())
                .await
                .map_err(|error| Trouble::from(error).failure())?
        }
        _ => log.reader(),
    };
    let rebuilt = projector::rebuild(
        shards(log.as_ref()),
        reader,
        std::sync::Arc::clone(&stores.projection),
        Vec::new(),
        std::sync::Arc::clone(&stores.switch),
        told(bar),
    )
    .await;
    opened.close().await;
    let rebuilt = rebuilt.map_err(failed)?;
    Ok(Outcome {
        records: rebuilt.sequences.iter().map(|(_, sequence)| sequence).sum(),
        switched: true,
        not_compared: rebuilt.not_compared,
        differences: rebuilt.differences,
        ..Default::default()
    })
}

#[cfg(not(feature = "cluster"))]
async fn cluster(_: &ReplayArgs, _: &ProgressBar) -> Result<Outcome, Failure> {
    Err(crate::serve::cluster::without_feature())
}

fn shards(log: &dyn ports::log::EventLog) -> Vec<projector::Config> {
    (0..log.shard_count())
        .map(|shard| projector::Config::new(log.log_id(), shard))
        .collect()
}

fn told(bar: &ProgressBar) -> Box<dyn Fn(projector::RebuildProgress) + Send + Sync> {
    let bar = bar.clone();
    Box::new(move |at| {
        bar.set_length(at.target_sequence);
        bar.set_position(at.sequence);
    })
}

fn failed(error: projector::RebuildError) -> Failure {
    Failure::new(Kind::Broken, "REBUILD_FAILED", error.to_string())
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
