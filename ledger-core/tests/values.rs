//! Value types: names, assets, amounts, keys, texts, times. What they accept, and what they
//! refuse.

use std::collections::BTreeMap;

use ledger_core::account::{AccountType, NormalSide, Totals};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::limits;
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::text::{Metadata, MetadataChange, Sealed, Text};
use ledger_core::time::{Day, Timestamp};
use proptest::prelude::*;

#[test]
fn names_are_paths_of_plain_segments() {
    let most = ["a"; limits::NAME_SEGMENTS_MAX].join(":");
    let longest = "a".repeat(limits::NAME_SEGMENT_BYTES_MAX);
    for good in ["a", "customers:42:checking", "A_b.c-9", &most, &longest] {
        assert_eq!(AccountName::new(good).unwrap().as_str(), good);
    }
    let too_many = format!("{most}:a");
    let too_long = "a".repeat(limits::NAME_SEGMENT_BYTES_MAX + 1);
    let all_too_long = [longest.as_str(); 4].join(":");
    assert!(all_too_long.len() > limits::NAME_BYTES_MAX);
    for bad in [
        "",
        ":",
        "a:",
        ":a",
        "a::b",
        "a b",
        "ä",
        "a/b",
        "a\n",
        "daybook",
        "daybook:x",
        &too_many,
        &too_long,
        &all_too_long,
    ] {
        assert!(AccountName::new(bad).is_err(), "{bad:?}");
    }
    assert!(AccountName::new("daybooks:x").is_ok());
    assert!(AccountName::new("x:daybook").is_ok());
    assert_ne!(
        AccountName::new("a").unwrap(),
        AccountName::new("A").unwrap()
    );
}

#[test]
fn the_engines_own_ledgers_are_read_from_records_alone() {
    let own = LedgerName::of_shard(3);
    assert!(own.is_engine());
    assert!(LedgerName::new(own.as_str()).is_err());
    assert_eq!(LedgerName::from_record(own.as_str()).unwrap(), own);
    assert!(LedgerName::from_record("daybook:other").is_err());
    assert!(!LedgerName::from_record("bank").unwrap().is_engine());
}

#[test]
fn assets_have_a_code_and_an_exponent() {
    for good in ["USD/2", "BTC/8", "X/0", "A.B-C_9/30", "ABCDEFGHIJKLMNOP/18"] {
        assert_eq!(Asset::parse(good).unwrap().to_string(), good);
    }
    for bad in [
        "",
        "USD",
        "USD/",
        "/2",
        "usd/2",
        "USD/02",
        "USD/+2",
        "USD/-1",
        "USD/31",
        "1A/2",
        "U D/2",
        "ABCDEFGHIJKLMNOPQ/2",
        "USD/2/2",
        "USD/99999999999",
    ] {
        assert!(Asset::parse(bad).is_err(), "{bad:?}");
    }
    assert_ne!(Asset::parse("A/2").unwrap(), Asset::parse("A/3").unwrap());
    assert!(Asset::parse("A/9").unwrap() < Asset::parse("AB/0").unwrap());
}

#[test]
fn amounts_are_whole_and_bounded() {
    let most = i128::MAX.to_string();
    assert_eq!(Amount::parse("0").unwrap(), Amount::ZERO);
    assert_eq!(Amount::parse("007").unwrap().minor_units(), 7);
    assert_eq!(Amount::parse(&most).unwrap(), Amount::MAX);
    for bad in [
        "",
        "-1",
        "+1",
        "1.0",
        "1 ",
        "1e3",
        "٣",
        "170141183460469231731687303715884105728",
        "340282366920938463463374607431768211456",
        "99999999999999999999999999999999999999999999",
    ] {
        assert!(Amount::parse(bad).is_err(), "{bad:?}");
    }
    assert_eq!(Amount::new(u128::MAX), None);
    assert_eq!(Amount::MAX.checked_add(Amount::new(1).unwrap()), None);
    assert_eq!(Amount::ZERO.checked_sub(Amount::new(1).unwrap()), None);
    assert_eq!(Amount::ZERO.signed_sub(Amount::MAX), -i128::MAX);
}

