//! Hands out the commands of a load, at its pace, each once. What is handed out stands in the
//! manifest before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::manifest::{Manifest, STRETCH, Slot, State, now};
use super::plan::{Planned, Purpose, Shape};
use crate::client::failure::Failure;

/// A command that is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// The command.
    pub planned: Planned,
    /// When its key was first used, in milliseconds.
    pub stamp: u64,
}

/// When to end.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    /// After so many commands.
    pub count: Option<u64>,
    /// After so long.
    pub time: Option<Duration>,
    /// Commands a second; as fast as it goes without.
    pub rate: Option<u32>,
}

/// See the module.
pub struct Feed {
    manifest: Arc<Manifest>,
    until: Until,
    started: Instant,
    stopped: AtomicBool,
    turn: Mutex<Turn>,
    /// Commands that were answered, for whoever watches.
    pub done: AtomicU64,
}

struct Turn {
    /// Where commands of an earlier run without an outcome are looked for.
    unanswered: u64,
    /// The end of the earlier run.
    resumed_at: u64,
    /// The next new one.
    next: u64,
    /// When it is due.
    at: Instant,
}

impl Feed {
    /// Hands out what has no outcome in `manifest`, then new commands.
    pub fn new(manifest: Arc<Manifest>, until: Until) -> Self {
        let started = Instant::now();
        let sent = manifest.len();
        Self {
            manifest,
            until,
            started,
            stopped: AtomicBool::new(false),
            turn: Mutex::new(Turn {
                unanswered: 0,
                resumed_at: sent,
                next: sent,
                at: started,
            }),
            done: AtomicU64::new(0),
        }
    }

    /// What is sent.
    pub fn shape(&self) -> &Shape {
        &self.manifest.header.shape
    }

    /// Hands out nothing new any more.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// True after [`Self::stop`].
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Up to `most` commands with numbers one after another, when they are due; none at the end.
    ///
    /// # Errors
    /// The manifest cannot be written.
    pub async fn take(&self, most: usize) -> Result<Vec<Due>, Failure> {
        let mut turn = self.turn.lock().await;
        loop {
            if self.is_stopped() {
                return Ok(Vec::new());
            }
            if turn.unanswered >= turn.resumed_at {
                break;
            }
            let first = turn.unanswered;
            let slots = self.manifest.read(first, STRETCH)?;
            let open = |slot: &Slot| slot.state == State::Sent;
            let skipped = slots.iter().take_while(|slot| !open(slot)).count();
            let taken = slots[skipped..].iter().take_while(|slot| open(slot));
            let count = taken.count().min(most);
            let first = first + skipped as u64;
            turn.unanswered = first + count as u64;
            if count > 0 {
                return self.due(first, &slots[skipped..skipped + count]);
            }
        }
        let count = self.until.count.unwrap_or(u64::MAX);
        let left = count.saturating_sub(turn.next);
        let over = self
            .until
            .time
            .is_some_and(|time| self.started.elapsed() >= time);
        let take = left.min(most as u64);
        if take == 0 || over {
            return Ok(Vec::new());
        }
        if let Some(rate) = self.until.rate {
            tokio::time::sleep_until(turn.at.into()).await;
            let pause = Duration::from_secs_f64(take as f64 / f64::from(rate.max(1)));
            // What was missed while nothing could be sent is not sent in one go.
            turn.at = turn.at.max(Instant::now() - Duration::from_secs(1)) + pause;
        }
        let first = turn.next;
        let slots = vec![Slot::sent(now()); take as usize];
        self.manifest.write(first, &slots)?;
        turn.next += take;
        self.due(first, &slots)
    }

    fn due(&self, first: u64, slots: &[Slot]) -> Result<Vec<Due>, Failure> {
        let numbered = (first..).zip(slots);
        numbered
            .map(|(number, slot)| {
                let planned = self.shape().command(number);
                let stamp = match planned.purpose {
                    // Its key is the original's, and that was handed out before.
                    Purpose::Repeat(original) if original < first => {
                        self.manifest.slot(original)?.stamp
                    }
                    Purpose::Repeat(original) => {
                        slots[usize::try_from(original - first).unwrap_or_default()].stamp
                    }
                    _ => slot.stamp,
                };
                Ok(Due { planned, stamp })
            })
            .collect()
    }
}
