//! Random commands against the naive model of `tests/harness/model.rs`: accepted and refused
//! alike, code included, with equal books after each; and what must hold of every history.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod harness;

use std::collections::BTreeMap;

use ledger_core::account::{
    AccountStatus, AccountType, Direction, FreezeScope, Limits, LimitsChange, VelocityLimit,
    VelocityWindow,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::command::*;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::ledger::LedgerState;
use ledger_core::name::AccountName;
use ledger_core::rejection::Code;
use ledger_core::text::{MetadataChange, Text};
use ledger_core::time::Timestamp;
use ledger_core::transaction::{HoldTerms, LimitsMode, TransactionStatus};
use proptest::prelude::*;

use harness::model::{Ask, HoldAsk, Kind, Model, Post, State};
use harness::{MODES, Mode, Outcome, World, ledger, moment, uuid_key};

/// Members that a batch may have; transaction numbers of one step.
const MEMBERS_MAX: usize = 5;
const STEP: usize = MEMBERS_MAX + 1;
const START: i64 = 20_000 * 86_400 + 80_000;

/// What one step does. `of` in it is an arbitrary number that picks among what was made.
#[derive(Debug, Clone)]
struct Step {
    /// Seconds that pass first.
    after: i64,
    ask: Ask,
    text_key: bool,
    /// Submits an earlier command again first, perhaps with another request.
    again: Option<(usize, bool)>,
}

fn amounts() -> impl Strategy<Value = i128> {
    prop_oneof![
        40 => 1..40i128,
        1 => Just(0),
        1 => prop_oneof![Just(i128::MAX), Just(i128::MAX - 30), Just(i128::MAX / 2)],
    ]
}

fn bound(range: std::ops::Range<i128>) -> impl Strategy<Value = Option<i128>> {
    prop_oneof![2 => Just(None), 3 => range.prop_map(Some)]
}

fn account() -> impl Strategy<Value = usize> {
    0..6usize
}

fn parts() -> impl Strategy<Value = Vec<(u32, i128)>> {
    prop_oneof![
        2 => Just(Vec::new()),
        3 => prop::collection::vec((0..2u32, 0..40i128), 1..3),
    ]
}

/// Seconds before (or after) now.
fn effective() -> impl Strategy<Value = i64> {
    prop_oneof![12 => Just(0), 1 => -200..20i64]
}

fn post() -> impl Strategy<Value = Post> {
    let pair = prop_oneof![
        20 => (0..5usize, 1..5usize).prop_map(|(debit, on)| (debit, (debit + on) % 5)),
        1 => (account(), account()),
    ];
    (
        pair,
        amounts(),
        prop_oneof![4 => Just(None), 1 => (0..20i128).prop_map(Some)],
    )
        .prop_map(|((debit, credit), most, at_least)| Post {
            debit,
            credit,
            most,
            at_least,
        })
}

fn posts() -> impl Strategy<Value = Vec<Post>> {
    prop_oneof![
        3 => prop::collection::vec(post(), 1),
        1 => prop::collection::vec(post(), 2..4),
    ]
}

fn hold() -> impl Strategy<Value = HoldAsk> {
    (
        prop_oneof![2 => Just(None), 2 => (-2..400i64).prop_map(Some)],
        prop_oneof![3 => Just(None), 1 => (20..120i128).prop_map(Some)],
    )
        .prop_map(|(expires, over)| HoldAsk { expires, over })
}

fn single() -> impl Strategy<Value = Ask> {
    let of = || 0..1_000usize;
    prop_oneof![
        1 => opening(account()),
        2 => (account(), bound(-40..40), bound(0..250), bound(0..200))
            .prop_map(|(account, minimum, maximum, daily_out)| Ask::Limit { account, minimum, maximum, daily_out }),
        1 => (account(), 0..3u8)
            .prop_map(|(account, scope)| Ask::Freeze { account, debits: scope != 1, credits: scope != 0 }),
        1 => account().prop_map(|account| Ask::Unfreeze { account }),
        1 => account().prop_map(|account| Ask::Close { account }),
        1 => account().prop_map(|account| Ask::Reopen { account }),
        10 => (posts(), effective(), prop::bool::weighted(0.2))
            .prop_map(|(postings, effective, record_only)| Ask::Post { postings, hold: None, effective, record_only }),
        6 => (posts(), hold(), effective(), prop::bool::weighted(0.2))
            .prop_map(|(postings, hold, effective, record_only)| Ask::Post { postings, hold: Some(hold), effective, record_only }),
        6 => (of(), parts(), any::<bool>(), effective())
            .prop_map(|(of, amounts, last, effective)| Ask::Capture { of, amounts, last, effective }),
        2 => of().prop_map(|of| Ask::Void { of }),
        2 => of().prop_map(|of| Ask::Expire { of }),
        5 => (of(), parts(), effective(), prop::bool::weighted(0.2))
            .prop_map(|(of, amounts, effective, record_only)| Ask::Reverse { of, amounts, effective, record_only }),
        1 => (-200..5i64).prop_map(|through| Ask::CloseBooks { through }),
        1 => prop_oneof![Just(None), (-400..0i64).prop_map(Some)].prop_map(|through| Ask::ReopenBooks { through }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let ask = prop_oneof![
        6 => single(),
        1 => prop::collection::vec(single(), 1..=MEMBERS_MAX).prop_map(Ask::Atomic),
    ];
    (
        prop_oneof![4 => 0..3i64, 3 => 0..90i64, 1 => 0..90_000i64],
        ask,
        prop::bool::weighted(0.2),
        prop_oneof![5 => Just(None), 1 => (0..1_000usize, any::<bool>()).prop_map(Some)],
    )
        .prop_map(|(after, ask, text_key, again)| Step {
            after,
            ask,
            text_key,
            again,
        })
}

fn opening(account: impl Strategy<Value = usize>) -> impl Strategy<Value = Ask> {
    (
        account,
        any::<bool>(),
        bound(-30..30),
        bound(60..200),
        bound(30..90),
        bound(30..250),
        bound(30..250),
        0..40u8,
    )
        .prop_map(
            |(account, debit_side, minimum, maximum, each, daily_out, rolling_in, asset)| {
                Ask::Open {
                    account,
                    asset: u8::from(asset == 0),
                    debit_side,
                    minimum,
                    maximum,
                    each,
                    daily_out,
                    rolling_in,
                }
            },
        )
}

/// Opens the first five accounts, then goes on at random.
fn history() -> impl Strategy<Value = Vec<Step>> {
    let openings: Vec<_> = (0..5usize)
        .map(|account| {
            opening(Just(account)).prop_map(|ask| Step {
                after: 0,
                ask,
                text_key: false,
                again: None,
            })
        })
        .collect();
    (openings, prop::collection::vec(step(), 1..80)).prop_map(|(mut steps, rest)| {
        steps.extend(rest);
        steps
    })
}

/// Puts real transactions and absolute times in the place of arbitrary numbers. `made` are the
/// transactions there are; some picks name one that is not.
fn settle(ask: &mut Ask, made: &[usize], holds: &[usize], now: i64) {
    let unknown = usize::MAX / 2;
    // The latest nine, so that most are still worth a command.
    let pick = |of: &mut usize, among: &[usize]| {
        *of = match *of % 50 {
            0 => unknown,
            _ => among
                .get(among.len().wrapping_sub(1 + *of % among.len().clamp(1, 9)))
                .copied()
                .unwrap_or(unknown),
        };
    };
    let among = |of: &usize| if of.is_multiple_of(7) { made } else { holds };
    match ask {
        Ask::Reverse { of, effective, .. } => {
            pick(of, made);
            *effective += now;
        }
        Ask::Capture { of, effective, .. } => {
            pick(of, among(of));
            *effective += now;
        }
        Ask::Void { of } | Ask::Expire { of } => pick(of, among(of)),
        Ask::Post {
            effective, hold, ..
        } => {
            *effective += now;
            if let Some(expires) = hold.as_mut().and_then(|hold| hold.expires.as_mut()) {
                *expires += now;
            }
        }
        Ask::CloseBooks { through } => *through += now,
        Ask::ReopenBooks { through } => *through = through.map(|through| through + now),
        _ => {}
    }
}

fn name(account: usize) -> AccountName {
    AccountName::new(&format!("account:{account}")).unwrap()
}

fn by_name(account: usize) -> AccountRef {
    AccountRef::Name(name(account))
}

fn units(amount: i128) -> Amount {
    Amount::new(amount as u128).unwrap()
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000).unwrap()
}

fn mode_of(record_only: bool) -> LimitsMode {
    match record_only {
        true => LimitsMode::RecordOnly(Text::plain("test")),
        false => LimitsMode::Enforce,
    }
}

fn velocity(daily_out: Option<i128>, rolling_in: Option<i128>) -> Vec<VelocityLimit> {
    let daily = daily_out.map(|amount| VelocityLimit {
        direction: Direction::Outflow,
        window: VelocityWindow::CalendarDay,
        amount: units(amount),
    });
    let rolling = rolling_in.map(|amount| VelocityLimit {
        direction: Direction::Inflow,
        window: VelocityWindow::Rolling { seconds: 600 },
        amount: units(amount),
    });
    daily.into_iter().chain(rolling).collect()
}

struct Translation<'a> {
    keys: &'a BTreeMap<usize, IdempotencyKey>,
    model: &'a Model,
}

impl Translation<'_> {
    fn transaction(&self, number: usize) -> TransactionId {
        let Some(key) = self.keys.get(&(number / STEP)) else {
            return TransactionId(7);
        };
        match number % STEP {
            0 => key.transaction_id(&ledger()),
            member => key.member_transaction_id(&ledger(), member as u32 - 1),
        }
    }

    fn operation(&self, ask: &Ask) -> Operation {
        let change = |account: &usize| ChangeAccount {
            account: by_name(*account),
            reason: None,
        };
        let parts = |amounts: &[(u32, i128)]| -> Vec<(u32, Amount)> {
            amounts.iter().map(|(i, a)| (*i, units(*a))).collect()
        };
        match ask {
            Ask::Open {
                account,
                asset,
                debit_side,
                minimum,
                maximum,
                each,
                daily_out,
                rolling_in,
            } => Operation::OpenAccount(OpenAccount {
                name: name(*account),
                asset: Asset::parse(["USD/2", "EUR/2"][usize::from(*asset)]).unwrap(),
                account_type: match debit_side {
                    true => AccountType::Asset,
                    false => AccountType::Liability,
                },
                limits: Limits {
                    minimum: *minimum,
                    maximum: *maximum,
                    per_transaction: each.map(units),
                    velocity: velocity(*daily_out, *rolling_in),
                },
                metadata: Default::default(),
            }),
            Ask::Limit {
                account,
                minimum,
                maximum,
                daily_out,
            } => {
                let rolling_in = self.model.accounts.get(account).and_then(|a| a.rolling_in);
                Operation::UpdateAccount(UpdateAccount {
                    account: by_name(*account),
                    limits: LimitsChange {
                        minimum: Some(*minimum),
                        maximum: Some(*maximum),
                        per_transaction: None,
                        velocity: Some(velocity(*daily_out, rolling_in)),
                    },
                    metadata: MetadataChange::default(),
                })
            }
            Ask::Freeze {
                account,
                debits,
                credits,
            } => Operation::FreezeAccount(FreezeAccount {
                account: by_name(*account),
                scope: match (debits, credits) {
                    (true, true) => FreezeScope::All,
                    (true, false) => FreezeScope::Debits,
                    _ => FreezeScope::Credits,
                },
                reason: None,
            }),
            Ask::Unfreeze { account } => Operation::UnfreezeAccount(change(account)),
            Ask::Close { account } => Operation::CloseAccount(change(account)),
            Ask::Reopen { account } => Operation::ReopenAccount(change(account)),
            Ask::Post {
                postings,
                hold,
                effective,
                record_only,
            } => Operation::CreateTransaction(CreateTransaction {
                postings: postings
                    .iter()
                    .map(|post| PostingSpec {
                        debit: by_name(post.debit),
                        credit: by_name(post.credit),
                        amount: match post.at_least {
                            None => AmountSpec::Exact(units(post.most)),
                            Some(least) => AmountSpec::UpTo {
                                most: units(post.most),
                                at_least: units(least),
                            },
                        },
                        asset: None,
                    })
                    .collect(),
                effective_at: Some(time(*effective)),
                hold: hold.as_ref().map(|hold| HoldTerms {
                    expires_at: hold.expires.map(time),
                    over_capture_up_to: hold.over.map(units),
                }),
                limits: mode_of(*record_only),
                description: None,
                metadata: Default::default(),
            }),
            Ask::Capture {
                of,
                amounts,
                last,
                effective,
            } => Operation::CaptureTransaction(CaptureTransaction {
                hold: self.transaction(*of),
                amounts: parts(amounts),
                is_final: *last,
                effective_at: Some(time(*effective)),
                description: None,
                metadata: Default::default(),
            }),
            Ask::Void { of } => Operation::VoidTransaction(VoidTransaction {
                hold: self.transaction(*of),
                reason: None,
            }),
            Ask::Expire { of } => Operation::ExpireHold(self.transaction(*of)),
            Ask::Reverse {
                of,
                amounts,
                effective,
                record_only,
            } => Operation::ReverseTransaction(ReverseTransaction {
                original: self.transaction(*of),
                amounts: parts(amounts),
                effective_at: Some(time(*effective)),
                limits: mode_of(*record_only),
                description: None,
                metadata: Default::default(),
            }),
            Ask::CloseBooks { through } => Operation::CloseBooks(CloseBooks {
                through: time(*through),
                reason: None,
            }),
            Ask::ReopenBooks { through } => Operation::ReopenBooks(ReopenBooks {
                through: through.map(time),
                reason: Text::plain("test"),
            }),
            Ask::Atomic(members) => Operation::Atomic(
                members
                    .iter()
                    .map(|member| AtomicMember {
                        conditions: Vec::new(),
                        operation: self.operation(member),
                    })
                    .collect(),
            ),
        }
    }
}

