//! The audit: asked for by its key, each command has the outcome that was answered.

use futures::stream::{self, StreamExt as _};
use schemas::proto::v1 as api;

use super::{Item, Proof};
use crate::client::failure::Failure;
use crate::client::rpc;
use crate::load::manifest::{Slot, State};
use crate::load::plan::Purpose;
use crate::load::wire;

/// Keys that are asked for at once.
const AT_ONCE: usize = 16;

impl Proof<'_> {
    /// Asks for up to `most` keys, evenly over all.
    pub(super) async fn decisions(&mut self, most: u64) -> Result<(), Failure> {
        let all = self.manifest.len();
        let step = all.div_ceil(most.max(1)).max(1);
        let numbers = (0..all).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        let claim = match step {
            1 => "asked for by its key, every command has the outcome that was answered".to_owned(),
            step => format!(
                "asked for by its key, every {step}th command has the outcome that was answered"
            ),
        };
        let mut item = Item::new(claim);
        self.bar.set_message("decisions by key");
        self.bar.set_length(all / step);
        let mut answers = stream::iter(numbers)
            .map(|number| self.decision(number))
            .buffer_unordered(AT_ONCE);
        let mut done = 0;
        while let Some(answer) = answers.next().await {
            done += 1;
            self.bar.set_position(done);
            let Some((number, fits)) = answer? else {
                continue;
            };
            item.check(fits, || {
                format!("{}: the audit says otherwise", self.culprit(number))
            });
        }
        drop(answers);
        self.items.push(item);
        Ok(())
    }

    /// Whether the audit says what was answered; `None` where there is no key to ask for.
    async fn decision(&self, number: u64) -> Result<Option<(u64, bool)>, Failure> {
        let planned = self.shape().command(number);
        if matches!(planned.purpose, Purpose::Malformed(_)) {
            return Ok(None);
        }
        let stamp = self.manifest.slot(planned.original)?.stamp;
        let slot = self.manifest.slot(number)?;
        let key = self.shape().key(planned.original, stamp);
        let request = api::GetDecisionRequest {
            ledger: self.shape().ledger_name(planned.ledger),
            by: Some(api::get_decision_request::By::IdempotencyKey(key)),
        };
        let decision = match self.calls.call(rpc::GET_DECISION, request).await {
            Ok(decision) => decision,
            Err(failure) if &*failure.code == "DECISION_NOT_FOUND" => {
                return Ok(Some((number, false)));
            }
            Err(failure) => return Err(failure),
        };
        let outcome = decision.outcome.and_then(|outcome| outcome.outcome);
        let found = outcome.and_then(|outcome| wire::answered(&outcome, slot.stamp));
        let fits = found.is_some_and(|found: Slot| match slot.state {
            State::Accepted => found == slot,
            State::Refused => found.state == slot.state && found.code == slot.code,
            _ => false,
        });
        Ok(Some((number, fits)))
    }
}
