//! The API only grows: what schemas/golden/api-v1.txt lists may be added to, never removed,
//! renumbered or retyped. The record and snapshot formats are held to the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/api-v1.txt")
}

fn type_name(field: &FieldDescriptor) -> String {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            unreachable!("a map is a list of messages")
        };
        let key = type_name(&entry.map_entry_key_field());
        return format!("map<{key}, {}>", type_name(&entry.map_entry_value_field()));
    }
    match field.kind() {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(of) => of.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

fn message_lines(message: &MessageDescriptor, lines: &mut BTreeSet<String>) {
    if message.is_map_entry() {
        return;
    }
    lines.insert(format!("message {}", message.full_name()));
    for field in message.fields() {
        let label = match field.cardinality() {
            Cardinality::Repeated if !field.is_map() => "repeated ",
            _ if field.field_descriptor_proto().proto3_optional() => "optional ",
            _ => "",
        };
        let oneof = field
            .containing_oneof()
            .filter(|_| !field.field_descriptor_proto().proto3_optional())
            .map_or_else(String::new, |oneof| format!(" in {}", oneof.name()));
        lines.insert(format!(
            "field {} = {}: {label}{}{oneof}",
            field.full_name(),
            field.number(),
            type_name(&field)
        ));
    }
    for child in message.child_messages() {
        message_lines(&child, lines);
    }
}

/// Everything that a client or a reader of the log relies on, a line each.
fn contract() -> BTreeSet<String> {
    let pool = schemas::api::json::pool();
    let ours = |name: &str| name.starts_with("daybook.");
    let mut lines = BTreeSet::new();
    for message in pool.all_messages() {
        if ours(message.full_name()) && message.parent_message().is_none() {
            message_lines(&message, &mut lines);
        }
    }
    for of in pool.all_enums().filter(|of| ours(of.full_name())) {
        for value in of.values() {
            lines.insert(format!(
                "enum {}.{} = {}",
                of.full_name(),
                value.name(),
                value.number()
            ));
        }
    }
    for service in pool.services().filter(|service| ours(service.full_name())) {
        for method in service.methods() {
            let stream = |yes| if yes { "stream " } else { "" };
            lines.insert(format!(
                "rpc {}/{}({}{}) returns ({}{})",
                service.full_name(),
                method.name(),
                stream(method.is_client_streaming()),
                method.input().full_name(),
                stream(method.is_server_streaming()),
                method.output().full_name()
            ));
        }
    }
    lines
}

/// What `now` lacks of `before`: removed, renumbered or retyped.
fn broken<'a>(before: &'a BTreeSet<String>, now: &'a BTreeSet<String>) -> Vec<&'a String> {
    before.difference(now).collect()
}

#[test]
fn the_api_only_grows() {
    let now = contract();
    let before = std::fs::read_to_string(golden()).unwrap_or_default();
    let before: BTreeSet<String> = before.lines().map(str::to_owned).collect();
    let broken = broken(&before, &now);
    assert!(
        broken.is_empty(),
        "these were promised and are not there any more; give new things new names and numbers:\n{broken:#?}"
    );
    if std::env::var_os("DAYBOOK_BLESS").is_some() {
        let lines: Vec<&str> = now.iter().map(String::as_str).collect();
        std::fs::write(golden(), lines.join("\n") + "\n").expect("the list can be written");
        return;
    }
    let added: Vec<_> = now.difference(&before).collect();
    assert!(
        added.is_empty(),
        "new in the API, to be promised from now on: DAYBOOK_BLESS=1 cargo test -p schemas --test compatibility\n{added:#?}"
    );
}

#[test]
fn every_incompatible_change_is_seen() {
    let before = contract();
    for (was, becomes) in [
        (
            "field daybook.v1.Command.ledger = 2: string",
            "field daybook.v1.Command.ledger = 3: string",
        ),
        (
            "field daybook.v1.Command.ledger = 2: string",
            "field daybook.v1.Command.ledger = 2: bytes",
        ),
        (
            "field daybook.v1.Command.create_ledger = 10: daybook.v1.CreateLedger in operation",
            "",
        ),
        ("enum daybook.v1.AccountType.ACCOUNT_TYPE_MEMO = 6", ""),
        (
            "rpc daybook.v1.AuditService/WatchRecords(daybook.v1.WatchRecordsRequest) returns (stream daybook.v1.WatchRecordsResponse)",
            "",
        ),
        (
            "field daybook.v1.Account.metadata = 8: map<string, daybook.v1.Text>",
            "",
        ),
        (
            "field daybook.record.v1.Rejection.member = 3: optional uint32",
            "field daybook.record.v1.Rejection.member = 3: uint32",
        ),
    ] {
        let mut now = before.clone();
        assert!(now.remove(was), "{was} is not in the list");
        now.insert(becomes.to_owned());
        assert_eq!(broken(&before, &now), [was]);
    }
}