/// The engine's books are the model's.
fn compare(world: &World, model: &Model, keys: &BTreeMap<usize, IdempotencyKey>) {
    assert_eq!(world.state.accounts().len(), model.numbers.len());
    for (account, number) in world.state.accounts().iter().zip(&model.numbers) {
        let expected = &model.accounts[number];
        let totals = &account.totals;
        let shown = [
            totals.debits_posted,
            totals.credits_posted,
            totals.debits_pending,
            totals.credits_pending,
        ]
        .map(|amount| amount.minor_units() as i128);
        let [debits, credits] = expected.posted;
        let [debits_pending, credits_pending] = expected.pending;
        assert_eq!(
            shown,
            [debits, credits, debits_pending, credits_pending],
            "account {number}"
        );
        assert_eq!(
            account.version, expected.version,
            "version of account {number}"
        );
        let status = match (expected.closed, expected.frozen) {
            (true, _) => AccountStatus::Closed,
            (_, (true, true)) => AccountStatus::Frozen(FreezeScope::All),
            (_, (true, false)) => AccountStatus::Frozen(FreezeScope::Debits),
            (_, (false, true)) => AccountStatus::Frozen(FreezeScope::Credits),
            (_, (false, false)) => AccountStatus::Open,
        };
        assert_eq!(account.status, status, "status of account {number}");
    }
    let translation = Translation { keys, model };
    let mut open = 0;
    for (number, expected) in &model.transactions {
        let found = &world.index.transactions[&translation.transaction(*number)];
        let status = match expected.state {
            State::Posted => TransactionStatus::Posted,
            State::Pending => TransactionStatus::Pending,
            State::Voided => TransactionStatus::Voided,
            State::Expired => TransactionStatus::Expired,
        };
        assert_eq!(found.status, status, "transaction {number}");
        for (index, (_, _, amount)) in expected.postings.iter().enumerate() {
            let progress = found.progress_of(index);
            assert_eq!(found.postings[index].amount, units(*amount));
            assert_eq!(progress.captured, units(expected.captured[index]));
            assert_eq!(progress.reversed, units(expected.reversed[index]));
        }
        if expected.state == State::Pending {
            open += 1;
            assert!(world.state.open_hold(found.id) == Some(found));
        }
    }
    assert_eq!(world.state.open_holds().len(), open);
}

