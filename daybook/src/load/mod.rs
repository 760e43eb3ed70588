//! `daybook load`: sends deposits, withdrawals and transfers, through kills and losses, and then
//! proves that every one has exactly one outcome and stands in all books exactly once.
//!
//! What is sent follows from a seed ([`plan`]); what was answered stands in a manifest
//! ([`manifest`]); the proof ([`proof`]) holds the books to both.

mod calls;
mod feed;
#[cfg(feature = "cluster")]
mod kafka;
#[cfg(not(feature = "cluster"))]
#[path = "absent.rs"]
mod kafka;
mod manifest;
mod mix;
mod plan;
mod proof;
mod report;
mod send;
mod setup;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use crate::client::failure::{Failure, Kind};
use crate::client::{moment, output};
use crate::serve::config::ClusterPlace;
use calls::Calls;
use feed::{Feed, Until};
use kafka::Topics;
use manifest::{Header, Manifest, Way};
use mix::{Mix, Permille};
use plan::Shape;
use report::Report;
use send::Sending;

/// How the proof goes on.
const BAR: &str = "{bar:30} {pos}/{len} {msg}";

/// `daybook load`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Each load makes ledgers of its own, named load-RUN-N. Servers may be killed meanwhile: a command is
sent again under its key until it has an outcome, or --patience ends. Ctrl-C ends the sending, and
the proof follows. Exit status 0 means: proven."
)]
pub struct LoadArgs {
    #[command(subcommand)]
    command: Option<LoadCommand>,
    #[command(flatten)]
    send: SendArgs,
    #[command(flatten)]
    prove: ProveArgs,
}

#[derive(Debug, Subcommand)]
enum LoadCommand {
    /// Prove an earlier load again, from its manifest.
    Prove {
        /// The manifest.
        manifest: PathBuf,
        #[command(flatten)]
        prove: ProveArgs,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct SendArgs {
    /// Where commands go: calls, or the topics.
    #[arg(long, value_enum, default_value = "grpc")]
    to: Way,
    /// Commands in all.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    count: u64,
    /// Send for so long instead.
    #[arg(long, value_name = "SPAN", conflicts_with = "count", value_parser = moment::duration)]
    duration: Option<Duration>,
    /// Commands a second; as fast as it goes without.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How many of each kind, in proportion.
    #[arg(
        long,
        value_name = "MIX",
        default_value = "deposits=5,withdrawals=3,transfers=12"
    )]
    mix: Mix,
    /// Share of commands that must be refused.
    #[arg(long, value_name = "SHARE", default_value = "5%")]
    refused: Permille,
    /// Share of commands that are sent once more, with their keys.
    #[arg(long, value_name = "SHARE", default_value = "3%")]
    repeats: Permille,
    /// Share of messages that are no commands.
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    malformed: Permille,
    /// Ledgers.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    ledgers: u32,
    /// Accounts in each ledger.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    accounts: u32,
    /// Of everything that is drawn.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Requests on their way at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    clients: u16,
    /// Commands of a request; 1 makes single calls.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=8_190))]
    batch: u16,
    /// Where the manifest is written; load-RUN.manifest in this folder without.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Go on with the load of this manifest: what has no outcome is sent again first.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["manifest", "mix", "refused", "repeats", "malformed", "ledgers", "accounts", "seed", "to"])]
    resume: Option<PathBuf>,
    /// Send, and prove later: daybook load prove FILE.
    #[arg(long)]
    no_proof: bool,
}

#[derive(Debug, Clone, clap::Args)]
struct ProveArgs {
    /// A server; several may be named where they serve the same books.
    #[arg(
        long,
        env = "DAYBOOK_SERVER",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7420"
    )]
    server: Vec<String>,
    /// How long a command or a question without an answer is sent again.
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = moment::duration)]
    patience: Duration,
    /// Keys that the proof asks for one by one, at most; evenly over all.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    keys: u64,
    /// Let the server verify log, read models, history and snapshots against each other, too.
    #[arg(long)]
    deep: bool,
    /// The operations port of the server, for --deep.
    #[arg(
        long,
        env = "DAYBOOK_OPERATIONS",
        value_name = "URL",
        default_value = "http://127.0.0.1:7421"
    )]
    operations: String,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
    /// Where the topics are, for --to kafka.
    #[command(flatten)]
    cluster: ClusterPlace,
}

impl LoadArgs {
    /// True when the output is for machines.
    pub fn json(&self) -> bool {
        match &self.command {
            Some(LoadCommand::Prove { prove, .. }) => prove.json,
            None => self.prove.json,
        }
    }
}

/// Sends and proves, or proves.
///
/// # Errors
/// `NOT_PROVEN`, with the first culprits; `NOT_ANSWERED`; something could not be done.
pub fn run(args: LoadArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match args.command {
            Some(LoadCommand::Prove { manifest, prove }) => {
                let manifest = Arc::new(Manifest::open(&manifest)?);
                let calls = Arc::new(Calls::new(&prove.server, prove.patience)?);
                finish(&calls, &manifest, &prove, None).await
            }
            None => load(args.send, args.prove).await,
        }
    })
}

