"""The load: customers who share tokens, and buyers who go on buying, until the gateway is gone or told to stop."""

import asyncio
import random

from metered.gateway import Gateway
from metered.http1 import Answer, BrokenOff, Connection, get
from metered.purchase import NotSold, buy
from metered.upstream import Order
from tally import ALIVE, ANSWERS, Service, Tally, Token

CONNECTIONS = 24
BUYERS = 2
# Tokens in use at once; several connections share each.
TOKENS_MAX = 10
BUY_PAUSE_SECS_MAX = 0.4
# A customer's rest between two requests.
PAUSE_SECS_MAX = 0.02
# Where there is no token to use.
POLL_SECS = 0.005


class Crowd:
    """Comes and goes with `begin` and `end`; tokens and the count of requests stay."""

    def __init__(self, gateway: Gateway, tally: Tally, services: list[Service], rng: random.Random) -> None:
        self._gateway = gateway
        self._tally = tally
        self._services = services
        self._rng = rng
        self._tokens: list[Token] = []
        self._number = 0
        self._tasks: list[asyncio.Task] = []
        self._is_over = False
        self._is_killed = False

    def begin(self) -> None:
        """Everybody comes."""
        self._is_over = self._is_killed = False
        people = [self._customer() for _ in range(CONNECTIONS)] + [self._buyer(number) for number in range(BUYERS)]
        self._tasks = [asyncio.create_task(person) for person in people]

    async def end(self, by_kill: bool) -> None:
        """Everybody goes; with `by_kill` the gateway is killed now and nothing is finished."""
        self._is_over, self._is_killed = True, by_kill
        if by_kill:
            self._gateway.kill()
        await asyncio.gather(*self._tasks)

    def in_use(self) -> list[Token]:
        """Tokens that are being spent."""
        return list(self._tokens)

    async def spend(self, token: Token, times: int) -> bool:
        """Asks for `times` answers of the simplest kind; whether all were served, and one more is not."""
        connection = await Connection.open(self._gateway.front)
        try:
            served = [await self._ask(connection, token, self._order(simple=True)) for _ in range(times + 1)]
        finally:
            connection.cut()
        return served == [True] * times + [False]

    async def _customer(self) -> None:
        connection = None
        try:
            while not self._is_over:
                await asyncio.sleep(self._rng.uniform(0, PAUSE_SECS_MAX) if self._tokens else POLL_SECS)
                if self._is_over or not self._tokens:
                    continue
                token = self._rng.choice(self._tokens)
                connection = connection or await Connection.open(self._gateway.front)
                if self._rng.random() < 0.01:
                    await self._leave_early(connection, token)
                    connection = None
                elif not await self._ask(connection, token, self._order()) and token in self._tokens:
                    self._tokens.remove(token)
        except BrokenOff as error:
            self._expect_killed(error)
        finally:
            if connection:
                connection.cut()

    async def _buyer(self, number: int) -> None:
        service = self._services[number % len(self._services)]  # each is sold at least once
        try:
            while not self._is_over:
                purchase = await buy(self._gateway.front, self._gateway.wallet, f"{service.prefix}0")
                if len(self._tokens) >= TOKENS_MAX:
                    self._tokens.pop(self._rng.randrange(TOKENS_MAX))
                self._tokens.append(self._tally.bought(purchase, service))
                await asyncio.sleep(self._rng.uniform(0, BUY_PAUSE_SECS_MAX))
                service = self._rng.choice(self._services)
        except BrokenOff as error:
            self._tally.counts["purchases broken off"] += 1
            self._expect_killed(error)
        except NotSold as error:
            self._expect_sold(error)

    async def _ask(self, connection: Connection, token: Token, order: Order) -> bool:
        """One request; whether the token is good for more."""
        ask = self._tally.sent(token, order)
        try:
            connection.send(get(order.target(token.service.prefix), token.purchase.credential))
            head = await connection.head()
            self._tally.head(ask, head)
            answer = Answer(head, await connection.body(head))
        except BrokenOff:
            self._tally.broke_off(ask, by_kill=True)
            raise
        return self._tally.whole(ask, answer)

    async def _leave_early(self, connection: Connection, token: Token) -> None:
        """A request whose client does not wait for the end."""
        ask = self._tally.sent(token, order := self._order())
        connection.send(get(order.target(token.service.prefix), token.purchase.credential))
        await asyncio.sleep(self._rng.uniform(0, 0.02))
        connection.cut()
        self._tally.broke_off(ask, by_kill=False)

    def _order(self, simple: bool = False) -> Order:
        self._number += 1
        if simple:
            return Order(self._number)
        rng = self._rng
        size = rng.choice([0, rng.randrange(1, 500), rng.randrange(1, 500), rng.randrange(500, 5_000)])
        pieces = rng.choice([1, 1, 3])
        if rng.random() < 0.05:
            size, pieces = rng.randrange(50_000, 300_000), 8
        return Order(
            number=self._number,
            status=rng.choices([200, 404, 500], [90, 5, 5])[0],
            size=size,
            pieces=pieces,
            wait_ms=rng.choice([0, 0, rng.randrange(30)]),
            is_chunked=size > 0 and rng.random() < 0.3,
            # Not told: the estimate. More than the estimate: no more than it.
            told=rng.choices([rng.randrange(11), None, 99], [90, 5, 5])[0],
        )

    def _expect_killed(self, error: BrokenOff) -> None:
        if not self._is_killed:
            self._tally.fault(ALIVE, f"{error}; the gateway's last words: {self._gateway.said()[-1_000:]}")

    def _expect_sold(self, error: NotSold) -> None:
        self._tally.fault(ANSWERS, f"not sold: {error}")
