//! Faults: said to callers, never recorded.

use super::{Explanation, Kind};

const fn fault(
    code: &'static str,
    grpc: &'static str,
    retry: bool,
    figures: &'static [&'static str],
    [meaning, cause, what_to_do]: [&'static str; 3],
) -> Explanation {
    Explanation {
        code,
        kind: Kind::Fault,
        grpc,
        meaning,
        cause,
        what_to_do,
        retry,
        figures,
    }
}

#[rustfmt::skip]
pub(super) const ROWS: &[Explanation] = &[
    fault("INVALID_ARGUMENT", "INVALID_ARGUMENT", false, &[], [
        "The request is malformed.",
        "A field is missing, has the wrong form, or breaks a limit of docs/limits.md. `google.rpc.BadRequest` names each field and what is wrong with it. Nothing was decided or recorded, and the key is still unused.",
        "Correct the fields that are named and send the request again; the same key may be used.",
    ]),
    fault("IDEMPOTENCY_KEY_REUSED", "ALREADY_EXISTS", false, &["ledger", "key"], [
        "The key was used in this ledger before, for another request.",
        "Two different commands were sent under one key, or a command was changed and sent again under its old key. Keys are unique in a ledger over all kinds of command, for ever.",
        "If the command is a new one, give it a new key. If it was meant as a repeat, send exactly what was sent first; `daybook audit decision` shows what that was.",
    ]),
    fault("KEY_STAMP_IN_FUTURE", "FAILED_PRECONDITION", false, &["key", "ahead_seconds"], [
        "The UUIDv7 key is stamped too far ahead of the engine's clock.",
        "The clock of the machine that made the key is more than 5 minutes ahead of the server's, or the key was made up.",
        "Set the client's clock right (NTP) and use a new key.",
    ]),
    fault("LEDGER_NOT_FOUND", "NOT_FOUND", false, &["ledger"], [
        "There is no ledger of this name.",
        "The name is mistyped (names are case-sensitive), or the ledger was not created yet.",
        "List the ledgers (`daybook ledger list`), or create it first.",
    ]),
    fault("DECISION_NOT_FOUND", "NOT_FOUND", false, &["ledger"], [
        "The ledger has no decision of this key, transaction or ledger sequence.",
        "The command never reached the engine, was malformed, or was only validated; none of these is recorded.",
        "Send the command again with the same key: it is decided now, or its first outcome is given again.",
    ]),
    fault("SEQUENCE_NOT_REACHED", "OUT_OF_RANGE", false, &["ledger", "asked", "reached"], [
        "The ledger has not reached the ledger sequence that was asked for.",
        "A statement or list was asked for at a ledger sequence that no record has yet.",
        "Ask for a sequence up to `reached`, or leave it out for the newest.",
    ]),
    fault("READ_TIMEOUT", "UNAVAILABLE", true, &["asked", "reached"], [
        "The read models did not get as far as was asked for before the deadline.",
        "The read was STRONG or AT_LEAST, and the projection is behind the log: under heavy load, after a start, or because it stopped.",
        "Repeat with a longer deadline, or read EVENTUAL. If `reached` does not grow, look at the server's health (PROJECTION_STOPPED).",
    ]),
    fault("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", true, &[], [
        "The caller's deadline passed before the command was decided.",
        "The deadline is shorter than the server needs under its present load.",
        "Repeat with the same key and a longer deadline: the command is carried out once, whether or not it got through the first time.",
    ]),
    fault("UNAVAILABLE", "UNAVAILABLE", true, &[], [
        "The server cannot answer now.",
        "The shard starts, recovers from its log after a fault, or stops. A command in flight may have been recorded or not.",
        "Repeat with the same key: it is carried out once. If it lasts, look at the server's log and health.",
    ]),
    fault("RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", true, &[], [
        "The server is working at its limit: a queue or a bounded memory is full.",
        "More commands come in than are made durable, or the read models are too far behind. Nothing of the command was decided.",
        "Repeat with the same key after the delay of `google.rpc.RetryInfo`, with growing pauses; send more commands in one batch.",
    ]),
    fault("DISK_FULL", "RESOURCE_EXHAUSTED", true, &["shard"], [
        "The disk that the log is on is full: the shard takes no commands, reads go on.",
        "The log, the read models or something else filled the disk. Nothing that was acknowledged is lost, and nothing is acknowledged without room.",
        "Make room (other files, old snapshots) or enlarge the disk; the shard serves again by itself.",
    ]),
    fault("PAGE_TOKEN_INVALID", "INVALID_ARGUMENT", false, &[], [
        "The page token does not belong to this request.",
        "It was changed, or the request's filter or order is another one than that which gave the token.",
        "Repeat the very request that gave the token with nothing but `page_token` changed, or begin again without one.",
    ]),
    fault("TOKEN_INVALID", "INVALID_ARGUMENT", false, &[], [
        "The consistency or resume token cannot be read.",
        "It was cut off or changed, or was not made by Daybook.",
        "Use the `token` of a receipt, a read position or a head exactly as it came.",
    ]),
    fault("TOKEN_OF_ANOTHER_LOG", "FAILED_PRECONDITION", false, &["found", "expected"], [
        "The token speaks of another log than this server has.",
        "The server was restored to an earlier point (a restore starts a new log), or the token came from another server.",
        "Throw old tokens away and read the state anew: what was acknowledged after the restored point is not in this log.",
    ]),
    fault("BATCH_TOO_LARGE", "INVALID_ARGUMENT", false, &["what", "found", "most"], [
        "The request holds more than a server takes at once.",
        "More commands, accounts or bytes than docs/limits.md allows.",
        "Split it up; every command keeps its own key.",
    ]),
    fault("MESSAGE_MALFORMED", "INVALID_ARGUMENT", false, &[], [
        "The message is none that the server can read.",
        "Its bytes are no protobuf of the method's request, a text in it is not UTF-8, or its frame or compression is broken: a client with another schema, or a proxy that changed bytes. Nothing was decided or recorded.",
        "Make the client from the .proto files of this server (reflection serves them); look at what stands between.",
    ]),
    fault("MESSAGE_TOO_LARGE", "OUT_OF_RANGE", false, &["found", "most"], [
        "The message has more bytes than a server takes.",
        "A request above 16 MiB (`batch_bytes_max` of docs/limits.md, and a little for its frame). Nothing of it was read, decided or recorded.",
        "Split it up; every command keeps its own key.",
    ]),
    fault("REPLY_TOO_LARGE", "OUT_OF_RANGE", false, &["what", "most"], [
        "The answer does not fit one message.",
        "A trial balance of more accounts, or a reply of more bytes, than one message carries. Where it answered a command, that was decided and stands.",
        "Ask for less at once: sums by pattern (AggregateBalances), or a smaller `page_size`. What became of a command tells GetDecision.",
    ]),
    fault("READ_MODELS_UNUSABLE", "UNAVAILABLE", false, &[], [
        "The read models are damaged, of another version, or of another log.",
        "A file was damaged or exchanged, or a build with other read models wrote it. The log is not touched by this.",
        "Rebuild them from the log: `daybook replay`.",
    ]),
    fault("PROJECTION_STOPPED", "UNAVAILABLE", false, &["shard", "sequence"], [
        "The projection stopped at a record that it cannot apply; reads of the read models stand still.",
        "The record is damaged or of a newer version, or the read models do not agree with the log. It is never skipped.",
        "Run `daybook verify`. If the log is clean, rebuild the read models with `daybook replay`; if not, see LOG_DAMAGED.",
    ]),
    fault("LOG_DAMAGED", "DATA_LOSS", false, &[], [
        "What stands in the log is not what was written there.",
        "A disk, file system or copy changed bytes; the record's hash, its chain or its form shows it. The shard does not serve on such a log.",
        "Keep the folder as it is. Run `daybook verify` to see the first damaged record, then restore: `daybook snapshot restore`, or a backup of the log.",
    ]),
    fault("SHARD_STOPPED", "INTERNAL", false, &["shard"], [
        "The shard stopped for safety, before anything wrong was written.",
        "An invariant of the ledger did not hold, or a commit failed in a way after which the disk is not to be trusted.",
        "Look at the server's log, run `daybook verify`, and restart the server; report it if the log is clean.",
    ]),
    fault("NOT_OWNER", "UNAVAILABLE", true, &["shard", "owner"], [
        "The shard of this ledger is written by another node of the cluster, or by none just now.",
        "The shards were just spread anew over the nodes, and a call that was forwarded once is not forwarded again; or no node with the role `command` runs.",
        "Repeat with the same key: it reaches the new owner. `owner`, where it is there, is the address of the node that is believed to write the shard. If it stays so, look at `daybook server info` of the nodes and at their readiness.",
    ]),
    fault("INTERNAL", "INTERNAL", false, &[], [
        "A fault of Daybook's own.",
        "A bug. The server lives on.",
        "Report it with the server's log. Before anything else, ask with GetDecision what became of the key.",
    ]),
];
