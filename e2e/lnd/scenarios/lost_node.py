"""The seller's lnd is lost under load, and what was paid while the gateway was not looking."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from programs.load import Load, Seen, quantile
from programs.octroi import Octroi
from regtest.process import Gone, wait_for

from .ground import Ground

PAID_CONNECTIONS = 16
PAID_PAUSE = 0.02
UNPAID_CONNECTIONS = 2
UNPAID_PAUSE = 0.02
# How long each state of the node is watched.
WATCH_SECS = 5
# Longest wait for the gateway to see that the node is lost, and for its counters to follow.
NEWS_SECS = 20
# What is promised.
RESUME_SECS = 5.0
P99_SECS = 0.010


def paid_customers_do_not_notice_a_lost_node(ground: Ground) -> None:
    """Killed, restarted, then frozen with its connections open, all under load."""
    octroi = ground.octroi("lost-node", ground.shop())
    octroi.start()
    pid = octroi.process.pid
    credential = buy(ground, octroi)
    paid = Load(octroi.port, "/weather/load", PAID_CONNECTIONS, PAID_PAUSE, credential)
    unpaid = Load(octroi.port, "/weather/unpaid", UNPAID_CONNECTIONS, UNPAID_PAUSE)
    try:
        time.sleep(WATCH_SECS / 2)
        killed = _lose(octroi, ground.seller.kill)
        ground.checks.equal("the gateway is the same process", octroi.process.pid, pid)
        ground.seller.start()
        _minting_resumes(ground, octroi, "killed and started")

        frozen = _lose(octroi, ground.seller.freeze)
        ground.seller.thaw()
        _minting_resumes(ground, octroi, "frozen and thawed")
        time.sleep(1)
        paid_seen, unpaid_seen = paid.end(), unpaid.end()
    finally:
        paid.abandon()
        unpaid.abandon()
    ground.checks.equal("the gateway is still the same process", octroi.process.pid, pid)
    _paid_was_served(ground, paid_seen)
    _unpaid_was_refused(ground, "killed", unpaid_seen, killed)
    _unpaid_was_refused(ground, "frozen", unpaid_seen, frozen)
    ground.checks.equal(
        "every unpaid answer is a 402 or a 503", {seen.status for seen in unpaid_seen} - {402, 503}, set()
    )
    octroi.stop()
    ground.network.wait_payable()


def settlements_made_meanwhile_are_caught_up(ground: Ground) -> None:
    """Each settlement is counted once, whoever was away when it was made: the node or the gateway."""
    checks = ground.checks
    octroi = ground.octroi("catch-up", ground.shop())
    octroi.start()
    _counts_as_the_node_does(ground, octroi, "what was paid before its first start")
    buy(ground, octroi)
    _counts_as_the_node_does(ground, octroi, "one paid while both are there")

    waiting = octroi.get("/weather/after-restart").challenge()
    ground.seller.kill()
    ground.seller.start()
    ground.network.wait_payable()
    ground.buyer.pay(waiting.invoice)
    _counts_as_the_node_does(ground, octroi, "one paid right after a restart of the node")

    waiting = [octroi.get(f"/weather/away-{number}").challenge() for number in range(3)]
    checks.equal("SIGTERM ends the gateway with 0", octroi.stop(), 0)
    for challenge in waiting:
        ground.buyer.pay(challenge.invoice)
    octroi.start()
    _counts_as_the_node_does(ground, octroi, "three paid while the gateway was stopped")
    buy(ground, octroi)
    _counts_as_the_node_does(ground, octroi, "and one more")
    octroi.stop()
    octroi.start()
    # Long enough for what might be told again.
    time.sleep(2)
    _counts_as_the_node_does(ground, octroi, "after one more start")
    octroi.stop()


def buy(ground: Ground, octroi: Octroi) -> str:
    """A credential, paid for by the buyer's node itself."""
    challenge = octroi.get("/weather/bought").challenge()
    return f"L402 {challenge.macaroon}:{ground.buyer.pay(challenge.invoice)}"


@dataclass(frozen=True)
class Loss:
    """When the node was lost, when the gateway stopped asking it, and when that was watched no more."""

    begin: float
    seen: float
    end: float


def _lose(octroi: Octroi, lose: Callable[[], None]) -> Loss:
    """Loses the node and watches for a while."""
    begin = time.monotonic()
    lose()
    wait_for("the gateway sees that the node is lost", NEWS_SECS, lambda: _node_is_lost(octroi))
    seen = time.monotonic()
    time.sleep(WATCH_SECS)
    return Loss(begin, seen, time.monotonic())


def _node_is_lost(octroi: Octroi) -> bool:
    return octroi.metric("octroi_node_breaker_open") == 1


def _minting_resumes(ground: Ground, octroi: Octroi, how: str) -> None:
    active = time.monotonic()
    wait_for("402 again", NEWS_SECS, lambda: octroi.get("/weather/unpaid").status == 402)
    secs = time.monotonic() - active
    ground.checks.check(f"{how}: minting resumes within {RESUME_SECS:.0f} s", secs <= RESUME_SECS, secs)
    ground.saw(f"{how}: the first 402 came {secs:.1f} s after the node was back")


def _paid_was_served(ground: Ground, seen: list[Seen]) -> None:
    failed = [(entry.status, round(entry.secs, 3)) for entry in seen if entry.status != 200]
    ground.checks.check("paid requests: not one error", bool(seen) and not failed, failed[:10])
    p99, worst = quantile([entry.secs for entry in seen], 0.99), max(entry.secs for entry in seen)
    ground.saw(f"{len(seen)} paid requests, p99 {p99 * 1000:.1f} ms, slowest {worst * 1000:.0f} ms")


def _unpaid_was_refused(ground: Ground, how: str, seen: list[Seen], loss: Loss) -> None:
    """Between the breaker's opening and the node's return."""
    checks = ground.checks
    lost = [entry for entry in seen if entry.start >= loss.seen and entry.start + entry.secs <= loss.end]
    checks.equal(f"{how}: unpaid requests get 503", {entry.status for entry in lost}, {503})
    checks.check(f"{how}: with Retry-After", bool(lost) and all(entry.retry_after for entry in lost))
    p99 = quantile([entry.secs for entry in lost], 0.99) if lost else float("inf")
    checks.check(f"{how}: p99 below {P99_SECS * 1000:.0f} ms", p99 < P99_SECS, p99)
    before = [entry.secs for entry in seen if loss.begin <= entry.start < loss.seen and entry.status == 503]
    ground.saw(
        f"{how}: {len(lost)} unpaid requests, p99 {p99 * 1000:.1f} ms; "
        f"{len(before)} were refused before that, the slowest after {max(before, default=0):.2f} s"
    )


def _counts_as_the_node_does(ground: Ground, octroi: Octroi, what: str) -> None:
    """The counter reaches the node's own count and stays there."""
    settled = ground.seller.settled()
    with suppress(Gone):  # then what it has instead is shown
        wait_for(what, NEWS_SECS, lambda: (octroi.metric("octroi_settlements_total") or 0) >= settled)
        time.sleep(0.5)
    name = f"{what}: octroi_settlements_total is the node's own count, {settled}"
    ground.checks.equal(name, octroi.metric("octroi_settlements_total"), settled)
