//! The Bigtable emulator killed alone: it keeps nothing, so archive and account history are filled
//! from Kafka again. Until they are, a statement is refused, and never shown in part.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use schemas::proto::v1 as api;
use schemas::proto::v1::get_statement_request::By;
use tonic::{Code, Request, Status};
use xtask::stack::Server;

use crate::bank::{Bank, eventual, reason, strong};
use crate::killed::Running;
use crate::length::{chances, rounds};
use crate::operations::eventually;
use crate::traffic::{Plan, Traffic};

/// Lines that each account has when the first history is lost.
const LINES: usize = 40;
const REFILLED: Duration = Duration::from_secs(120);
/// A question is refused by one of these, if it cannot be answered: whoever waits for Bigtable
/// until it has been filled again never sees it half filled.
const DEADLINES: [Duration; 2] = [Duration::from_millis(400), Duration::from_secs(10)];
const PAGE: u32 = 500;

/// A statement, all pages of it.
#[derive(Debug, Clone, PartialEq)]
struct Statement {
    opening: i64,
    closing: i64,
    lines: Vec<api::PostingLine>,
}

/// What is asked again and again.
#[derive(Debug, Clone)]
struct Question {
    ledger: String,
    account: String,
    by: By,
    /// The end of the period; 0 for the newest.
    at: u64,
}

/// What those who ask share.
#[derive(Default)]
struct Asked {
    stop: AtomicBool,
    /// Answers by question.
    answered: Vec<AtomicU64>,
    refused: Mutex<BTreeMap<(String, String), u64>>,
    broken: Mutex<Vec<String>>,
}

impl Question {
    /// All pages. A page that is refused is asked again: those before it hold.
    async fn ask(&self, bank: &Bank, asked: &Asked) -> Option<Statement> {
        let mut request = api::GetStatementRequest {
            ledger: self.ledger.clone(),
            account: self.account.clone(),
            by: self.by.into(),
            at_ledger_sequence: self.at,
            page_size: PAGE,
            // What has ended needs no more than what the read models have: who asks for that waits
            // for nothing, and looks while the history is being filled.
            consistency: match self.at {
                0 => strong(),
                _ => eventual(),
            },
            ..Default::default()
        };
        let mut whole: Option<Statement> = None;
        for deadline in DEADLINES.into_iter().cycle() {
            let mut page = Request::new(request.clone());
            page.set_timeout(deadline);
            let page = bank.queries().get_statement(page).await;
            let page = match page {
                Ok(page) => page.into_inner(),
                Err(status) => {
                    asked.refused(self, &status);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    match asked.stop.load(Ordering::Relaxed) {
                        true => return None,
                        false => continue,
                    }
                }
            };
            let (opening, closing) = (&page.opening_balance, &page.closing_balance);
            let (opening, closing) = (opening.parse().unwrap(), closing.parse().unwrap());
            let whole = whole.get_or_insert(Statement {
                opening,
                closing,
                lines: Vec::new(),
            });
            if (whole.opening, whole.closing) != (opening, closing) {
                asked.broken(self, "its pages have other balances".to_owned());
            }
            whole.lines.extend(page.lines);
            let next = page.page.map(|page| page.next_page_token);
            match next.filter(|token| !token.is_empty()) {
                Some(token) => request.page_token = token,
                None => return Some(whole.clone()),
            }
        }
        None
    }