async fn load(send: SendArgs, prove: ProveArgs) -> Result<(), Failure> {
    let calls = Arc::new(Calls::new(&prove.server, prove.patience)?);
    let manifest = Arc::new(match &send.resume {
        Some(path) => Manifest::open(path)?,
        None => begin(&send, &prove).await?,
    });
    let topics = match manifest.header.way {
        Way::Kafka => Some(Topics::new(&prove.cluster)?),
        Way::Grpc => None,
    };
    if let (Some(topics), Some(_)) = (&topics, &send.resume) {
        // What has an outcome by now is not sent again.
        let bar = bar(prove.json, BAR);
        let gathered = topics.gather(&manifest, prove.patience, &bar).await;
        bar.finish_and_clear();
        gathered?;
    }
    let until = Until {
        count: match (send.duration, manifest.header.count) {
            (Some(_), _) => None,
            (None, Some(count)) => Some(count),
            (None, None) => Some(manifest.len()),
        },
        time: send.duration,
        rate: send.rate,
    };
    setup::set_up(&calls, &manifest.header.shape).await?;
    let before = manifest.len();
    let feed = Arc::new(Feed::new(Arc::clone(&manifest), until));
    let watching = watch(&feed, &manifest, until, prove.json);
    let started = Instant::now();
    let sending = Sending {
        clients: usize::from(send.clients),
        batch: usize::from(send.batch),
    };
    let sent = match &topics {
        None => send::send(&calls, &feed, &manifest, sending).await,
        Some(topics) => topics.send(&feed, &manifest, sending, prove.patience).await,
    };
    let took = started.elapsed();
    watching.abort();
    manifest.sync()?;
    sent?;
    let speed = report::Speed {
        commands: manifest.len() - before,
        seconds: took.as_secs_f64(),
    };
    if send.no_proof {
        output::line(format!(
            "sent {} commands in {:.1} s; to prove: daybook load prove {}",
            speed.commands,
            speed.seconds,
            manifest.path.display()
        ));
        return Ok(());
    }
    finish(&calls, &manifest, &prove, Some(speed)).await
}

async fn begin(send: &SendArgs, prove: &ProveArgs) -> Result<Manifest, Failure> {
    let run: u32 = rand::random();
    let shape = Shape {
        seed: send.seed,
        run,
        ledgers: send.ledgers,
        accounts: send.accounts,
        mix: send.mix,
        refused: send.refused,
        repeats: send.repeats,
        malformed: send.malformed,
    };
    if shape.refused.0 + shape.repeats.0 + shape.malformed.0 > 950 {
        return Err(Failure::usage(
            "--refused, --repeats and --malformed together are at most 95%",
        ));
    }
    let path = send.manifest.clone();
    let path = path.unwrap_or_else(|| PathBuf::from(format!("load-{run:08x}.manifest")));
    let count = send.duration.is_none().then_some(send.count);
    let mut header = Header::new(shape, send.to, prove.server.clone(), count);
    if send.to == Way::Kafka {
        header.topics = Topics::new(&prove.cluster)?.ends().await?;
    }
    Manifest::create(&path, header)
}

/// Shows how it goes on, and stops the sending on Ctrl-C.
fn watch(
    feed: &Arc<Feed>,
    manifest: &Arc<Manifest>,
    until: Until,
    hidden: bool,
) -> tokio::task::JoinHandle<()> {
    let (feed, manifest) = (Arc::clone(feed), Arc::clone(manifest));
    let bar = bar(hidden, "{bar:30} {pos}/{len} commands sent  {msg}");
    tokio::spawn(async move {
        let started = Instant::now();
        let _clear = Clear(bar.clone());
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        let mut interrupted = false;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                signal = tokio::signal::ctrl_c(), if !interrupted => {
                    interrupted = true;
                    if signal.is_ok() {
                        feed.stop();
                    }
                }
            }
            let (sent, done) = (manifest.len(), feed.done.load(Ordering::Relaxed));
            bar.set_length(until.count.unwrap_or(sent));
            bar.set_position(sent);
            let seconds = started.elapsed().as_secs_f64().max(0.001);
            let left = until
                .time
                .map(|time| time.saturating_sub(started.elapsed()));
            let left = left.map_or_else(String::new, |left| format!(", {} s left", left.as_secs()));
            bar.set_message(format!(
                "{done} answered, {:.0} a second{left}",
                done as f64 / seconds
            ));
        }
    })
}

/// Takes the bar away when the watch ends.
struct Clear(ProgressBar);

impl Drop for Clear {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn bar(hidden: bool, template: &str) -> ProgressBar {
    if hidden {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Proves, prints, and judges.
async fn finish(
    calls: &Arc<Calls>,
    manifest: &Arc<Manifest>,
    prove: &ProveArgs,
    speed: Option<report::Speed>,
) -> Result<(), Failure> {
    let bar = bar(prove.json, BAR);
    let mut items = match manifest.header.way {
        Way::Kafka => {
            let topics = Topics::new(&prove.cluster)?;
            let gathered = topics.gather(manifest, prove.patience, &bar).await;
            manifest.sync()?;
            gathered.inspect_err(|_| bar.finish_and_clear())?
        }
        Way::Grpc => Vec::new(),
    };
    let options = proof::Options {
        keys: prove.keys,
        deep: prove.deep.then(|| prove.operations.clone()),
    };
    let proven = proof::prove(calls, manifest, &options, &bar).await;
    bar.finish_and_clear();
    let (counts, proven) = proven?;
    items.extend(proven);
    let report = Report::new(manifest, speed, counts, items);
    if prove.json {
        let json = serde_json::to_value(&report);
        output::json(&json.map_err(|error| Failure::broken(error.to_string()))?);
    } else {
        output::line(&report);
    }
    match report.first_wrong() {
        None => Ok(()),
        Some(item) => Err(Failure::new(
            Kind::Refused,
            "NOT_PROVEN",
            format!(
                "it is not so that {}: {} of {} times; first: {}",
                item.claim,
                item.wrong,
                item.checked.max(item.wrong),
                item.culprits.first().map_or("", String::as_str)
            ),
        )
        .hint("keep the manifest and the books as they are, and look at what is named")
        .hint("daybook verify says whether the books agree with themselves")),
    }
}
