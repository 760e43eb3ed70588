"""A tour of Daybook in Python, on plain grpcio: a ledger, accounts, a deposit, a transfer, a
refused withdrawal, a hold with a capture, a statement. Start it with run.sh."""

import argparse
import os
import sys
import time
import uuid

import grpc
from daybook.v1 import command_pb2 as command
from daybook.v1 import common_pb2 as common
from daybook.v1 import query_pb2 as query
from daybook.v1 import query_pb2_grpc as query_rpc
from daybook.v1 import resources_pb2 as resources
from daybook.v1 import resources_pb2_grpc as resources_rpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def uuid7() -> str:
    """A UUIDv7 (the standard library has none before Python 3.14)."""
    milliseconds = time.time_ns() // 1_000_000
    bits = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    bits = bits & ~(0xF << 76) | 0x7 << 76  # version
    bits = bits & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(uuid.UUID(int=bits))


def new_key() -> resources.CommandOptions:
    """Every command has a key, which makes it safe to repeat: the same key with the same command
    gives the first outcome again. Keep it until you have seen the answer."""
    return resources.CommandOptions(idempotency_key=uuid7())


def error_info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo:
    """The code of a refusal and the figures that it was judged on."""
    for detail in rpc_status.from_call(error).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    raise error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("DAYBOOK_SERVER", "127.0.0.1:7420")
    parser.add_argument("--server", default=default, help="the server's address")
    server = parser.parse_args().server.removeprefix("http://")

    with grpc.insecure_channel(server) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=10)
        except grpc.FutureTimeoutError:
            sys.exit(f"client.py: no server answers at {server}; start one with `daybook serve`")
        tour(channel)


def tour(channel: grpc.Channel) -> None:
    ledgers = resources_rpc.LedgerServiceStub(channel)
    accounts = resources_rpc.AccountServiceStub(channel)
    transactions = resources_rpc.TransactionServiceStub(channel)
    queries = query_rpc.QueryServiceStub(channel)

    # A ledger is an independent chart of accounts. This tour takes a new one each time.
    ledger = f"tour-{uuid7()}"
    ledgers.CreateLedger(
        resources.CreateLedgerRequest(
            options=new_key(),
            ledger=ledger,
            create=command.CreateLedger(time_zone="Europe/Prague"),
        )
    )
    print(f"ledger {ledger}")

    # Cash is an asset of ours; what customers have with us is owed to them: a liability, which
    # may not fall below zero.
    for name, kind, limits in [
        ("cash", common.ACCOUNT_TYPE_ASSET, common.Limits()),
        ("customers:ann", common.ACCOUNT_TYPE_LIABILITY, common.Limits(minimum="0")),
        ("customers:bob", common.ACCOUNT_TYPE_LIABILITY, common.Limits(minimum="0")),
    ]:
        reply = accounts.OpenAccount(
            resources.OpenAccountRequest(
                options=new_key(),
                ledger=ledger,
                open=command.OpenAccount(name=name, asset="USD/2", type=kind, limits=limits),
            )
        )
        print(f"opened {name}, number {reply.account.number}")

    def transaction(debit: str, credit: str, amount: int, **more) -> resources.CreateTransactionRequest:
        """One posting of so many minor units: 12500 is 125.00 of USD/2."""
        posting = command.PostingSpec(
            debit=debit, credit=credit, asset="USD/2", amount=str(amount)
        )
        return resources.CreateTransactionRequest(
            options=new_key(),
            ledger=ledger,
            create=command.CreateTransaction(postings=[posting], **more),
        )

    # A deposit and a transfer.
    deposit = transaction("cash", "customers:ann", 10000)
    first = transactions.CreateTransaction(deposit).receipt
    transactions.CreateTransaction(transaction("customers:ann", "customers:bob", 2500))
    print("Ann deposits 100.00 and sends Bob 25.00")

    # Was the answer lost? Send the same again: nothing is booked twice.
    again = transactions.CreateTransaction(deposit).receipt
    assert again.repeated and again.transaction_id == first.transaction_id

    # A refusal says which rule said no, and the figures that it was judged on.
    try:
        transactions.CreateTransaction(transaction("customers:bob", "cash", 2501))
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        info = error_info(error)
    else:
        raise AssertionError("a withdrawal of 25.01 out of 25.00 was carried out")
    print(f"Bob's withdrawal of 25.01 is refused: {info.reason} {dict(info.metadata)}")

    # A hold reserves; a capture takes from it, and the final one releases the rest.
    hold = transactions.CreateTransaction(
        transaction("customers:ann", "customers:bob", 4000, hold=command.HoldSpec())
    ).receipt.transaction_id

    def balance(account: str) -> common.Balance:
        """Strong: includes all that was acknowledged before."""
        request = query.GetBalanceRequest(ledger=ledger, account=account)
        return queries.GetBalance(request).balance

    held = balance("customers:ann")
    print(f"40.00 are held: Ann has {held.posted} posted, {held.available} available")
    transactions.CaptureTransaction(
        resources.CaptureTransactionRequest(
            options=new_key(),
            ledger=ledger,
            capture=command.CaptureTransaction(
                hold=hold,
                amounts=[command.PostingAmount(posting=0, amount="3000")],
                final=True,
            ),
        )
    )
    after = balance("customers:ann")
    print(f"30.00 were captured: {after.posted} posted, {after.available} available")

    statement = queries.GetStatement(
        query.GetStatementRequest(ledger=ledger, account="customers:ann")
    )
    print(f"Ann's statement, in minor units of {statement.asset}:")
    for line in statement.lines:
        side = "in" if line.direction == query.DIRECTION_CREDIT else "out"
        print(f"  {side:>4} {line.amount:>8}  {line.counter_account:<14} {line.balance:>8}")

    assert info.reason == "INSUFFICIENT_FUNDS", info
    assert (held.posted, held.available) == ("7500", "3500"), held
    assert (after.posted, after.available) == ("4500", "4500"), after
    assert [line.balance for line in statement.lines] == ["10000", "7500", "4500"], statement
    assert statement.closing_balance == "4500", statement
    print("all as it should be")


if __name__ == "__main__":
    main()
