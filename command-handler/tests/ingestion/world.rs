//! A node, its topics in memory, and what it tells of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use command_handler::{Condition, Config};
use ports::ingestion::CommandTopic;
use ports::log::{SideMessage, SideTopic};
use ports::memory::{MemoryGroup, MemoryLog, MemoryMember, MemorySnapshots, MemorySource};
use schemas::record::LogId;
use serde_json::{Value, json};

use crate::common::*;

pub const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

pub struct World {
    pub log: MemoryLog,
    pub source: MemorySource,
    pub group: MemoryGroup,
    pub store: Arc<MemorySnapshots>,
    pub server: Server,
    pub member: MemoryMember,
}

impl World {
    pub async fn new() -> Self {
        let world = Self::with(config(), MemorySource::default()).await;
        world.server.bank("bank").await;
        world
    }

    pub async fn with(config: Config, source: MemorySource) -> Self {
        let log = MemoryLog::shared(LogId([3; 16]), 1);
        let group = MemoryGroup::default();
        let store = Arc::default();
        let member = group.join("a:1");
        let server = join(config, &log, &member, Some(&source), &store).await;
        group.give(0, &[0], &[]);
        serves(&server).await;
        Self {
            log,
            source,
            group,
            store,
            server,
            member,
        }
    }

    /// The same log and topics, after a stop.
    pub async fn restart(self, config: Config) -> Self {
        self.server.handler.stop().await;
        let member = self.group.join("a:2");
        let server = join(config, &self.log, &member, Some(&self.source), &self.store).await;
        self.group.give(member.number(), &[0], &[]);
        until("an end of the claim", || {
            let status = &server.handler.status()[0];
            status.condition != Condition::Recovering && status.condition != Condition::NotOwner
        })
        .await;
        Self {
            server,
            member,
            ..self
        }
    }

    pub fn push(&self, kind: CommandTopic, value: Value) -> u64 {
        let ledger = value["ledger"].as_str().unwrap_or("bank").to_owned();
        self.source.push(kind, 0, &ledger, JSON, value.to_string())
    }

    pub fn deposit(&self, key: &str, amount: u64) -> u64 {
        self.push(
            CommandTopic::Deposits,
            json!({"ledger": "bank", "key": key, "account": "a", "counter_account": "cash",
                   "amount": amount.to_string(), "asset": "USD/2"}),
        )
    }

    pub fn withdrawal(&self, key: &str, amount: u64) -> u64 {
        self.push(
            CommandTopic::Withdrawals,
            json!({"ledger": "bank", "key": key, "account": "a", "counter_account": "cash",
                   "amount": amount.to_string(), "asset": "USD/2"}),
        )
    }

    pub fn messages(&self, topic: SideTopic) -> Vec<SideMessage> {
        let attached = self.log.attached(0).into_iter();
        let messages = attached.flat_map(|attached| attached.messages);
        messages.filter(|message| message.topic == topic).collect()
    }

    /// All outcomes that were committed, by source, in order.
    pub fn outcomes(&self) -> BTreeMap<(String, u64), Vec<Value>> {
        let mut by_source = BTreeMap::<_, Vec<Value>>::new();
        for message in self.messages(SideTopic::Outcomes) {
            let outcome: Value = serde_json::from_slice(message.payload.as_ref().unwrap()).unwrap();
            let topic = outcome["source"]["topic"].as_str().unwrap().to_owned();
            let offset = outcome["source"]["offset"].as_str().unwrap();
            assert_eq!(header(&message, "daybook-source-topic"), topic);
            assert_eq!(header(&message, "daybook-source-partition"), "0");
            assert_eq!(header(&message, "daybook-source-offset"), offset);
            assert_eq!(header(&message, "content-type"), "application/json");
            assert_eq!(message.key.as_deref(), Some(&b"bank"[..]));
            let place = (topic, offset.parse().unwrap());
            by_source.entry(place).or_default().push(outcome);
        }
        by_source
    }

    /// The outcome of one record.
    pub async fn outcome(&self, topic: &str, offset: u64) -> Value {
        let place = (topic.to_owned(), offset);
        until("an outcome", || self.outcomes().contains_key(&place)).await;
        self.outcomes()[&place][0].clone()
    }

    pub async fn balance(&self, account: &str) -> i128 {
        use ledger_core::command::AccountRef;
        use ledger_core::name::{AccountName, LedgerName};
        use ports::strong::{StrongAnswer, StrongQuery};
        let account = AccountRef::Name(AccountName::new(account).unwrap());
        let bank = LedgerName::new("bank").unwrap();
        let query = StrongQuery::Accounts(vec![account]);
        let read = self
            .server
            .handler
            .strong()
            .read(&bank, query)
            .await
            .unwrap();
        let StrongAnswer::Accounts(accounts) = read.answer else {
            panic!("accounts were asked for");
        };
        let account = accounts[0].as_ref().unwrap();
        account.totals.posted(account.normal_side())
    }
}

pub async fn serves(server: &Server) {
    until("serving", || {
        server.handler.status()[0].condition == Condition::Serving
    })
    .await;
}

pub fn header(message: &SideMessage, name: &str) -> String {
    let header = message.headers.iter().find(|(header, _)| header == name);
    let value = header
        .unwrap_or_else(|| panic!("no header {name}"))
        .1
        .clone();
    String::from_utf8(value.unwrap().to_vec()).unwrap()
}
