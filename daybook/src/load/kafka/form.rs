//! Commands of a load as records of the topics: half of them in protobuf, half in JSON.

use schemas::ingest::Encoding;
use schemas::proto::ingest::v1 as proto;

use crate::load::feed::Due;
use crate::load::plan::{BANK, Defect, Kind, Purpose, Shape};
use crate::load::wire::{ASSET, Fields};

/// A record that is to be produced.
pub(super) struct Form {
    /// Which of the three topics.
    pub(super) topic: usize,
    /// Its Kafka key: the ledger.
    pub(super) key: String,
    /// Its header `content-type`.
    pub(super) content_type: &'static str,
    /// What it holds.
    pub(super) payload: Vec<u8>,
}

impl Form {
    pub(super) fn of(shape: &Shape, due: &Due) -> Self {
        let planned = &due.planned;
        let fields = Fields::of(shape, planned, due.stamp);
        let ledger = shape.ledger_name(planned.ledger);
        // A repeat may come in the other form, and is the same all the same.
        let encoding = match (planned.number / 2) % 2 {
            0 => Encoding::Protobuf,
            _ => Encoding::Json,
        };
        let Fields {
            key,
            debit,
            credit,
            amount,
        } = fields;
        // The ledger's settlement account is the bank's own: left out every third time.
        let bank = |name: String| {
            let is_left_out =
                planned.original.is_multiple_of(3) && name == Shape::account_name(BANK);
            if is_left_out { String::new() } else { name }
        };
        let asset = ASSET.to_owned();
        let (topic, mut payload) = match planned.kind {
            Kind::Deposit => {
                let form = proto::Deposit {
                    ledger: ledger.clone(),
                    key,
                    account: credit,
                    counter_account: bank(debit),
                    amount,
                    asset,
                    ..Default::default()
                };
                (
                    0,
                    written(encoding, &form, || {
                        json(
                            &form.ledger,
                            &form.key,
                            &form.amount,
                            &[
                                ("account", &form.account),
                                ("counter_account", &form.counter_account),
                            ],
                        )
                    }),
                )
            }
            Kind::Withdrawal => {
                let form = proto::Withdrawal {
                    ledger: ledger.clone(),
                    key,
                    account: debit,
                    counter_account: bank(credit),
                    amount,
                    asset,
                    ..Default::default()
                };
                (
                    1,
                    written(encoding, &form, || {
                        json(
                            &form.ledger,
                            &form.key,
                            &form.amount,
                            &[
                                ("account", &form.account),
                                ("counter_account", &form.counter_account),
                            ],
                        )
                    }),
                )
            }
            Kind::Transfer => {
                let form = proto::Transfer {
                    ledger: ledger.clone(),
                    key,
                    debit_account: debit,
                    credit_account: credit,
                    amount,
                    asset,
                    ..Default::default()
                };
                (
                    2,
                    written(encoding, &form, || {
                        json(
                            &form.ledger,
                            &form.key,
                            &form.amount,
                            &[
                                ("debit_account", &form.debit_account),
                                ("credit_account", &form.credit_account),
                            ],
                        )
                    }),
                )
            }
        };
        let mut content_type = encoding.content_type();
        match planned.purpose {
            // Bytes that are nothing, and a form that nobody knows.
            Purpose::Malformed(Defect::Key) if planned.number % 4 < 2 => {
                payload = vec![0xff; 16];
            }
            Purpose::Malformed(Defect::Account) if planned.number % 4 < 2 => {
                content_type = "text/csv";
            }
            _ => {}
        }
        Self {
            topic,
            key: ledger,
            content_type,
            payload,
        }
    }
}

fn written(
    encoding: Encoding,
    form: &impl prost::Message,
    json: impl FnOnce() -> serde_json::Value,
) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => form.encode_to_vec(),
        Encoding::Json => json().to_string().into_bytes(),
    }
}

fn json(ledger: &str, key: &str, amount: &str, accounts: &[(&str, &str)]) -> serde_json::Value {
    let mut form = serde_json::json!({
        "ledger": ledger,
        "key": key,
        "amount": amount,
        "asset": ASSET,
    });
    for (field, name) in accounts {
        if !name.is_empty() {
            form[*field] = (*name).into();
        }
    }
    form
}
