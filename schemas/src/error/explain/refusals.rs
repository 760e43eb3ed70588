//! Refusals: said by the rules, recorded, and repeated for their key. In order of precedence.

use super::RefusalRow;

const fn row(
    code: &'static str,
    figures: &'static [&'static str],
    [cause, what_to_do]: [&'static str; 2],
) -> RefusalRow {
    RefusalRow {
        code,
        figures,
        cause,
        what_to_do,
    }
}

#[rustfmt::skip]
pub(super) const ROWS: &[RefusalRow] = &[
    row("COMMAND_INVALID", &["problem"], [
        "The command cannot be said in this form; a server of this version refuses it at its edge.",
        "Correct what `problem` says and send it under a new key.",
    ]),
    row("LEDGER_ALREADY_EXISTS", &["ledger"], [
        "A ledger of this name was created before, by another key.",
        "Use it, or choose another name. A repeat of your own creation needs its own key.",
    ]),
    row("ACCOUNT_NOT_FOUND", &["account", "posting", "ledger", "did_you_mean"], [
        "The name is mistyped (names are case-sensitive), or the account was not opened yet. Accounts never open by themselves.",
        "Open the account first; to open and post in one step, use an atomic batch. Then send the command again under a new key.",
    ]),
    row("TRANSACTION_NOT_FOUND", &["transaction", "ledger"], [
        "The id is wrong, belongs to another ledger, or its command was refused.",
        "Look the decision up by its key (`daybook audit decision`); send the command again with the right id under a new key.",
    ]),
    row("VERSION_CONFLICT", &["account", "transaction", "expected", "actual"], [
        "Something changed it after the caller had read it.",
        "Read it again, decide anew with its present version, and send that under a new key.",
    ]),
    row("BALANCE_CONDITION_FAILED", &["account", "balance", "comparison", "demanded", "actual"], [
        "The command said what a balance must be, and it is not.",
        "Read the balance, decide anew, and send that under a new key.",
    ]),
    row("ACCOUNT_ALREADY_EXISTS", &["account", "number"], [
        "The name was opened before, perhaps closed since. Names are never used again.",
        "Use the account that is there (reopen it if it is closed), or choose another name.",
    ]),
    row("ASSET_EXPONENT_CONFLICT", &["asset", "known"], [
        "An account of the same asset code was opened with another exponent. A code has one exponent per ledger for ever.",
        "Use the exponent that the ledger knows, or another code.",
    ]),
    row("METADATA_TOO_LARGE", &["problem"], [
        "What is there and what the command adds are together above the limits of metadata.",
        "Remove keys in the same command, or add less. See docs/limits.md.",
    ]),
    row("LIMITS_INVALID", &["problem"], [
        "The limits, as the command would leave them, contradict each other: a minimum above the maximum.",
        "Send limits that can be kept, under a new key.",
    ]),
    row("TOO_MANY_ACCOUNTS", &["limit"], [
        "The ledger has as many accounts as one ledger can hold.",
        "Spread accounts over several ledgers.",
    ]),
    row("ACCOUNT_ALREADY_CLOSED", &["account"], [
        "The account was closed before.",
        "Nothing, if that was the aim. Otherwise reopen it first.",
    ]),
    row("ACCOUNT_NOT_CLOSED", &["account"], [
        "The account is open or frozen; there is nothing to reopen.",
        "Nothing, if that was the aim. A frozen account is unfrozen, not reopened.",
    ]),
    row("ACCOUNT_NOT_FROZEN", &["account"], [
        "The account is not frozen.",
        "Nothing, if that was the aim.",
    ]),
    row("ACCOUNT_HAS_HOLDS", &["account", "holds"], [
        "Open holds touch the account.",
        "Capture or void them (`daybook transaction list --status pending`), then close the account under a new key.",
    ]),
    row("ACCOUNT_NOT_EMPTY", &["account", "balance"], [
        "Money stands on the account.",
        "Move the balance elsewhere, then close the account under a new key. An atomic batch does both at once.",
    ]),
    row("BOOKS_CLOSE_NOT_FORWARD", &["through", "closed_through", "now"], [
        "The books are closed at or after that instant already, or it lies in the future.",
        "Close at an instant after the present closing and not after now; to go back, reopen the books.",
    ]),
    row("BOOKS_NOT_CLOSED", &["through", "closed_through"], [
        "The books are open, or closed no later than the instant to go back to.",
        "Nothing, if that was the aim. Otherwise name an instant before the present closing.",
    ]),
    row("TRANSACTION_NOT_A_HOLD", &["transaction"], [
        "The transaction was posted at once. It cannot be captured or voided.",
        "To take a posted transaction back, reverse it.",
    ]),
    row("HOLD_ALREADY_POSTED", &["transaction"], [
        "A final capture ended the hold, all of it was captured, or what was left of it was voided or expired after a capture.",
        "Nothing, if that was the aim. To take money back, reverse the captures; for more, make a new transaction.",
    ]),
    row("HOLD_ALREADY_VOIDED", &["transaction"], [
        "The hold was voided before.",
        "Nothing, if that was the aim. Otherwise make a new hold.",
    ]),
    row("HOLD_EXPIRED", &["transaction", "expires_at"], [
        "The time of the hold was over when the command was decided.",
        "Make a new hold or transaction; give holds more time, or capture earlier.",
    ]),
    row("TRANSACTION_NOT_REVERSIBLE", &["transaction", "kind"], [
        "It is a hold or a reversal.",
        "Of a hold, reverse its captures one by one, or void it. To undo a reversal, make a new transaction.",
    ]),
    row("PERIOD_CLOSED", &["effective_at", "closed_through"], [
        "The effective time lies before the closing of the books.",
        "Post with an effective time at or after `closed_through`; or reopen the books, which names who and why.",
    ]),
    row("EXPIRY_IN_PAST", &["expires_at", "now"], [
        "The hold would be over before it begins.",
        "Give a later `expires_at`, or none. Check the client's clock and time zone.",
    ]),
    row("POSTING_INDEX_INVALID", &["transaction", "posting"], [
        "An amount names a posting that the transaction does not have, or the same one twice. Postings count from 0.",
        "Read the transaction and name its postings by their index, once each.",
    ]),
    row("AMOUNT_NOT_POSITIVE", &["posting"], [
        "A posting or a part of a capture or reversal has the amount 0.",
        "Leave it out, or give an amount of at least one minor unit.",
    ]),
    row("AMOUNT_SPEC_INVALID", &["problem", "posting"], [
        "An `up_to` asks for more at least than at most, or `over_capture_up_to` is less than the hold or given with several postings.",
        "Correct what `problem` says and send it under a new key.",
    ]),
    row("SAME_ACCOUNT", &["account", "posting"], [
        "A posting debits and credits one and the same account.",
        "Name two accounts.",
    ]),
    row("ASSET_MISMATCH", &["posting", "asset", "debit_asset", "credit_asset"], [
        "A posting has one asset: both accounts must hold it, and the asset that the posting names must be that.",
        "Post each asset by itself; an exchange is two postings through exchange accounts (see the recipes).",
    ]),
    row("ACCOUNT_CLOSED", &["account", "posting"], [
        "A closed account takes part in nothing.",
        "Use another account, or reopen it first.",
    ]),
    row("ACCOUNT_FROZEN", &["account", "scope", "posting"], [
        "The account is frozen for debits, for credits, or for both. Holds from before may still be captured and voided.",
        "Unfreeze the account first, if it may be; then send the command under a new key.",
    ]),
    row("CAPTURE_EXCEEDS_HOLD", &["transaction", "posting", "left", "required"], [
        "The capture asks for more of a posting than the hold has left of it.",
        "Capture at most `left`; to be able to capture more, make holds with `over_capture_up_to`.",
    ]),
    row("NOTHING_TO_CAPTURE", &["transaction"], [
        "All of the postings that were asked for was captured before.",
        "Nothing, if that was the aim; void the hold to end it.",
    ]),
    row("REVERSAL_EXCEEDS_ORIGINAL", &["transaction", "posting", "left", "required"], [
        "All reversals together would take back more of a posting than it moved.",
        "Reverse at most `left`.",
    ]),
    row("NOTHING_TO_REVERSE", &["transaction"], [
        "All of the transaction was taken back before.",
        "Nothing, if that was the aim.",
    ]),
    row("BALANCE_OVERFLOW", &["account"], [
        "A total of the account would pass 170141183460469231731687303715884105727 minor units.",
        "Such amounts are a mistake, or the asset's exponent is too large.",
    ]),
    row("TRANSACTION_LIMIT_EXCEEDED", &["account", "limit", "required"], [
        "The transaction moves more on the account than its limit `per_transaction` allows.",
        "Move less at a time, or change the limit (`daybook account update`); then use a new key. What must be booked in any case is sent with `record_only_reason`.",
    ]),
    row("VELOCITY_LIMIT_EXCEEDED", &["account", "direction", "window", "limit", "counted", "required"], [
        "With what has flowed in the window already (`counted`), this would be more than `limit`.",
        "Wait until the window has moved on, move less, or change the limit; then use a new key. What must be booked in any case is sent with `record_only_reason`.",
    ]),
    row("INSUFFICIENT_FUNDS", &["account", "available", "minimum", "required"], [
        "What is available on the account, less what would go out, is below its minimum. Open holds count as gone.",
        "Pay in first, move less, use `up_to` to take what there is, or lower the account's minimum (an overdraft is below zero); then use a new key. What must be booked in any case is sent with `record_only_reason`.",
    ]),
    row("BALANCE_LIMIT_EXCEEDED", &["account", "balance", "maximum", "required"], [
        "The balance of the account, pending amounts in included, would be above its maximum.",
        "Move less, use `up_to`, or raise the account's maximum; then use a new key.",
    ]),
    row("RECORD_TOO_LARGE", &["bytes", "limit"], [
        "Postings, balances and texts of the decision are together above 900,000 bytes.",
        "Split the transaction or the atomic batch; shorten texts.",
    ]),
];