proptest! {
    #[test]
    fn amounts_read_what_they_write(units in 0..=i128::MAX as u128) {
        let amount = Amount::new(units).unwrap();
        prop_assert_eq!(Amount::parse(&amount.to_string()).unwrap(), amount);
    }

    #[test]
    fn keys_read_what_they_write(bits in any::<u128>(), text in "[ -~]{1,64}") {
        let uuid = bits & !(0xf << 76) & !(0b11 << 62) | 7 << 76 | 0b10 << 62;
        let key = IdempotencyKey::from_uuid(uuid).unwrap();
        prop_assert_eq!(&IdempotencyKey::parse(&key.to_string()).unwrap(), &key);
        let id = TransactionId(bits);
        prop_assert_eq!(TransactionId::parse(&id.to_string()).unwrap(), id);
        let text = IdempotencyKey::text(&text).unwrap();
        prop_assert_eq!(IdempotencyKey::text(&text.to_string()).unwrap(), text);
    }

    /// Days count on one by one through the calendar.
    #[test]
    fn the_next_day_is_the_next_date(day in -719_162..2_932_895i32) {
        let (year, month, date) = Day(day).year_month_day();
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let next = match (month, date) {
            (12, 31) => (year + 1, 1, 1),
            (month, date) if date == days => (year, month + 1, 1),
            (month, date) => (year, month, date + 1),
        };
        prop_assert_eq!(Day(day + 1).year_month_day(), next);
        prop_assert_eq!(Day(day).start().utc_day(), Day(day));
        prop_assert_eq!(Day(day).start().saturating_add(-1).utc_day(), Day(day - 1));
    }
}

#[test]
fn keys_are_uuids_of_version_7_or_short_printable_text() {
    let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
    let key = IdempotencyKey::parse(uuid).unwrap();
    assert!(matches!(key, IdempotencyKey::Uuid(_)));
    assert_eq!(key, IdempotencyKey::parse(&uuid.to_uppercase()).unwrap());
    assert_eq!(key.stamp().unwrap().micros(), 0x0189_0a5d_ac96 * 1_000);
    // Another version, or another form: text.
    for text in [
        "01890a5d-ac96-474b-bcce-b302099a8057",
        "01890a5d-ac96-774b-1cce-b302099a8057",
        "01890a5dac96774bbcceb302099a8057",
        "import-1 row 7",
    ] {
        let key = IdempotencyKey::parse(text).unwrap();
        assert_eq!(key, IdempotencyKey::Text(text.into()));
        assert_eq!(key.stamp(), None);
    }
    let longest = "x".repeat(limits::TEXT_KEY_BYTES_MAX);
    assert!(IdempotencyKey::parse(&longest).is_ok());
    for bad in ["", "daybook:expire:1", "tab\t", "ä", &format!("{longest}x")] {
        assert!(IdempotencyKey::parse(bad).is_err(), "{bad:?}");
    }
    assert!(IdempotencyKey::text("daybook:expire:1").is_ok());
    assert!(IdempotencyKey::from_uuid(7).is_err());
    // The latest stamp that fits is beyond year 9999.
    let last = !(0xf << 76) & !(0b11 << 62) | 7 << 76 | 0b10 << 62;
    assert_eq!(IdempotencyKey::Uuid(last).stamp(), Some(Timestamp::MAX));
}

#[test]
fn transaction_ids_are_the_key_or_derived_from_it() {
    let (bank, shop) = (
        LedgerName::new("bank").unwrap(),
        LedgerName::new("shop").unwrap(),
    );
    let uuid = IdempotencyKey::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
    assert_eq!(uuid.transaction_id(&bank).to_string(), uuid.to_string());
    let text = IdempotencyKey::parse("import-1").unwrap();
    // Written down, so that it never changes: a repeat after years gives the same id.
    let written = "54fee2b5-d18a-8001-837e-9f20dfb2a4c6";
    assert_eq!(text.transaction_id(&bank).to_string(), written);
    assert_ne!(text.transaction_id(&bank), text.transaction_id(&shop));
    assert_ne!(
        text.transaction_id(&bank),
        text.member_transaction_id(&bank, 0)
    );
    assert_ne!(
        text.member_transaction_id(&bank, 0),
        text.member_transaction_id(&bank, 1)
    );
    assert_ne!(
        uuid.member_transaction_id(&bank, 0),
        uuid.transaction_id(&bank)
    );
    for id in [
        text.transaction_id(&bank),
        uuid.member_transaction_id(&bank, 9),
    ] {
        assert_eq!((id.0 >> 76) & 0xf, 8, "a UUID of version 8");
        assert_eq!((id.0 >> 62) & 0b11, 0b10);
    }
    assert!(TransactionId::parse("01890a5d_ac96-774b-bcce-b302099a8057").is_err());
    assert!(TransactionId::parse("").is_err());
}