    /// Asks until it is told to stop, and sees that each answer is whole.
    async fn go_on(self, number: usize, bank: Arc<Bank>, asked: Arc<Asked>) {
        let mut before: Option<Statement> = None;
        while !asked.stop.load(Ordering::Relaxed) {
            let Some(now) = self.ask(&bank, &asked).await else {
                return;
            };
            if let Err(why) = now.is_whole() {
                asked.broken(&self, why);
            }
            if let Some(before) = &before {
                // What was shown once stays: all of it, and nothing else where the period has ended.
                let shown = match self.by {
                    // Back-dated lines could stand among them.
                    By::Effective => now.lines.len() >= before.lines.len(),
                    _ => now.lines.starts_with(&before.lines),
                };
                if !shown || (self.at > 0 && now != *before) {
                    asked.broken(
                        &self,
                        format!(
                            "{} lines to {}, and before {} to {}",
                            now.lines.len(),
                            now.closing,
                            before.lines.len(),
                            before.closing
                        ),
                    );
                }
            }
            before = Some(now);
            asked.answered[number].fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Statement {
    /// Its lines lead from the opening balance to the closing one, one by one.
    fn is_whole(&self) -> Result<(), String> {
        let mut balance = self.opening;
        for line in &self.lines {
            let amount: i64 = line.amount.parse().unwrap();
            // All the accounts asked for are liabilities.
            balance += match line.direction() {
                api::Direction::Credit => amount,
                _ => -amount,
            };
            if line.balance != balance.to_string() {
                return Err(format!("a line is missing before {line:?}: {balance}"));
            }
        }
        match balance == self.closing {
            true => Ok(()),
            false => Err(format!(
                "{} lines lead from {} to {balance}, and not to {}",
                self.lines.len(),
                self.opening,
                self.closing
            )),
        }
    }
}

impl Asked {
    fn broken(&self, question: &Question, why: String) {
        let told = format!("{question:?}: {why}");
        self.broken.lock().unwrap().push(told);
    }

    /// The node lives all the time: it says itself that it cannot answer, and nothing else.
    fn refused(&self, question: &Question, status: &Status) {
        let told = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled];
        if !told.contains(&status.code()) {
            self.broken(question, format!("{status:?}"));
        }
        let key = (format!("{:?}", status.code()), reason(status));
        *self.refused.lock().unwrap().entry(key).or_default() += 1;
    }

    fn check(&self) {
        let broken = self.broken.lock().unwrap();
        assert!(broken.is_empty(), "not whole:\n{}", broken.join("\n"));
    }

    fn counts(&self) -> Vec<u64> {
        let counts = self.answered.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Waits until each question that began from now on was answered.
    fn wait_answered(&self, traffic: &Traffic) -> Duration {
        let before = self.counts();
        eventually(REFILLED, "every statement is answered again", || {
            self.check();
            traffic.check();
            let now = self.counts();
            before
                .iter()
                .zip(&now)
                .all(|(before, now)| now > &(before + 1))
        })
    }
}

/// Statements of some clients' accounts: the newest, and of a period that has ended.
fn questions(traffic: &Traffic, bank: &Bank) -> Vec<Question> {
    let mut questions = Vec::new();
    for (client, ledger) in traffic.ledgers().iter().enumerate() {
        let mut newest = Question {
            ledger: ledger.clone(),
            account: format!("client:{client}:one"),
            by: By::Recorded,
            at: 0,
        };
        let nobody = Asked::default();
        let mut ended = 0;
        eventually(Duration::from_secs(60), "there is a history", || {
            let asked = traffic.runtime().block_on(newest.ask(bank, &nobody));
            let lines = asked.unwrap().lines;
            ended = lines.last().map_or(0, |line| line.ledger_sequence);
            lines.len() >= LINES
        });
        for by in [By::Recorded, By::Effective] {
            newest.by = by;
            questions.push(newest.clone());
            questions.push(Question {
                at: ended,
                ..newest.clone()
            });
        }
    }
    questions
}

pub fn history_lost(rounds: usize, chances: &mut StdRng) {
    // The emulator's reads slow down with its rows, and the proof asks for every line.
    let plan = Plan {
        batch: 40,
        pause: Duration::from_millis(20),
        ..Plan::of(2)
    };
    let running = Running::start(plan, chances);
    let traffic = &running.traffic;
    let bank = {
        let _within = traffic.runtime().enter();
        Arc::new(Bank::new(&[running.books.url()]))
    };
    let questions = questions(traffic, &bank);
    let asked = Arc::new(Asked {
        answered: questions.iter().map(|_| AtomicU64::new(0)).collect(),
        ..Asked::default()
    });
    let asking: Vec<_> = questions
        .into_iter()
        .enumerate()
        .map(|(number, question)| {
            let (bank, asked) = (Arc::clone(&bank), Arc::clone(&asked));
            traffic.runtime().spawn(question.go_on(number, bank, asked))
        })
        .collect();
    asked.wait_answered(traffic);
    for round in 1..=rounds {
        let away = Duration::from_millis(chances.random_range(0..1_000));
        running.servers.restart(Server::Bigtable, || {
            traffic.wait_progress(
                Duration::from_secs(30),
                "commands go on without a history and an archive",
            );
            std::thread::sleep(away);
        });
        let took = asked.wait_answered(traffic);
        println!("  Bigtable killed, {round} of {rounds}: statements again after {took:.1?}");
    }
    asked.stop.store(true, Ordering::Relaxed);
    traffic.runtime().block_on(async {
        for asking in asking {
            asking.await.unwrap();
        }
    });
    asked.check();
    let refused = asked.refused.lock().unwrap().clone();
    println!("  answered {:?}; refused {refused:?}", asked.counts());
    running.prove();
}

#[test]
fn a_lost_history_is_filled_again_and_never_shown_in_part() {
    let mut chances = chances("Bigtable is killed alone");
    history_lost(rounds(2), &mut chances);
}
