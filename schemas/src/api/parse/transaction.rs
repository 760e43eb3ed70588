//! Commands about transactions.

use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::command::{
    AmountSpec, CaptureTransaction, CreateTransaction, PostingSpec, ReverseTransaction,
    UpdateTransaction, VoidTransaction,
};
use ledger_core::key::TransactionId;
use ledger_core::limits::POSTINGS_MAX;
use ledger_core::transaction::{HoldTerms, LimitsMode, TransactionStatus};

use super::super::malformed::{Path, Violations};
use super::value::{
    account_ref, amount, amount_or_none, description_change, metadata, metadata_change, not_one_of,
    text, text_or_none, timestamp_or_none,
};
use crate::proto::v1;

pub(super) fn create(
    create: v1::CreateTransaction,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<CreateTransaction> {
    let postings = postings(&create.postings, &path.field("postings"), out);
    let effective_at = timestamp_or_none(
        create.effective_at.as_ref(),
        &path.field("effective_at"),
        out,
    );
    let hold = match &create.hold {
        None => Some(None),
        Some(spec) => hold_terms(spec, &path.field("hold"), out).map(Some),
    };
    let limits = limits_mode(create.record_only_reason, path, out);
    let description = text_or_none(create.description, &path.field("description"), out);
    let metadata = metadata(create.metadata, &path.field("metadata"), out);
    Some(CreateTransaction {
        postings: postings?,
        effective_at: effective_at?,
        hold: hold?,
        limits: limits?,
        description: description?,
        metadata: metadata?,
    })
}

fn postings(
    specs: &[v1::PostingSpec],
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Vec<PostingSpec>> {
    if specs.is_empty() || specs.len() > POSTINGS_MAX {
        out.add(
            path,
            &format_args!("{} postings; 1 to {POSTINGS_MAX} are allowed", specs.len()),
        );
        return None;
    }
    let mut postings = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        if let Some(posting) = posting(spec, &path.index(index), out) {
            postings.push(posting);
        }
    }
    (postings.len() == specs.len()).then_some(postings)
}

fn posting(spec: &v1::PostingSpec, path: &Path<'_>, out: &mut Violations) -> Option<PostingSpec> {
    let debit = account_ref(&spec.debit, &path.field("debit"), out);
    let credit = account_ref(&spec.credit, &path.field("credit"), out);
    let asset = match spec.asset.as_str() {
        "" => Some(None),
        asset => out
            .check(&path.field("asset"), Asset::parse(asset))
            .map(Some),
    };
    let amount = match &spec.amount_spec {
        None => {
            out.add(path, &"needs an amount or up_to");
            None
        }
        Some(v1::posting_spec::AmountSpec::Amount(exact)) => {
            amount(exact, &path.field("amount"), out).map(AmountSpec::Exact)
        }
        Some(v1::posting_spec::AmountSpec::UpTo(spec)) => up_to(spec, &path.field("up_to"), out),
    };
    Some(PostingSpec {
        debit: debit?,
        credit: credit?,
        amount: amount?,
        asset: asset?,
    })
}

fn up_to(spec: &v1::UpTo, path: &Path<'_>, out: &mut Violations) -> Option<AmountSpec> {
    let most = amount(&spec.most, &path.field("most"), out);
    let at_least = amount_or_none(&spec.at_least, &path.field("at_least"), out);
    Some(AmountSpec::UpTo {
        most: most?,
        at_least: at_least?.unwrap_or(Amount::ZERO),
    })
}

fn hold_terms(spec: &v1::HoldSpec, path: &Path<'_>, out: &mut Violations) -> Option<HoldTerms> {
    let expires_at = timestamp_or_none(spec.expires_at.as_ref(), &path.field("expires_at"), out);
    let over_capture_up_to = amount_or_none(
        &spec.over_capture_up_to,
        &path.field("over_capture_up_to"),
        out,
    );
    Some(HoldTerms {
        expires_at: expires_at?,
        over_capture_up_to: over_capture_up_to?,
    })
}

fn limits_mode(
    record_only_reason: Option<v1::Text>,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<LimitsMode> {
    match record_only_reason {
        None => Some(LimitsMode::Enforce),
        Some(reason) => {
            text(reason, &path.field("record_only_reason"), out).map(LimitsMode::RecordOnly)
        }
    }
}

fn amounts(
    specs: &[v1::PostingAmount],
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Vec<(u32, Amount)>> {
    if specs.len() > POSTINGS_MAX {
        out.add(
            path,
            &format_args!(
                "{} amounts; at most {POSTINGS_MAX} are allowed",
                specs.len()
            ),
        );
        return None;
    }
    let mut amounts = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        let of = amount(&spec.amount, &path.index(index).field("amount"), out);
        amounts.extend(of.map(|of| (spec.posting, of)));
    }
    (amounts.len() == specs.len()).then_some(amounts)
}

fn id(text: &str, path: &Path<'_>, out: &mut Violations) -> Option<TransactionId> {
    out.check(path, TransactionId::parse(text))
}

pub(super) fn capture(
    capture: v1::CaptureTransaction,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<CaptureTransaction> {
    let hold = id(&capture.hold, &path.field("hold"), out);
    let amounts = amounts(&capture.amounts, &path.field("amounts"), out);
    let effective_at = timestamp_or_none(
        capture.effective_at.as_ref(),
        &path.field("effective_at"),
        out,
    );
    let description = text_or_none(capture.description, &path.field("description"), out);
    let metadata = metadata(capture.metadata, &path.field("metadata"), out);
    Some(CaptureTransaction {
        hold: hold?,
        amounts: amounts?,
        is_final: capture.r#final,
        effective_at: effective_at?,
        description: description?,
        metadata: metadata?,
    })
}

pub(super) fn void(
    void: v1::VoidTransaction,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<VoidTransaction> {
    let hold = id(&void.hold, &path.field("hold"), out);
    let reason = text_or_none(void.reason, &path.field("reason"), out);
    Some(VoidTransaction {
        hold: hold?,
        reason: reason?,
    })
}

pub(super) fn reverse(
    reverse: v1::ReverseTransaction,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<ReverseTransaction> {
    let original = id(&reverse.original, &path.field("original"), out);
    let amounts = amounts(&reverse.amounts, &path.field("amounts"), out);
    let effective_at = timestamp_or_none(
        reverse.effective_at.as_ref(),
        &path.field("effective_at"),
        out,
    );
    let limits = limits_mode(reverse.record_only_reason, path, out);
    let description = text_or_none(reverse.description, &path.field("description"), out);
    let metadata = metadata(reverse.metadata, &path.field("metadata"), out);
    Some(ReverseTransaction {
        original: original?,
        amounts: amounts?,
        effective_at: effective_at?,
        limits: limits?,
        description: description?,
        metadata: metadata?,
    })
}

pub(super) fn update(
    update: v1::UpdateTransaction,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<UpdateTransaction> {
    let transaction = id(&update.transaction, &path.field("transaction"), out);
    let description = description_change(update.description, update.clear_description, path, out);
    let metadata = metadata_change(update.metadata, &path.field("metadata"), out);
    Some(UpdateTransaction {
        transaction: transaction?,
        expected_version: (update.expected_version != 0).then_some(update.expected_version),
        description: description?,
        metadata: metadata?,
    })
}

pub(super) fn transaction_status(
    value: i32,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<TransactionStatus> {
    match v1::TransactionStatus::try_from(value) {
        Ok(v1::TransactionStatus::Posted) => Some(TransactionStatus::Posted),
        Ok(v1::TransactionStatus::Pending) => Some(TransactionStatus::Pending),
        Ok(v1::TransactionStatus::Voided) => Some(TransactionStatus::Voided),
        Ok(v1::TransactionStatus::Expired) => Some(TransactionStatus::Expired),
        Ok(v1::TransactionStatus::Unspecified) | Err(_) => not_one_of(
            value,
            "TRANSACTION_STATUS_POSTED, _PENDING, _VOIDED, _EXPIRED",
            path,
            out,
        ),
    }
}
