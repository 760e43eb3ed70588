//! `daybook setup`: what a cluster's parts live in, made or checked.

use crate::client::failure::Failure;
use crate::serve::config::ClusterPlace;

/// Make topics, tables, schema and bucket of a cluster, or check those that are there.
#[derive(Debug, Clone, clap::Args)]
pub struct SetupArgs {
    /// Where.
    #[command(flatten)]
    pub place: ClusterPlace,

    /// Shards of the log: partitions of its topics. They never change. [default: 4]
    #[arg(long, env = "DAYBOOK_SHARDS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub shards: Option<u32>,

    /// One broker without replicas will do. For development: such a broker may lose what it
    /// acknowledged when the power fails.
    #[arg(long)]
    pub single_broker: bool,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Shards where nothing else is said.
#[cfg(feature = "cluster")]
const SHARDS: u32 = 4;

/// Sets a cluster up.
///
/// # Errors
/// Something cannot be reached, may not be made, or is not as it must be.
#[cfg(feature = "cluster")]
pub fn run(args: &SetupArgs) -> Result<(), Failure> {
    use crate::client::output::{self, BOLD, DIM, GREEN, YELLOW};
    use crate::serve::cluster::setup::{Wanted, setup};

    let (cluster, shards) = args.place.load()?;
    let wanted = Wanted {
        shards: args.shards.or(shards).unwrap_or(SHARDS),
        single_broker: args.single_broker,
        log_id: None,
    };
    let done = super::runtime()?.block_on(setup(&cluster, wanted))?;
    if args.json {
        output::json(&serde_json::to_value(&done).map_err(|e| Failure::broken(e.to_string()))?);
        return Ok(());
    }
    output::line(format!(
        "{GREEN}set up{GREEN:#} {BOLD}{}{BOLD:#}: log {}, {} shards",
        cluster.name, done.log_id, done.shards
    ));
    for step in &done.steps {
        output::line(format!(
            "  {BOLD}{}{BOLD:#} {DIM}{}{DIM:#}",
            step.part, step.place
        ));
        for made in &step.made {
            output::line(format!("    {GREEN}made{GREEN:#}   {made}"));
        }
        for found in &step.found {
            output::line(format!("    {DIM}found{DIM:#}  {found}"));
        }
        for unchecked in &step.unchecked {
            output::line(format!("    {YELLOW}not checked{YELLOW:#}  {unchecked}"));
        }
    }
    if args.single_broker {
        output::line(format!(
            "  {YELLOW}one broker: what it acknowledged is not safe against a loss of power{YELLOW:#}"
        ));
    }
    output::line(format!(
        "  {DIM}try{DIM:#}  daybook serve --profile cluster"
    ));
    Ok(())
}

/// Says that the profile is not in this build.
///
/// # Errors
/// Always.
#[cfg(not(feature = "cluster"))]
pub fn run(_: &SetupArgs) -> Result<(), Failure> {
    Err(crate::serve::cluster::without_feature())
}
