"""The load and the tally of e2e/crash, for a gateway that goes on living while something below it is broken."""

import asyncio
import random
import time

from crowd import Crowd
from metered.gateway import Gateway
from metered.http1 import Answer, BrokenOff, Connection, Head, get
from metered.purchase import NotSold, Purchase, buy
from metered.upstream import Order, Upstream, body_of
from tally import LAWS, Ask, Service, Tally, Token

FIXED = Service(name="fixed", prefix="/fixed/", pack=150, estimate=1, is_fixed=True)
COUNTED = Service(name="counted", prefix="/counted/", pack=600, estimate=10, is_fixed=False)
FLAT_PREFIX = "/flat/"
# Numbers of requests for the flat-rate service; those of metered ones stay below.
FLAT_NUMBERS = 1 << 40
# How long the end of a request may take to get into the ledger.
OPEN_SECS = 15
POLL_SECS = 0.05

REFUSED = "what the ledger does not take is refused with 503, Retry-After and `ledger_unavailable`"
HELD_BACK = "nothing that was refused reached the upstream"
FLAT = "flat-rate services answer all the time"
ALL_LAWS = (*LAWS, REFUSED, HELD_BACK, FLAT)


def services(upstream: Upstream, valid_for: str = "") -> str:
    """The services of a config. `valid_for`: how long tokens of the first one are good."""
    fixed = FIXED.yaml(upstream.port) + (f"    valid_for: {valid_for}\n" if valid_for else "")
    flat = (
        f"  - name: flat\n    path: {FLAT_PREFIX}\n    upstream: http://127.0.0.1:{upstream.port}\n    price: 10 sat\n"
    )
    return fixed + COUNTED.yaml(upstream.port) + flat


async def at_rest(gateway: Gateway) -> dict:
    """Waits until the last request has ended in the ledger too; what the ledger says then."""
    end = time.monotonic() + OPEN_SECS
    while (audit := await gateway.check())["unfinished"] and time.monotonic() < end:
        await asyncio.sleep(POLL_SECS)
    return audit


class FaultTally(Tally):
    """Knows that a gateway in trouble refuses what it cannot book, and breaks off what it cannot charge."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream)
        self._seen = upstream.seen
        # From before something breaks until the gateway was started again on something sound.
        self.is_troubled = False
        # In trouble tokens are spent and none is sold, so in the end this may be the only one.
        self.latest: Token | None = None

    def bought(self, purchase: Purchase, service: Service) -> Token:
        """As ever; remembers it."""
        self.latest = super().bought(purchase, service)
        return self.latest

    def head(self, ask: Ask, head: Head) -> None:
        """As ever, but for refusals."""
        if not (self.is_troubled and head.status == 503):
            super().head(ask, head)

    def whole(self, ask: Ask, answer: Answer) -> bool:
        """As ever, but for refusals, after which a token is as good as before."""
        if not (self.is_troubled and answer.head.status == 503):
            return super().whole(ask, answer)
        if answer.body:
            self.turned_away(ask, answer)
        else:
            # An answer without a body whose charge the ledger did not take.
            self.counts["withheld"] += 1
            self.broke_off(ask, by_kill=True)
        return True

    def turned_away(self, ask: Ask, answer: Answer) -> None:
        """Judges a refusal."""
        retry = answer.head.get("retry-after") or ""
        if answer.head.status != 503 or answer.reason() != "ledger_unavailable" or not retry.isdecimal():
            self.fault(REFUSED, f"{answer.head} {answer.body!r}")
        if self._seen[ask.order.number]:
            self.fault(HELD_BACK, f"{ask.order} was refused, and the upstream has seen it")
        ask.token.spared += ask.token.service.estimate
        self.counts["turned away"] += 1


class Patrons(Crowd):
    """Customers who come again when a troubled gateway breaks off, and one of the flat-rate service."""

    def __init__(self, gateway: Gateway, tally: FaultTally, upstream: Upstream, rng: random.Random) -> None:
        super().__init__(gateway, tally, [FIXED, COUNTED], rng)
        self._upstream = upstream
        self._flat: Purchase | None = None
        self._flat_number = FLAT_NUMBERS

    def begin(self) -> None:
        """Everybody comes."""
        super().begin()
        self._tasks.append(asyncio.create_task(self._visitor()))

    async def turned_away(self) -> None:
        """Asks with a token that is good, or was, and judges the refusal."""
        token = self._rng.choice(self._tokens or [self._tally.latest])
        ask = self._tally.sent(token, order := self._order(simple=True))
        connection = await Connection.open(self._gateway.front)
        try:
            connection.send(get(order.target(token.service.prefix), token.purchase.credential))
            self._tally.turned_away(ask, await connection.answer())
        finally:
            connection.cut()

    async def _customer(self) -> None:
        while not self._is_over:
            await super()._customer()

    async def _buyer(self, number: int) -> None:
        while not self._is_over:
            await super()._buyer(number)

    async def _visitor(self) -> None:
        connection = None
        try:
            connection = await Connection.open(self._gateway.front)
            if not self._flat:
                self._flat = await buy(self._gateway.front, self._gateway.wallet, f"{FLAT_PREFIX}0")
            while not self._is_over:
                self._flat_number += 1
                order = Order(self._flat_number)
                connection.send(get(order.target(FLAT_PREFIX), self._flat.credential))
                answer = await connection.answer()
                if answer.head.status != 200 or answer.body != body_of(order):
                    self._tally.fault(FLAT, answer)
                self._tally.counts["flat-rate answers"] += 1
                self._tally.counts["flat-rate answers in trouble"] += self._tally.is_troubled
                await asyncio.sleep(0.005)
        except BrokenOff as error:
            if not self._is_killed:
                self._tally.fault(FLAT, error)
        finally:
            if connection:
                connection.cut()

    def _expect_killed(self, error: BrokenOff) -> None:
        if not self._tally.is_troubled:
            super()._expect_killed(error)

    def _expect_sold(self, error: NotSold) -> None:
        if not self._tally.is_troubled:
            super()._expect_sold(error)
        self._tally.counts["not sold"] += 1