#[test]
fn times_are_shown_as_rfc_3339() {
    for (micros, shown) in [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00Z"),
        (1_772_323_199_000_001, "2026-02-28T23:59:59.000001Z"),
        (Timestamp::MIN.micros(), "0001-01-01T00:00:00Z"),
        (Timestamp::MAX.micros(), "9999-12-31T23:59:59.999999Z"),
    ] {
        assert_eq!(Timestamp::from_micros(micros).unwrap().to_string(), shown);
    }
    assert_eq!(Timestamp::from_micros(i64::MAX), None);
    assert_eq!(Timestamp::from_micros(Timestamp::MIN.micros() - 1), None);
    assert_eq!(Timestamp::MAX.saturating_add(1), Timestamp::MAX);
    assert_eq!(Timestamp::MIN.saturating_add(i64::MIN), Timestamp::MIN);
    assert_eq!(Day(-1).to_string(), "1969-12-31");
    assert_eq!(Day(20_000).year_month(), (2024, 10));
}

#[test]
fn metadata_is_bounded() {
    let of = |entries: Vec<(String, Text)>| {
        Metadata::new(entries.into_iter().map(|(k, v)| (k.into(), v)).collect())
    };
    let value = |bytes: usize| Text::plain("v".repeat(bytes));
    let many = |count: usize, bytes: usize| {
        of((0..count)
            .map(|i| (format!("key{i}"), value(bytes)))
            .collect())
    };
    assert!(many(limits::METADATA_KEYS_MAX, 1).is_ok());
    assert!(many(limits::METADATA_KEYS_MAX + 1, 1).is_err());
    assert!(
        many(32, limits::METADATA_VALUE_BYTES_MAX).is_err(),
        "too much in all"
    );
    assert!(many(31, limits::METADATA_VALUE_BYTES_MAX).is_ok());
    let key = "k".repeat(limits::METADATA_KEY_BYTES_MAX);
    assert!(of(vec![(key.clone(), value(limits::METADATA_VALUE_BYTES_MAX))]).is_ok());
    assert!(of(vec![(key + "k", value(1))]).is_err());
    assert!(of(vec![(String::new(), value(1))]).is_err());
    assert!(
        of(vec![(
            "k".into(),
            value(limits::METADATA_VALUE_BYTES_MAX + 1)
        )])
        .is_err()
    );
    let sealed = Text::Sealed(Box::new(Sealed {
        key_id: "id".into(),
        nonce: vec![0; 12].into(),
        ciphertext: vec![0; limits::METADATA_VALUE_BYTES_MAX - 13].into(),
    }));
    assert!(
        of(vec![("k".into(), sealed)]).is_err(),
        "all parts of a sealed text count"
    );
    assert!(
        value(limits::DESCRIPTION_BYTES_MAX)
            .check_description()
            .is_ok()
    );
    assert!(
        value(limits::DESCRIPTION_BYTES_MAX + 1)
            .check_description()
            .is_err()
    );
}

#[test]
fn a_change_of_metadata_sets_rather_than_removes() {
    let entries = |pairs: &[(&str, &str)]| {
        let map: BTreeMap<Box<str>, Text> = pairs
            .iter()
            .map(|(k, v)| (Box::from(*k), Text::plain(*v)))
            .collect();
        Metadata::new(map).unwrap()
    };
    let change = MetadataChange {
        set: entries(&[("b", "2"), ("c", "3")]),
        remove: vec!["a".into(), "b".into(), "absent".into()],
    };
    let after = change.apply_to(&entries(&[("a", "1"), ("b", "1"), ("d", "1")]));
    assert_eq!(
        after.unwrap(),
        entries(&[("b", "2"), ("c", "3"), ("d", "1")])
    );
}

#[test]
fn balances_stand_on_the_normal_side() {
    let amount = |units| Amount::new(units).unwrap();
    let totals = Totals {
        debits_posted: amount(70),
        credits_posted: amount(100),
        debits_pending: amount(5),
        credits_pending: amount(2),
    };
    let (debit, credit) = (NormalSide::Debit, NormalSide::Credit);
    assert_eq!((totals.posted(debit), totals.posted(credit)), (-30, 30));
    assert_eq!(
        (totals.available(debit), totals.available(credit)),
        (-32, 25)
    );
    assert_eq!((totals.pending(debit), totals.pending(credit)), (-27, 27));
    assert_eq!((totals.incoming(debit), totals.incoming(credit)), (-25, 32));
    assert!(!totals.is_settled());
    for (kind, side) in [
        (AccountType::Asset, debit),
        (AccountType::Expense, debit),
        (AccountType::Memo, debit),
        (AccountType::Liability, credit),
        (AccountType::Equity, credit),
        (AccountType::Income, credit),
    ] {
        assert_eq!(kind.normal_side(), side);
    }
}
