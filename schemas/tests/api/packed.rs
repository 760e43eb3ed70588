//! The packed form says the same commands as the friendly one.

use schemas::api::parse;
use schemas::proto::v1;

use super::{instant, posting, transfer};

fn id(index: u8) -> [u8; 16] {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&[0x01, 0x97]);
    (id[6], id[8], id[15]) = (0x70, 0x80, index);
    id
}

fn request() -> v1::BatchTransferRequest {
    v1::BatchTransferRequest {
        ledger: "main".to_owned(),
        ids: [id(1), id(2)].concat().into(),
        debits: vec![7, u32::MAX],
        credits: vec![8, 1],
        amounts: vec![1_250, u64::MAX],
        effective_at: Some(instant(1_767_225_600, 999)),
    }
}

#[test]
fn both_forms_give_the_same_commands() {
    let packed = parse::transfers(&request()).expect("well-formed");
    assert_eq!(packed.ledger.as_str(), "main");
    for (index, (debit, credit, amount)) in [
        ("#7", "#8", "1250"),
        ("#4294967295", "#1", "18446744073709551615"),
    ]
    .into_iter()
    .enumerate()
    {
        let friendly = v1::Command {
            idempotency_key: format!("01970000-0000-7000-8000-00000000000{}", index + 1),
            operation: Some(v1::command::Operation::CreateTransaction(
                v1::CreateTransaction {
                    postings: vec![posting(debit, credit, amount)],
                    effective_at: Some(instant(1_767_225_600, 0)),
                    ..v1::CreateTransaction::default()
                },
            )),
            ..transfer()
        };
        let friendly = parse::command(friendly).expect("well-formed");
        assert_eq!(packed.commands[index], friendly.command);
        assert_eq!(packed.ledger, friendly.ledger);
    }
}

#[test]
fn what_is_wrong_is_named_by_column_and_index() {
    let wrong = |change: fn(&mut v1::BatchTransferRequest)| {
        let mut request = request();
        change(&mut request);
        let malformed = parse::transfers(&request).expect_err("something is wrong");
        let violations = malformed.violations.iter();
        let lines = violations.map(|v| format!("{}: {}", v.field, v.description));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        wrong(|r| r.ids = r.ids.slice(1..)),
        "ids: 31 bytes are no whole number of ids of 16 bytes"
    );
    assert_eq!(
        wrong(|r| r.ids.clear()),
        "ids: 0 transfers; 1 to 8190 are allowed"
    );
    assert_eq!(
        wrong(|r| r.ids = id(1).repeat(8_191).into()),
        "ids: 8191 transfers; 1 to 8190 are allowed"
    );
    assert_eq!(
        wrong(|r| {
            r.debits.pop();
            r.amounts.push(1);
        }),
        "debits: 1 values; 2 ids were given\namounts: 3 values; 2 ids were given"
    );
    assert_eq!(
        wrong(|r| r.credits[1] = 0),
        "credits[1]: account numbers start at 1"
    );
    assert_eq!(
        wrong(|r| r.ids = [id(1), [0; 16]].concat().into()),
        "ids[1]: a binary key must be a UUIDv7"
    );
    assert_eq!(
        wrong(|r| r.ledger.clear()),
        "ledger: ledger name has an empty segment"
    );
    assert!(wrong(|r| r.effective_at = Some(instant(i64::MIN, 0))).starts_with("effective_at: "));
}