/// Debits equal credits, per asset, posted and pending.
fn balanced(state: &LedgerState) {
    let mut sums: BTreeMap<Asset, (i128, i128)> = BTreeMap::new();
    for account in state.accounts() {
        let totals = &account.totals;
        let sum = sums.entry(account.terms.asset).or_default();
        sum.0 = sum
            .0
            .wrapping_add(totals.debits_posted.signed_sub(totals.credits_posted));
        sum.1 = sum
            .1
            .wrapping_add(totals.debits_pending.signed_sub(totals.credits_pending));
    }
    assert!(sums.values().all(|sum| *sum == (0, 0)), "{sums:?}");
}

fn run(mode: Mode, steps: Vec<Step>, seen: &mut BTreeMap<Option<Code>, u32>) {
    let mut world = World::new(mode);
    let mut model = Model {
        second: START,
        ..Model::default()
    };
    world.now = moment(20_000, 80_000);
    world.submit(&Command {
        key: uuid_key(1, 1),
        conditions: Vec::new(),
        operation: Operation::CreateLedger(CreateLedger::default()),
    });
    let mut keys = BTreeMap::new();
    let mut commands: Vec<(Command, u64)> = Vec::new();
    for (number, mut step) in steps.into_iter().enumerate() {
        model.second += step.after;
        world.now = moment(
            model.second.div_euclid(86_400) as i32,
            model.second.rem_euclid(86_400),
        );
        if let Some((pick, other)) = step.again
            && !commands.is_empty()
        {
            let (command, sequence) = &commands[pick % commands.len()];
            let before = world.books();
            let outcome = if other {
                let mut command = command.clone();
                command.operation = Operation::ExpireHold(TransactionId(99));
                assert_eq!(world.submit(&command), Outcome::Reused);
                None
            } else {
                Some(world.submit(command))
            };
            assert!(outcome.is_none_or(|o| o == Outcome::Repeated(*sequence)));
            assert_eq!(world.books(), before, "a repeat changes nothing");
        }
        // A batch may give an account its rolling limit and change it later: the translation
        // reads the model before the batch, so such members are left out.
        if let Ask::Atomic(members) = &mut step.ask {
            let opened: Vec<usize> = members
                .iter()
                .filter_map(|member| match member {
                    Ask::Open { account, .. } => Some(*account),
                    _ => None,
                })
                .collect();
            members.retain(
                |member| !matches!(member, Ask::Limit { account, .. } if opened.contains(account)),
            );
            members.retain(|member| !matches!(member, Ask::Expire { .. }));
        }
        let id = number * STEP;
        let mut made: Vec<usize> = model.transactions.keys().copied().collect();
        let is_hold = |(_, t): &(&usize, &harness::model::Transaction)| t.kind == Kind::Hold;
        let mut holds: Vec<usize> = (model.transactions.iter().filter(is_hold))
            .map(|(number, _)| *number)
            .collect();
        match &mut step.ask {
            Ask::Atomic(members) => {
                for (index, member) in members.iter_mut().enumerate() {
                    settle(member, &made, &holds, model.second);
                    made.push(id + 1 + index);
                    if matches!(member, Ask::Post { hold: Some(_), .. }) {
                        holds.push(id + 1 + index);
                    }
                }
            }
            ask => settle(ask, &made, &holds, model.second),
        }
        let key = match step.text_key {
            true => IdempotencyKey::parse(&format!("row {number}")).unwrap(),
            false => uuid_key(1_000 + number as u64, number as u32),
        };
        keys.insert(number, key.clone());
        let translation = Translation {
            keys: &keys,
            model: &model,
        };
        let command = Command {
            key,
            conditions: Vec::new(),
            operation: translation.operation(&step.ask),
        };
        let expected = match &step.ask {
            Ask::Atomic(members) if members.is_empty() => Err(Code::CommandInvalid),
            ask => model.submit(id, ask),
        };
        let Outcome::Decided(decided) = world.submit(&command) else {
            panic!("the key of step {number} is new");
        };
        let code = decided.as_ref().err().map(|rejection| rejection.code);
        assert_eq!(
            code,
            expected.err(),
            "step {number}: {:?}: {decided:?}",
            step.ask
        );
        *seen.entry(code).or_default() += 1;
        commands.push((command, world.log.last().unwrap().entry.sequence));
        compare(&world, &model, &keys);
        balanced(&world.state);
    }
    let replayed = world.replayed();
    assert_eq!(
        (World {
            state: replayed,
            ..World::new(mode)
        })
        .books(),
        world.books(),
        "replay gives the live state"
    );
    let image = world.state.to_image();
    let restored = LedgerState::from_image(image.clone(), 77).expect("a sound image");
    assert_eq!(restored.to_image(), image);
}

#[test]
fn the_engine_and_the_model_decide_alike() {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(200);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let seen = std::cell::RefCell::new(BTreeMap::new());
    let strategy = (prop::sample::select(&MODES[..]), history());
    runner
        .run(&strategy, |(mode, steps)| {
            run(mode, steps, &mut seen.borrow_mut());
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let seen = seen.into_inner();
    // The commands reach what they are meant to test.
    for code in [
        None,
        Some(Code::InsufficientFunds),
        Some(Code::BalanceLimitExceeded),
        Some(Code::VelocityLimitExceeded),
        Some(Code::TransactionLimitExceeded),
        Some(Code::BalanceOverflow),
        Some(Code::CaptureExceedsHold),
        Some(Code::HoldExpired),
        Some(Code::HoldAlreadyPosted),
        Some(Code::ReversalExceedsOriginal),
        Some(Code::PeriodClosed),
        Some(Code::AccountFrozen),
    ] {
        assert!(
            seen.contains_key(&code),
            "no command came to {code:?}: {seen:?}"
        );
    }
}
