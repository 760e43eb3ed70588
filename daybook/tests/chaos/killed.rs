//! SIGKILL at random moments, while clients go on.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use xtask::stack::Server;

use crate::cluster::Cluster;
use crate::length::{chances, rounds};
use crate::load::Load;
use crate::node::Node;
use crate::servers::Servers;
use crate::traffic::{Plan, Traffic};

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    CommandNode,
    Projector,
    Server(Server),
}

impl Victim {
    pub const ALL: [Self; 6] = [
        Self::CommandNode,
        Self::Projector,
        Self::Server(Server::Kafka),
        Self::Server(Server::Postgres),
        Self::Server(Server::Bigtable),
        Self::Server(Server::Minio),
    ];
}

/// A cluster of two processes, and clients on it.
pub struct Running {
    // In the order in which they have to go.
    pub load: Load,
    pub traffic: Traffic,
    /// Decides commands and answers queries.
    pub books: Node,
    /// Makes the read models and the archive.
    pub views: Node,
    pub cluster: Cluster,
    pub servers: Servers,
}

impl Running {
    pub fn start(plan: Plan, chances: &mut StdRng) -> Self {
        let servers = Servers::take();
        let cluster = Cluster::new(plan.shards);
        let mut books = cluster.node("books", &["--role", "command,query"]);
        let mut views = cluster.node("views", &["--role", "projector"]);
        books.spawn();
        views.spawn();
        books.wait_ready(Duration::from_secs(90));
        views.wait_ready(Duration::from_secs(90));
        let traffic = Traffic::start(&[books.url()], plan, chances);
        let load = Load::start(&books.url(), &cluster.folder(), chances);
        Self {
            load,
            traffic,
            books,
            views,
            cluster,
            servers,
        }
    }

    /// Everything that was promised holds, and both processes end in order.
    pub fn prove(self) {
        let Self {
            servers,
            load,
            traffic,
            mut books,
            mut views,
            cluster,
        } = self;
        let finished = traffic.finish();
        load.prove();
        finished.prove(&cluster);
        books.stop();
        views.stop();
        drop(servers);
    }

    fn kill(&mut self, victim: Victim, chances: &mut StdRng) {
        let away = Duration::from_millis(chances.random_range(0..1_000));
        let stay_away = || std::thread::sleep(away);
        match victim {
            Victim::CommandNode => {
                self.books.kill();
                stay_away();
                self.books.spawn();
            }
            Victim::Projector => {
                self.views.kill();
                stay_away();
                self.views.spawn();
            }
            Victim::Server(server) => self.servers.restart(server, stay_away),
        }
    }
}

/// Kills `victim` at random moments, and proves that nothing came of it.
pub fn kill(victim: Victim, rounds: u64, chances: &mut StdRng) {
    let mut running = Running::start(Plan::of(2), chances);
    for round in 1..=rounds {
        // Any moment will do.
        std::thread::sleep(Duration::from_millis(chances.random_range(100..1_500)));
        running.kill(victim, chances);
        let took = running
            .traffic
            .wait_progress(Duration::from_secs(150), "commands are decided again");
        println!("  {victim:?}, {round} of {rounds}: decided again after {took:.1?}");
    }
    running.prove();
}

/// Kills one after the other of all, by chance.
pub fn in_turn(rounds: u64, chances: &mut StdRng) {
    let mut running = Running::start(Plan::of(2), chances);
    for round in 1..=rounds {
        let victim = *Victim::ALL.choose(chances).unwrap();
        std::thread::sleep(Duration::from_millis(chances.random_range(100..1_500)));
        running.kill(victim, chances);
        let took = running
            .traffic
            .wait_progress(Duration::from_secs(150), "commands are decided again");
        println!("  {victim:?}, {round} of {rounds}: decided again after {took:.1?}");
    }
    running.prove();
}

#[test]
fn a_killed_command_node_loses_nothing_and_repeats_nothing() {
    let mut chances = chances("the command node is killed");
    kill(Victim::CommandNode, rounds(3), &mut chances);
}

#[test]
fn a_killed_projector_projects_everything_once() {
    let mut chances = chances("the projector is killed");
    kill(Victim::Projector, rounds(3), &mut chances);
}

#[test]
fn a_killed_broker_loses_nothing_that_was_acknowledged() {
    let mut chances = chances("the broker is killed");
    kill(Victim::Server(Server::Kafka), rounds(2), &mut chances);
}

#[test]
fn a_killed_postgres_holds_no_command_up() {
    let mut chances = chances("Postgres is killed");
    kill(Victim::Server(Server::Postgres), rounds(3), &mut chances);
}

#[test]
fn an_emulator_that_comes_back_empty_is_filled_again_from_the_log() {
    let mut chances = chances("the Bigtable emulator is killed");
    kill(Victim::Server(Server::Bigtable), rounds(2), &mut chances);
}

#[test]
fn a_killed_object_store_stops_nothing() {
    let mut chances = chances("MinIO is killed");
    kill(Victim::Server(Server::Minio), rounds(1), &mut chances);
}
