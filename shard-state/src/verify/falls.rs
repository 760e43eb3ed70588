//! Time, epoch or log's id that do not go on from one record of a shard to the next: one of the
//! two was changed. Mostly its ledger's next record tells which; where none does, the one that
//! stands out is named.

use std::collections::BTreeSet;

use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use schemas::record::{LogId, Record};

/// A record's place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) sequence: u64,
    pub(super) ledger_sequence: u64,
    /// Its entry is damaged, and no record behind it has proven it.
    pub(super) suspect: bool,
}

/// From the first record to the second something fell.
#[derive(Debug)]
struct Fall {
    before: Option<(LedgerName, Place)>,
    here: (LedgerName, Place),
    /// The second fits the one before the first: so the first stands out.
    first_stands_out: bool,
    what: String,
}

/// What may not fall along a shard.
#[derive(Debug, Clone, Copy)]
struct Floor {
    log_id: LogId,
    epoch: u64,
    recorded_at: Timestamp,
}

impl Floor {
    fn of(record: &Record) -> Self {
        Self {
            log_id: record.log_id,
            epoch: record.epoch,
            recorded_at: record.moment.recorded_at,
        }
    }

    fn carries(&self, next: &Self) -> bool {
        self.log_id == next.log_id
            && self.epoch <= next.epoch
            && self.recorded_at <= next.recorded_at
    }
}

/// All falls of a shard.
#[derive(Debug, Default)]
pub(super) struct Falls {
    falls: Vec<Fall>,
    previous: Option<(LedgerName, Place)>,
    /// Of the last two records.
    floors: [Option<Floor>; 2],
}

impl Falls {
    /// Something falls to `record`.
    pub(super) fn note(&mut self, record: &Record, here: Place, what: String) {
        let own = Floor::of(record);
        self.falls.push(Fall {
            before: self.previous.clone(),
            here: (record.ledger.clone(), here),
            first_stands_out: self.floors[0].is_none_or(|floor| floor.carries(&own)),
            what,
        });
    }

    /// The walk goes on behind `record`.
    pub(super) fn pass(&mut self, record: &Record, here: Place) {
        match &mut self.previous {
            Some((ledger, place)) if *ledger == record.ledger => *place = here,
            previous => *previous = Some((record.ledger.clone(), here)),
        }
        self.floors = [self.floors[1], Some(Floor::of(record))];
    }

    /// At the log's end: whom falls speak of that no record in `named` explains. `proven` says
    /// that a record behind one of a ledger and sequence carries its hash.
    pub(super) fn unexplained(
        &self,
        named: &BTreeSet<u64>,
        proven: impl Fn(&LedgerName, u64) -> bool,
    ) -> Vec<(LedgerName, Place, String)> {
        let mut named = named.clone();
        let mut found = Vec::new();
        for (index, fall) in self.falls.iter().enumerate() {
            let here = fall.here.1;
            let before = fall.before.as_ref().map(|(_, place)| *place);
            let places = [before, Some(here)];
            if places
                .iter()
                .flatten()
                .any(|place| named.contains(&place.sequence))
            {
                continue;
            }
            // Up to a record and down behind it: that one was changed.
            let between = self.falls.get(index + 1).is_some_and(|next| {
                let before = next.before.as_ref();
                before.is_some_and(|(_, place)| place.sequence == here.sequence)
            });
            let sure = |(ledger, place): &(LedgerName, Place)| proven(ledger, place.sequence);
            let first = |before: &(LedgerName, Place)| match (sure(before), sure(&fall.here)) {
                (true, false) => false,
                (false, true) => true,
                _ => match (before.1.suspect, here.suspect) {
                    (true, false) => true,
                    (false, true) => false,
                    _ => fall.first_stands_out && !between,
                },
            };
            let (ledger, place) = match &fall.before {
                Some(before) if first(before) => before.clone(),
                _ => fall.here.clone(),
            };
            named.insert(place.sequence);
            found.push((ledger, place, fall.what.clone()));
        }
        found
    }
}
