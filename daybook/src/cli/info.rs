//! `daybook server`, `explain` and `completions`.

use clap::{CommandFactory, Subcommand};
use schemas::proto::v1::*;

use crate::client::failure::{Failure, did_you_mean};
use crate::client::output::{self, BOLD, CYAN, DIM, Table, cell};
use crate::client::session::Session;
use crate::client::{moment, rpc};

/// The server itself.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// What it is, how far its shards are, and its limits.
    Info,
}

/// Runs `daybook server`.
///
/// # Errors
/// The server did not answer.
pub async fn server(session: &Session, command: ServerCommand) -> Result<(), Failure> {
    let ServerCommand::Info = command;
    let Some(info) = session
        .ask(rpc::GET_SERVER_INFO, GetServerInfoRequest {})
        .await?
    else {
        return Ok(());
    };
    if session.args.json {
        output::json(&rpc::GET_SERVER_INFO.reply_json(&info));
        return Ok(());
    }
    output::fields(&[
        ("server", session.args.server.clone()),
        ("version", format!("{} ({})", info.version, info.build)),
        ("profile", info.profile.clone()),
        ("log", info.log_id.clone()),
        ("started", moment::exact(info.started_at.as_ref())),
    ]);
    let mut shards = Table::new(&[
        ">shard",
        "state",
        ">epoch",
        ">committed",
        ">projected",
        ">snapshot",
    ]);
    for shard in &info.shards {
        shards.row(vec![
            shard.shard.to_string().into(),
            (&shard.state).into(),
            shard.epoch.to_string().into(),
            shard.committed_sequence.to_string().into(),
            shard.projected_sequence.to_string().into(),
            shard.snapshot_sequence.to_string().into(),
        ]);
    }
    output::line(shards.render());
    let mut limits = Table::new(&["limit", ">value"]);
    for (name, value) in &info.limits {
        limits.row(vec![cell(CYAN, name), value.to_string().into()]);
    }
    if !limits.is_empty() {
        output::line(limits.render());
    }
    Ok(())
}

/// Says what a code means and what to do.
///
/// # Errors
/// There is no such code.
pub fn explain(code: &str, json: bool) -> Result<(), Failure> {
    let wanted = code.to_uppercase().replace(['-', ' '], "_");
    let Some(found) = schemas::error::explain(&wanted) else {
        let codes = schemas::error::explanations();
        let failure = Failure::usage(format!("there is no code {wanted}"));
        return Err(
            match did_you_mean(&wanted, codes.iter().map(|known| known.code)) {
                Some(near) => failure.hint(format!("did you mean {near}?")),
                None => failure.hint("all codes stand in docs/errors.md"),
            },
        );
    };
    if json {
        output::json(&serde_json::json!({
            "code": found.code,
            "grpc": found.grpc,
            "meaning": found.meaning,
            "cause": found.cause,
            "what_to_do": found.what_to_do,
            "retry": found.retry,
            "figures": found.figures,
        }));
        return Ok(());
    }
    output::line(format!(
        "{BOLD}{}{BOLD:#} {DIM}(gRPC {}){DIM:#}",
        found.code, found.grpc
    ));
    let retry = match found.retry {
        true => "yes: the same call with the same key may succeed later",
        false => "no: the same call with the same key gives the same answer",
    };
    output::fields(&[
        ("means", found.meaning.to_string()),
        ("cause", found.cause.to_string()),
        ("what to do", found.what_to_do.to_string()),
        ("repeat it", retry.to_owned()),
        ("figures", found.figures.join(", ")),
    ]);
    Ok(())
}

/// Prints the completions of a shell.
pub fn completions(shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::Cli::command(), "daybook", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end());
}
