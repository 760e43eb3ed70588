//! SIGKILL at random moments, while clients go on.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use xtask::stack::Server;

use crate::cluster::Cluster;
use crate::length::{chances, rounds};
use crate::load::{Load, Way};
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
        let load = Load::start(plan.load, &books.url(), &cluster, chances);
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

/// Kills one at random moments, and proves that nothing came of it.
pub fn kill(victim: Victim, rounds: usize, chances: &mut StdRng) {
    kill_all(&vec![victim; rounds], chances);
}

/// Kills each of them so often, in an order of chance.
pub fn kill_each(rounds: usize, chances: &mut StdRng) {
    let mut victims = Victim::ALL.repeat(rounds);
    victims.shuffle(chances);
    kill_all(&victims, chances);
}

/// Kills what the topics' way leads through, while the load goes that way.
pub fn kill_by_topics(rounds: usize, chances: &mut StdRng) {
    let victims = [
        Victim::CommandNode,
        Victim::Server(Server::Kafka),
        Victim::Projector,
    ];
    let mut victims = victims.repeat(rounds);
    victims.shuffle(chances);
    kill_with(Way::Topics, &victims, chances);
}

fn kill_all(victims: &[Victim], chances: &mut StdRng) {
    kill_with(Way::by_chance(chances), victims, chances);
}

fn kill_with(load: Way, victims: &[Victim], chances: &mut StdRng) {
    let plan = Plan {
        load,
        ..Plan::of(2)
    };
    let mut running = Running::start(plan, chances);
    for (round, &victim) in (1..).zip(victims) {
        // Any moment will do.
        std::thread::sleep(Duration::from_millis(chances.random_range(100..1_500)));
        running.kill(victim, chances);
        let took = running
            .traffic
            .wait_progress(Duration::from_secs(150), "commands are decided again");
        let of = victims.len();
        println!("  {victim:?} killed, {round} of {of}: decided again after {took:.1?}");
    }
    running.prove();
}

#[test]
fn a_load_by_the_topics_is_proven_through_kills() {
    let mut chances = chances("a load by the topics");
    kill_by_topics(rounds(1), &mut chances);
}
