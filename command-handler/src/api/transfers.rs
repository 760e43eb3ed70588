//! The packed form: the very commands of the friendly form, answered with refusals only.

use schemas::api::parse;
use schemas::error::Fault;
use schemas::proto::v1;
use tonic::{Request, Status};

use super::{CommandApi, request, source};
use crate::writer::request::{Outcome, Want};

impl CommandApi {
    /// Many transfers between accounts by number. Says only what was refused.
    ///
    /// # Errors
    /// What is malformed in any of them; a fault that kept any of them from being decided (then
    /// the call is repeated as it is: what was decided is not decided again).
    pub async fn batch_transfer(
        &self,
        call: Request<v1::BatchTransferRequest>,
    ) -> Result<v1::BatchTransferResponse, Status> {
        let source = source(call.metadata());
        let packed = parse::transfers(&call.into_inner())?;
        let shard = self.shard_of(&packed.ledger);
        let count = packed.commands.len();
        let mut requests = Vec::with_capacity(count);
        for (index, command) in packed.commands.into_iter().enumerate() {
            if index % 512 == 511 {
                tokio::task::yield_now().await;
            }
            let ledger = packed.ledger.clone();
            requests.push(request(ledger, command, Want::default(), &source));
        }
        let answer = self.submit(shard, requests)?;
        let mut response = v1::BatchTransferResponse::default();
        let mut last_sequence = 0;
        for (index, outcome) in (0..).zip(self.outcomes(shard, answer, count).await) {
            match outcome {
                Outcome::Decided(decided) => {
                    response.repeated_count += u32::from(decided.repeated);
                    if decided.sequence > last_sequence {
                        last_sequence = decided.sequence;
                        response.last_ledger_sequence = decided.ledger_sequence;
                    }
                    if let Err(rejection) = decided.result {
                        let figures = rejection.figures.into_iter();
                        response.refusals.push(v1::TransferRefusal {
                            index,
                            reason: rejection.code.as_str().to_owned(),
                            figures: figures.map(|(name, v)| (name.into_owned(), v)).collect(),
                        });
                    }
                }
                Outcome::Declined(
                    fault @ (Fault::IdempotencyKeyReused { .. } | Fault::KeyStampInFuture { .. }),
                ) => {
                    let figures = fault.figures().into_iter();
                    response.refusals.push(v1::TransferRefusal {
                        index,
                        reason: fault.code().to_owned(),
                        figures: figures.map(|(name, v)| (name.to_owned(), v)).collect(),
                    });
                }
                Outcome::Declined(fault) => return Err(fault.into()),
            }
        }
        response.token = self.token(shard, last_sequence, response.last_ledger_sequence);
        Ok(response)
    }
}
