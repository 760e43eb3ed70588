//! Codes that operators see: at start, and in the findings of verify and restore.

use super::{Explanation, Kind};

const fn operation(
    code: &'static str,
    [meaning, cause, what_to_do]: [&'static str; 3],
) -> Explanation {
    Explanation {
        code,
        kind: Kind::Operation,
        grpc: "-",
        meaning,
        cause,
        what_to_do,
        retry: false,
        figures: &[],
    }
}

#[rustfmt::skip]
pub(super) const ROWS: &[Explanation] = &[
    operation("LOG_LOCKED", [
        "Another process uses this folder.",
        "A server runs on it, or a tool that needs it for itself.",
        "Stop the other process, or use another folder (`--data`). Commands of the client need no folder: they speak to the running server.",
    ]),
    operation("LOG_UNUSABLE", [
        "The log cannot be used by this build with these settings.",
        "It has another number of shards than was asked for, is no log of Daybook's, is gone or empty while its read models are there, or is on Kafka and the brokers do not let this user in: the message says which.",
        "Start with the number of shards that the log was made with, or use another folder. A `log.db` that is gone is put back from a backup, with `log.db-wal` if there was one: none is made in its place. On Kafka: check user and password, and let `daybook setup` check the topics.",
    ]),
    operation("LOG_SEALED", [
        "The books went over to another log; this one takes no more records.",
        "`daybook migrate` sealed it, so that two logs never accept writes for the same books. It can still be read: verify, audits from a copy, another migration to the same place.",
        "Start the server on the log that the message names. If that one was given up before it ever served, `daybook migrate --abandon` opens this one again.",
    ]),
    operation("NOT_MIGRATED", [
        "The books did not go over to the other log, or not wholly.",
        "The message says what stood in the way: a source that is damaged, a target that is no new log of this migration, a commit that did not succeed.",
        "Remove the cause and run the same `daybook migrate` again: it goes on where it was. The source stays sealed meanwhile.",
    ]),
    operation("NOT_PROVEN", [
        "The books are not what `daybook load` sent and was answered.",
        "Something that was acknowledged is missing, doubled or different, or something is there that nobody sent. The report names the first culprits of each claim.",
        "Keep the manifest and the books as they are and report it. `daybook load prove FILE` looks again; `daybook verify` says whether the books agree with themselves.",
    ]),
    operation("NOT_ANSWERED", [
        "Commands of `daybook load` got no outcome for as long as its patience lasts.",
        "The server was gone or refused to take commands for longer than `--patience`.",
        "When the server answers again: `daybook load --resume FILE` sends what has no outcome once more, under the same keys, and proves.",
    ]),
    operation("LOG_BEHIND", [
        "A snapshot or the read models know records that the log does not have.",
        "An older copy of the log was put back, or its end was cut off.",
        "Put the newest log back. If it is lost, make a new log that says so with `daybook snapshot restore` and start there.",
    ]),
    operation("LOG_DIVERGED", [
        "A snapshot or the read models were made from another history than the log's.",
        "Files of two folders were mixed, or the log was rewritten.",
        "Put files back that belong together. If only the read models are foreign, rebuild them with `daybook replay`.",
    ]),
    operation("LOG_TRIMMED", [
        "Records that are needed were trimmed from the log, and the archive does not have them either.",
        "Read models or an archive are made from the log's beginning, which is gone: the archive was lost after the log was trimmed, or the log was trimmed by hand.",
        "Bring the archive back, or start a new log from a snapshot with `daybook snapshot restore`. The newest state is not lost: the writer serves from its snapshot.",
    ]),
    operation("ARCHIVE_UNUSABLE", [
        "The log's archive cannot be read or written.",
        "A permission or a table is missing, a row of it is damaged, or what the log gives does not follow what is archived.",
        "The message says which. Run `daybook setup`; let the archiver follow again by a restart; never trim the log meanwhile.",
    ]),
    operation("SNAPSHOT_DAMAGED", [
        "A snapshot is not as it was written.",
        "A disk or a copy changed bytes. The one before it is used, or the whole log.",
        "Make a new one with `daybook snapshot create`; look after the disk.",
    ]),
    operation("RECORD_UNREADABLE", [
        "A record cannot be decoded.",
        "Its bytes are damaged, or a newer build wrote it.",
        "If a newer build wrote it, use that build. Otherwise see LOG_DAMAGED.",
    ]),
    operation("CHAIN_BROKEN", [
        "A record does not carry the hash of the record before it.",
        "A record was changed, left out, or put in.",
        "See LOG_DAMAGED; keep the folder as it is for whoever looks into it.",
    ]),
    operation("SEQUENCE_GAP", [
        "Sequences are not contiguous.",
        "A record is missing or stands there twice.",
        "See LOG_DAMAGED; keep the folder as it is for whoever looks into it.",
    ]),
    operation("BOOKS_UNBALANCED", [
        "Debits and credits of an asset differ.",
        "Records were changed, or Daybook has a bug.",
        "Keep the folder as it is and report it.",
    ]),
    operation("STATE_DIFFERS", [
        "The state recomputed from the log is not the state that the log, a snapshot or the read models show.",
        "One of them was changed or damaged.",
        "If a snapshot differs, remove it and make a new one; if the read models differ, `daybook replay`; if records differ, see LOG_DAMAGED.",
    ]),
    operation("HEAD_MISMATCH", [
        "A ledger's chain does not pass through the head that was kept elsewhere.",
        "The log was cut off before it, or rewritten.",
        "Find the log that has it. Until then no answer of this log after that point is to be trusted.",
    ]),
    operation("CLOCK_BEHIND_LOG", [
        "The machine's clock is more than 5 minutes behind the log.",
        "The clock was set back, or the log was written by a machine whose clock was ahead.",
        "Set the clock right (NTP). The engine's time never goes back.",
    ]),
    operation("CLOCK_AHEAD_OF_LOG", [
        "The machine's clock is more than 24 hours ahead of the log's last record.",
        "The server was off for more than a day, or the clock is wrong. A wrong one would be recorded for ever.",
        "Check the clock. If it is right, start once with `--accept-clock`.",
    ]),
    operation("CONFIG_INVALID", [
        "A setting is unknown or has the wrong form.",
        "A mistyped name or value in `daybook.toml`, an environment variable or a flag.",
        "Correct the setting that is named; `daybook serve --help` lists all of them.",
    ]),
    operation("FOLDER_TOO_NEW", [
        "The folder was written by a newer build.",
        "An older build was started on it.",
        "Use the newer build; going back needs a restore into a new folder.",
    ]),
    operation("FOLDER_UNREADABLE", [
        "The data folder cannot be used or read.",
        "It holds other files, was copied in part, or cannot be read or written.",
        "Check the path and its permissions, or use an empty folder.",
    ]),
    operation("SQLITE_TOO_OLD", [
        "The SQLite library is older than 3.51.3.",
        "Daybook was linked against another library; older ones can lose what is in the WAL.",
        "Build with the bundled library (the default).",
    ]),
    operation("NOT_RESTORED", [
        "The restore did not make a new folder that can be used.",
        "The source is damaged before the point that was asked for, has no such point, or the target is not empty.",
        "Read the message; choose an earlier point or an empty folder, delete what was begun, and restore again. The source is untouched.",
    ]),
    operation("REBUILD_FAILED", [
        "The read models were not rebuilt; the old ones are live as before.",
        "The log cannot be read to its end, or there is no room for the new ones beside the old.",
        "Run `daybook verify`, make room, and run `daybook replay` again.",
    ]),
    operation("NOT_CLEAN", [
        "Verify found something wrong.",
        "The findings name each place.",
        "Look the code of the first finding up; keep the folder as it is.",
    ]),
    operation("BOOKS_WRONG", [
        "After a load, the books do not hold what the server acknowledged.",
        "`daybook bench` compares every acknowledged transfer and all balances at its end; this must never happen.",
        "Keep the folder and report it.",
    ]),
    operation("ROWS_REFUSED", [
        "Some rows of the import were refused; all others are in the books.",
        "The rules said no to them, or they are malformed. The report names each line and its reason.",
        "Correct the rows that the report names, under new keys where the rules had refused them, and import again: rows that are in the books are not booked twice.",
    ]),
    operation("ROW_MALFORMED", [
        "A row of the import cannot be understood.",
        "A column is missing or has the wrong form, or the line is cut off. It has no decision and its key is unused.",
        "Correct the row and import again.",
    ]),
    operation("FILE_UNREADABLE", [
        "A file that was named cannot be read.",
        "It is not there, may not be read, or is not in the form that was expected.",
        "Check the path, its permissions, and the form that docs describe.",
    ]),
    operation("ADDRESS_IN_USE", [
        "The address cannot be listened on.",
        "Another process uses the port, or the address is not this machine's.",
        "Stop the other process, or choose another address (`--listen`).",
    ]),
    operation("NOT_SET_UP", [
        "What a cluster's parts live in cannot be made, or is not as it must be.",
        "Topics have another number of partitions or other settings, a permission is missing, or there are too few brokers for replicas.",
        "The message names each. Correct it and run `daybook setup` again; nothing that was there was changed.",
    ]),
    operation("BUILT_WITHOUT_CLUSTER", [
        "The cluster profile is not in this build.",
        "`--profile cluster` was asked for, and this daybook was built without the feature `cluster`, which needs more to be built.",
        "Build it with `cargo build --release --features cluster`, or use the embedded profile, the default.",
    ]),
    operation("SNAPSHOTS_UNUSABLE", [
        "The store of snapshots cannot be used.",
        "Its credentials are refused, its bucket is not there, or it is no store that keeps what it is given (conditional puts are needed).",
        "Read the message; check the bucket, its credentials and its rights. The log is untouched.",
    ]),
    operation("USAGE", [
        "The command line is not right.",
        "An option or argument is missing, has the wrong form, or does not go with another; or an amount is in another asset than the account. Nothing was sent.",
        "Read the message; `daybook COMMAND --help` shows the form.",
    ]),
    operation("FAILED", [
        "The command could not be done.",
        "The system refused something (a file, a pipe, memory), or a server or proxy answered what has no code of Daybook's. The message says what.",
        "Read the message. A command that writes may be sent again with the same key.",
    ]),
    operation("UNIMPLEMENTED", [
        "The server does not know this call.",
        "It is an older build than the client, another service listens there, or the call belongs to the operations port.",
        "Compare the builds (`daybook server info`), and check the address: `--server` is the API, `--operations` the operations port.",
    ]),
    operation("UNDECODABLE", [
        "A dead letter: a record of a topic of commands that cannot be read.",
        "Its header `content-type` is missing or says neither `application/x-protobuf` nor `application/json`, or its payload is not what the header says.",
        "Correct the producer and produce the record again; a dead letter keeps key, headers and payload as they were. docs/ingestion.md shows the forms.",
    ]),
    operation("KEY_NOT_LEDGER", [
        "A dead letter: a record of a topic of commands whose Kafka key is not the name of its ledger.",
        "Records are partitioned by their key, and a ledger has one partition; the producer set another key, or none.",
        "Produce it again with the ledger's name as its key.",
    ]),
    operation("WRONG_PARTITION", [
        "A dead letter: a record of a topic of commands on another partition than its ledger's.",
        "The producer does not partition as Kafka's Java client does: librdkafka producers need `partitioner=murmur2_random`. Or the topic was given other partitions than the log has shards.",
        "Set the partitioner and produce the record again.",
    ]),
    operation("INGESTION_RECORD_TOO_LARGE", [
        "A dead letter: a record of a topic of commands with more bytes than `ingestion_record_bytes_max` (docs/limits.md).",
        "No command needs so much: the producer puts something else into its payload or headers. The dead letter names the record, and keeps neither payload nor headers of it.",
        "Correct the producer. The record itself stands in its topic, at the place that the dead letter names, for as long as the topic keeps it.",
    ]),
    operation("INGESTION_GAP", [
        "Records of a topic of commands that were never read are not there any more.",
        "They were deleted (by retention, by hand, or with the topic) before the shard's writer had read them, or the topic was made anew. No more commands are taken from the topics of this shard; calls go on.",
        "Find out what is missing: the message names the offsets. Produce it again, under the same keys; then let the node go on with `--accept-ingestion-gap`.",
    ]),
];
