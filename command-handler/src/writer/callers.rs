//! Who waits for what: commands come in groups, one per call, and are answered as one.

use std::collections::HashMap;

use ledger_core::name::LedgerName;
use ports::log::Attached;
use ports::strong::{StrongError, StrongQuery, StrongRead};
use schemas::error::Fault;
use tokio::sync::oneshot;

use super::batch::Outputs;
use super::machine::Machine;
use super::mailbox::{Room, Tag};
use super::request::{Outcome, Request};

struct Group {
    outcomes: Vec<Option<Outcome>>,
    left: usize,
    reply: oneshot::Sender<Vec<Outcome>>,
    _room: Room,
}

type AttachReply = oneshot::Sender<Result<(), Fault>>;
type ReadReply = oneshot::Sender<Result<StrongRead, StrongError>>;

/// Everyone who waits for a writer.
pub(crate) struct Callers {
    shard: u32,
    next: u64,
    groups: HashMap<u64, Group>,
    reads: HashMap<u64, (ReadReply, Room)>,
    attaches: HashMap<u64, (AttachReply, Room)>,
}

impl Callers {
    pub(crate) fn new(shard: u32) -> Self {
        Self {
            shard,
            next: 0,
            groups: HashMap::new(),
            reads: HashMap::new(),
            attaches: HashMap::new(),
        }
    }

    /// Hands a call's commands to the machine.
    pub(crate) fn commands(
        &mut self,
        machine: &mut Machine<Tag>,
        requests: Vec<Request>,
        reply: oneshot::Sender<Vec<Outcome>>,
        room: Room,
    ) {
        self.next += 1;
        let group = self.next;
        let count = requests.len();
        for (index, request) in (0..).zip(requests) {
            machine.submit(Tag { group, index }, request);
        }
        let mut outcomes = Vec::new();
        outcomes.resize_with(count, || None);
        self.groups.insert(
            group,
            Group {
                outcomes,
                left: count,
                reply,
                _room: room,
            },
        );
    }

    /// Hands a read to the machine.
    pub(crate) fn read(
        &mut self,
        machine: &mut Machine<Tag>,
        ledger: LedgerName,
        query: StrongQuery,
        reply: ReadReply,
        room: Room,
    ) {
        self.next += 1;
        let tag = Tag {
            group: self.next,
            index: 0,
        };
        self.reads.insert(self.next, (reply, room));
        machine.read(tag, ledger, query);
    }

    /// Hands what is to be committed beside the records to the machine.
    pub(crate) fn attach(
        &mut self,
        machine: &mut Machine<Tag>,
        attached: Attached,
        reply: AttachReply,
        room: Room,
    ) {
        self.next += 1;
        let tag = Tag {
            group: self.next,
            index: 0,
        };
        self.attaches.insert(self.next, (reply, room));
        machine.attach(tag, attached);
    }

    /// Passes on what the machine answers. A caller that went away is no concern of the writer.
    pub(crate) fn answer(&mut self, outputs: Outputs<Tag>) {
        for (tag, outcome) in outputs.replies {
            self.one(tag, outcome);
        }
        for (tag, read) in outputs.reads {
            if let Some((reply, _room)) = self.reads.remove(&tag.group) {
                let _ = reply.send(read);
            }
        }
        for tag in outputs.attached {
            if let Some((reply, _room)) = self.attaches.remove(&tag.group) {
                let _ = reply.send(Ok(()));
            }
        }
    }

    fn one(&mut self, tag: Tag, outcome: Outcome) {
        let Some(group) = self.groups.get_mut(&tag.group) else {
            if let (Some((reply, _room)), Outcome::Declined(why)) =
                (self.attaches.remove(&tag.group), outcome)
            {
                let _ = reply.send(Err(why));
            }
            return;
        };
        if let Some(slot) = group.outcomes.get_mut(tag.index as usize)
            && slot.is_none()
        {
            *slot = Some(outcome);
            group.left -= 1;
        }
        if group.left == 0
            && let Some(group) = self.groups.remove(&tag.group)
        {
            let _ = group
                .reply
                .send(group.outcomes.into_iter().flatten().collect());
        }
    }

    /// True when nobody waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.groups.is_empty() && self.reads.is_empty() && self.attaches.is_empty()
    }

    /// Tells all who wait that they wait in vain. What was answered of a group stays answered.
    pub(crate) fn fail(&mut self, why: &Fault) {
        for (_, group) in self.groups.drain() {
            let outcomes = group
                .outcomes
                .into_iter()
                .map(|outcome| outcome.unwrap_or_else(|| Outcome::Declined(why.clone())))
                .collect();
            let _ = group.reply.send(outcomes);
        }
        for (_, (reply, _room)) in self.attaches.drain() {
            let _ = reply.send(Err(why.clone()));
        }
        for (_, (reply, _room)) in self.reads.drain() {
            let _ = reply.send(Err(StrongError::Unavailable {
                shard: self.shard,
                why: why.to_string(),
            }));
        }
    }
}
