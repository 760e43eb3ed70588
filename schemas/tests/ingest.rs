//! Records of the topics that commands come from: both forms are the same command, the JSON
//! schemas say what the messages say, and golden samples are read as ever.
//! `DAYBOOK_BLESS=1 cargo test -p schemas --test ingest` makes samples that are not there yet.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ledger_core::canonical::request_hash;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::rejection::{Code, Rejection};
use ledger_core::time::Timestamp;
use prost::Message;
use schemas::api::{json, parse};
use schemas::error::Fault;
use schemas::ingest::{CommandTopic, Encoding, Form, Outcome, Said, Unreadable, read};
use schemas::proto::ingest::v1 as proto;
use schemas::proto::v1;
use schemas::record::RecordHash;
use serde_json::{Value, json};

const FORMS: [(CommandTopic, &str, &str); 3] = [
    (
        CommandTopic::Deposits,
        "deposit",
        "daybook.ingest.v1.Deposit",
    ),
    (
        CommandTopic::Withdrawals,
        "withdrawal",
        "daybook.ingest.v1.Withdrawal",
    ),
    (
        CommandTopic::Transfers,
        "transfer",
        "daybook.ingest.v1.Transfer",
    ),
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn golden(name: &str) -> String {
    let path = file("golden/ingest").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The golden file of `name`, made where it is not there yet and that is asked for.
fn kept(name: &str, content: &str) {
    let path = file("golden/ingest").join(name);
    if std::env::var_os("DAYBOOK_BLESS").is_some() && !path.exists() {
        std::fs::write(&path, content).unwrap();
    }
    assert_eq!(golden(name), content, "{name}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let text = text.trim();
    let bytes = (0..text.len()).step_by(2);
    bytes
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// A sample's message in protobuf, of what its JSON says with every text spelled out.
fn encode(topic: CommandTopic, value: &Value) -> Vec<u8> {
    fn of<M: Message + Default>(name: &str, value: &Value) -> Vec<u8> {
        json::from_json::<M>(name, value).unwrap().encode_to_vec()
    }
    let mut value = value.clone();
    let plain = |value: &mut Value| {
        if value.is_string() {
            *value = json!({ "plain": value.take() });
        }
    };
    for name in ["description", "record_only_reason"] {
        value.get_mut(name).map(plain);
    }
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        metadata.values_mut().for_each(plain);
    }
    let (_, _, name) = FORMS.into_iter().find(|form| form.0 == topic).unwrap();
    match topic {
        CommandTopic::Deposits => of::<proto::Deposit>(name, &value),
        CommandTopic::Withdrawals => of::<proto::Withdrawal>(name, &value),
        CommandTopic::Transfers => of::<proto::Transfer>(name, &value),
    }
}

#[test]
fn golden_samples_in_both_forms_are_the_same_commands_as_ever() {
    for (topic, name, _) in FORMS {
        let text = golden(&format!("{name}.json"));
        let by_json = read(topic, Encoding::Json, text.as_bytes()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        kept(&format!("{name}.hex"), &hex(&encode(topic, &value)));
        let bytes = unhex(&golden(&format!("{name}.hex")));
        let by_protobuf = read(topic, Encoding::Protobuf, &bytes).unwrap();
        assert_eq!(by_json, by_protobuf, "{name}");
        let hash = request_hash(&by_json.ledger, &by_json.command);
        kept(
            &format!("{name}.txt"),
            &format!("{by_json:#?}\nrequest hash {}\n", hex(&hash)),
        );
    }
}

/// The command that a call would make.
fn call(debit: &str, credit: &str) -> v1::Command {
    v1::Command {
        idempotency_key: "k".to_owned(),
        ledger: "main".to_owned(),
        operation: Some(v1::command::Operation::CreateTransaction(
            v1::CreateTransaction {
                postings: vec![v1::PostingSpec {
                    debit: debit.to_owned(),
                    credit: credit.to_owned(),
                    asset: "USD/2".to_owned(),
                    amount_spec: Some(v1::posting_spec::AmountSpec::Amount("7".to_owned())),
                }],
                ..v1::CreateTransaction::default()
            },
        )),
        ..v1::Command::default()
    }
}

fn form(topic: CommandTopic, mut accounts: Value) -> Result<Form, Unreadable> {
    let fields = accounts.as_object_mut().unwrap();
    for (name, value) in [
        ("ledger", "main"),
        ("key", "k"),
        ("amount", "7"),
        ("asset", "USD/2"),
    ] {
        fields.entry(name).or_insert(json!(value));
    }
    read(topic, Encoding::Json, accounts.to_string().as_bytes())
}

#[test]
fn each_topic_moves_money_its_own_way_and_hashes_as_a_call_does() {
    let both = json!({"account": "a", "counter_account": "cash"});
    let sides = json!({"debit_account": "a", "credit_account": "b"});
    for (form, debit, credit) in [
        (form(CommandTopic::Deposits, both.clone()), "cash", "a"),
        (form(CommandTopic::Withdrawals, both), "a", "cash"),
        (form(CommandTopic::Transfers, sides), "a", "b"),
    ] {
        let form = form.unwrap();
        let call = parse::command(call(debit, credit)).unwrap();
        assert_eq!((&form.ledger, &form.command), (&call.ledger, &call.command));
        assert_eq!(form.settle, None);
        assert_eq!(
            request_hash(&form.ledger, &form.command),
            request_hash(&call.ledger, &call.command)
        );
    }
}

#[test]
fn a_counter_account_that_is_left_out_is_put_in_later() {
    let bare = json!({"account": "a"});
    for (topic, debit, credit) in [
        (CommandTopic::Deposits, "cash", "a"),
        (CommandTopic::Withdrawals, "a", "cash"),
    ] {
        let mut form = form(topic, bare.clone()).unwrap();
        let settle = form.settle.take().unwrap();
        assert_eq!(settle.asset.to_string(), "USD/2");
        settle.apply(&mut form.command, AccountName::new("cash").unwrap());
        let call = parse::command(call(debit, credit)).unwrap();
        assert_eq!(form.command, call.command);
    }
    let missing = form(CommandTopic::Transfers, json!({"debit_account": "a"}));
    assert!(
        matches!(missing, Err(Unreadable::Malformed(_))),
        "{missing:?}"
    );
}

#[test]
fn what_is_wrong_is_said_by_the_fields_of_the_record() {
    for (accounts, field) in [
        (json!({"account": "no name!"}), "account"),
        (
            json!({"account": "a", "counter_account": "no name!"}),
            "counter_account",
        ),
        (json!({"account": "a", "amount": "1.5"}), "amount"),
        (json!({"account": "a", "asset": "usd"}), "asset"),
        (json!({"account": "a", "asset": ""}), "asset"),
        (json!({"account": "a", "key": ""}), "key"),
        (json!({"account": "a", "ledger": "no name!"}), "ledger"),
        (
            json!({"account": "a", "description": {"sealed": {}}}),
            "description.sealed.key_id",
        ),
        (
            json!({"account": "a", "record_only_reason": {}}),
            "record_only_reason",
        ),
    ] {
        let wrong = form(CommandTopic::Deposits, accounts.clone());
        let Err(Unreadable::Malformed(malformed)) = wrong else {
            panic!("{accounts}: {wrong:?}");
        };
        assert_eq!(malformed.violations[0].field, field, "{malformed}");
    }
    for undecodable in ["", "[]", "{\"account\":7}", "{\"nobody\":\"knows\"}"] {
        let read = read(
            CommandTopic::Deposits,
            Encoding::Json,
            undecodable.as_bytes(),
        );
        assert!(
            matches!(read, Err(Unreadable::Undecodable(_))),
            "{undecodable}"
        );
    }
}

#[test]
fn the_header_says_the_form() {
    for (header, encoding) in [
        ("application/json", Some(Encoding::Json)),
        ("Application/JSON; charset=utf-8", Some(Encoding::Json)),
        ("application/x-protobuf", Some(Encoding::Protobuf)),
        ("text/json", None),
        ("", None),
    ] {
        assert_eq!(Encoding::of(header.as_bytes()), encoding, "{header}");
    }
    assert_eq!(Encoding::of(&[0xff]), None);
}

#[test]
fn the_json_schemas_have_the_fields_of_the_messages() {
    let outcome = ("outcome", "daybook.ingest.v1.Outcome");
    for (name, message) in FORMS
        .map(|(_, name, message)| (name, message))
        .into_iter()
        .chain([outcome])
    {
        let path = file("json/ingest").join(format!("{name}.schema.json"));
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let properties: BTreeSet<_> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        let descriptor = json::pool().get_message_by_name(message).unwrap();
        let fields: BTreeSet<_> = descriptor
            .fields()
            .map(|field| field.name().to_owned())
            .collect();
        assert_eq!(properties, fields, "{name}");
        assert_eq!(schema["additionalProperties"], false);
        for required in schema["required"].as_array().unwrap() {
            assert!(
                fields.contains(required.as_str().unwrap()),
                "{name}: {required}"
            );
        }
    }
}

#[test]
fn an_outcome_is_the_json_of_its_message() {
    let ledger = LedgerName::new("main").unwrap();
    let key = IdempotencyKey::parse("slip \"7\"\\").unwrap();
    let at = Timestamp::from_micros(1_780_000_000_000_001).unwrap();
    let rejection = Rejection::new(Code::InsufficientFunds)
        .with("account", "customers:42")
        .with("available", 50);
    let fault = Fault::IdempotencyKeyReused {
        ledger: ledger.clone(),
        key: key.clone(),
    };
    let of = |said, record: bool| Outcome {
        topic: "withdrawals",
        partition: 3,
        offset: 9_007_199_254_740_993,
        ledger: &ledger,
        key: &key,
        said,
        ledger_sequence: if record { 17 } else { 0 },
        record: record.then_some((RecordHash([0xab; 32]), at)),
        repeated: false,
    };
    let accepted = Outcome {
        repeated: true,
        ..of(Said::Accepted(Some(TransactionId(7))), true)
    };
    for (name, outcome) in [
        ("outcome-accepted.json", accepted),
        ("outcome-refused.json", of(Said::Refused(&rejection), true)),
        ("outcome-declined.json", of(Said::Declined(&fault), false)),
    ] {
        let bytes = outcome.to_json();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        kept(name, &format!("{}\n", String::from_utf8_lossy(&bytes)));
        let message: proto::Outcome = json::from_json("daybook.ingest.v1.Outcome", &value).unwrap();
        assert_eq!(message.code, outcome.code());
        assert_eq!(message.key, key.to_string());
        let source = message.source.clone().unwrap();
        assert_eq!((source.offset, source.partition), (outcome.offset, 3));
        // The mapping leaves out what is not so.
        let mut mapped = json::to_json("daybook.ingest.v1.Outcome", &message).unwrap();
        mapped["repeated"] = json!(outcome.repeated);
        assert_eq!(mapped, value, "{name}");
    }
}
