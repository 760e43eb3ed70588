//! The event log on Kafka: one partition per shard, exactly-once transactions, one message per
//! record; and the topics beside it that commands come from and outcomes go to.
