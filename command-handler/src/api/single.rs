//! Single calls: each is one command, answered with its receipt and what it made or changed.

use std::sync::Arc;

use schemas::api::parse::{self, Parsed};
use schemas::api::{Malformed, view};
use schemas::error::{Fault, rejection_to_tonic};
use schemas::proto::v1;
use tonic::{Request, Status};
use v1::command::Operation;

use super::{Asked, CommandApi, mask, source};
use crate::writer::request::{Accepted, Decided, Outcome, Source, Subject};

/// A single call as a command.
struct Call {
    options: Option<v1::CommandOptions>,
    ledger: String,
    /// Name of the field that says what is asked for, in the call and in a command.
    field: (&'static str, &'static str),
    operation: Option<Operation>,
}

impl Call {
    fn parse(self) -> Result<Parsed, Malformed> {
        let (field, command_field) = self.field;
        if self.operation.is_none() {
            return Err(Malformed::new(field, "is required"));
        }
        let options = self.options.unwrap_or_default();
        let command = v1::Command {
            idempotency_key: options.idempotency_key,
            ledger: self.ledger,
            conditions: options.conditions,
            validate_only: options.validate_only,
            return_balances: options.return_balances,
            operation: self.operation,
        };
        parse::command(command).map_err(|malformed| {
            malformed
                .renamed(command_field, field)
                .renamed("idempotency_key", "options.idempotency_key")
                .renamed("conditions", "options.conditions")
        })
    }
}

/// An accepted command.
struct Done {
    asked: Asked,
    decided: Decided,
    accepted: Accepted,
}

impl Done {
    fn subject(&mut self) -> Option<Subject> {
        self.accepted.more.as_mut()?.subject.take()
    }
}

macro_rules! calls {
    ($($(#[$doc:meta])* $method:ident($request:ident.$field:ident) -> $reply:ident by $show:ident = $operation:ident, $command_field:literal;)*) => {
        impl CommandApi {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// The refusal or fault as a status with `google.rpc.ErrorInfo`.
                pub async fn $method(
                    &self,
                    request: Request<v1::$request>,
                ) -> Result<v1::$reply, Status> {
                    let source = source(request.metadata());
                    let request = request.into_inner();
                    let call = Call {
                        options: request.options,
                        ledger: request.ledger,
                        field: (stringify!($field), $command_field),
                        operation: request.$field.map(Operation::$operation),
                    };
                    self.$show(self.single(call.parse()?, true, &source).await?)
                }
            )*
        }
    };
}

calls! {
    /// Makes a ledger.
    create_ledger(CreateLedgerRequest.create) -> LedgerReply by ledger_reply = CreateLedger, "create_ledger";
    /// Changes a ledger's metadata, description or settlement accounts.
    update_ledger(UpdateLedgerRequest.update) -> LedgerReply by ledger_reply = UpdateLedger, "update_ledger";
    /// Refuses effective times before an instant from now on.
    close_books(CloseBooksRequest.close) -> LedgerReply by ledger_reply = CloseBooks, "close_books";
    /// Moves that instant back.
    reopen_books(ReopenBooksRequest.reopen) -> LedgerReply by ledger_reply = ReopenBooks, "reopen_books";
    /// Opens an account.
    open_account(OpenAccountRequest.open) -> AccountReply by account_reply = OpenAccount, "open_account";
    /// Keeps new postings out of an account.
    freeze_account(FreezeAccountRequest.freeze) -> AccountReply by account_reply = FreezeAccount, "freeze_account";
    /// Lets them in again.
    unfreeze_account(ChangeAccountRequest.change) -> AccountReply by account_reply = UnfreezeAccount, "unfreeze_account";
    /// Ends an account.
    close_account(ChangeAccountRequest.change) -> AccountReply by account_reply = CloseAccount, "close_account";
    /// Takes a closing back.
    reopen_account(ChangeAccountRequest.change) -> AccountReply by account_reply = ReopenAccount, "reopen_account";
    /// Moves or reserves amounts.
    create_transaction(CreateTransactionRequest.create) -> TransactionReply by transaction_reply = CreateTransaction, "create_transaction";
    /// Changes a transaction's metadata or description.
    update_transaction(UpdateTransactionRequest.update) -> TransactionReply by transaction_reply = UpdateTransaction, "update_transaction";
    /// Takes from a hold.
    capture_transaction(CaptureTransactionRequest.capture) -> TransactionReply by transaction_reply = CaptureTransaction, "capture_transaction";
    /// Releases what is left of a hold.
    void_transaction(VoidTransactionRequest.void) -> TransactionReply by transaction_reply = VoidTransaction, "void_transaction";
    /// Takes (a part of) a posted transaction back.
    reverse_transaction(ReverseTransactionRequest.reverse) -> TransactionReply by transaction_reply = ReverseTransaction, "reverse_transaction";
}

impl CommandApi {
    /// Changes limits or metadata of an account: what the mask names, or all that is present.
    ///
    /// # Errors
    /// The refusal or fault as a status with `google.rpc.ErrorInfo`.
    pub async fn update_account(
        &self,
        request: Request<v1::UpdateAccountRequest>,
    ) -> Result<v1::AccountReply, Status> {
        let source = source(request.metadata());
        let request = request.into_inner();
        let call = Call {
            options: request.options,
            ledger: request.ledger,
            field: ("update", "update_account"),
            operation: request.update.map(Operation::UpdateAccount),
        };
        let mut parsed = call.parse()?;
        if let Some(paths) = request.update_mask.map(|mask| mask.paths)
            && !paths.is_empty()
        {
            mask::narrow(&mut parsed.command, &paths)?;
        }
        self.account_reply(self.single(parsed, true, &source).await?)
    }

    /// One command of any kind.
    ///
    /// # Errors
    /// The refusal or fault as a status with `google.rpc.ErrorInfo`.
    pub async fn write(&self, request: Request<v1::Command>) -> Result<v1::Receipt, Status> {
        let source = source(request.metadata());
        let parsed = parse::command(request.into_inner())?;
        let done = self.single(parsed, false, &source).await?;
        Ok(self.receipt(&done.asked, &done.decided, &done.accepted))
    }

    /// Sends one command to its writer and waits for its outcome.
    async fn single(
        &self,
        parsed: Parsed,
        subject: bool,
        source: &Arc<Source>,
    ) -> Result<Done, Status> {
        let (request, asked) = self.request(parsed, subject, source);
        let (shard, traceparent) = (asked.shard, source.traceparent.as_deref());
        tracing::debug!(ledger = %asked.ledger, key = %asked.key, traceparent, "command received");
        let answer = self.submit(shard, vec![request])?;
        let outcome = self.outcomes(shard, answer, 1).await.pop();
        match outcome {
            Some(Outcome::Decided(mut decided)) => {
                let result = std::mem::replace(&mut decided.result, Ok(Accepted::default()));
                match result {
                    Ok(accepted) => Ok(Done {
                        asked,
                        decided,
                        accepted,
                    }),
                    Err(rejection) => Err(rejection_to_tonic(&rejection)),
                }
            }
            Some(Outcome::Declined(fault)) => Err(fault.into()),
            None => Err(Fault::internal("the writer gave no outcome").into()),
        }
    }

    fn ledger_reply(&self, mut done: Done) -> Result<v1::LedgerReply, Status> {
        let subject = done.subject();
        Ok(v1::LedgerReply {
            receipt: Some(self.receipt(&done.asked, &done.decided, &done.accepted)),
            ledger: match &subject {
                Some(Subject::Ledger(ledger)) => Some(super::reply::ledger(&done.asked, ledger)),
                _ => None,
            },
        })
    }

    fn account_reply(&self, mut done: Done) -> Result<v1::AccountReply, Status> {
        let subject = done.subject();
        Ok(v1::AccountReply {
            receipt: Some(self.receipt(&done.asked, &done.decided, &done.accepted)),
            account: match &subject {
                Some(Subject::Account(account)) => Some(view::account(&done.asked.ledger, account)),
                _ => None,
            },
        })
    }

    fn transaction_reply(&self, mut done: Done) -> Result<v1::TransactionReply, Status> {
        let subject = done.subject();
        Ok(v1::TransactionReply {
            receipt: Some(self.receipt(&done.asked, &done.decided, &done.accepted)),
            transaction: match &subject {
                Some(Subject::Transaction(transaction)) => Some(super::reply::transaction(
                    &done.asked,
                    &done.decided,
                    transaction,
                )),
                _ => None,
            },
        })
    }
}
