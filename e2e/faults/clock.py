"""A clock that jumps, under load and while requests are open. Only the time of day jumps; what measures how long
something takes goes on evenly, as on a real machine.
"""

import asyncio
import random
import time
from dataclasses import dataclass
from pathlib import Path

from books import Books
from metered.gateway import Gateway, Store
from metered.http1 import Answer, BrokenOff, Connection, get
from metered.purchase import Purchase, buy
from metered.upstream import Order, Upstream
from patrons import ALL_LAWS, COUNTED, FIXED, FaultTally, Patrons, at_rest, services
from regtest.process import Ending, Gone
from stage.checks import Checks
from tally import Ask, Service, Token

HOUR = 3_600
DAY = 24 * HOUR
YEAR = 365 * DAY
# How far from the true time the clock is after each jump, in seconds, and what the jump is called.
JUMPS = [(HOUR, "an hour forwards"), (0, "an hour back"), (-DAY, "a day back"), (YEAR - DAY, "a year forwards")]
# Tokens of one service hold so long, in minutes; the other's have no end.
VALID_MINUTES = 20
BEFORE_SECS = 0.5
AFTER_SECS = 0.5
# Requests that are open while the clock jumps: long enough that the sweeper, which comes every two seconds, meets them.
SLOW = 6
SLOW_MS = 3_500

STREAMS = 4
STREAM_PACK = 60
STREAM_PIECES = 30
PIECE_MS = 200
STREAM_SECS = STREAM_PIECES * PIECE_MS // 1_000
STREAM_SERVICE = """\
  - name: seconds
    path: /seconds/
    upstream: http://127.0.0.1:{port}
    price: 1 sat
    meter: {{ unit: second, pack: {pack}, cost: {{ time: 1s, step: 2 }} }}
"""

EXPIRED = "a token is refused as expired exactly when it is"
ALL_TIME_LAWS = (*ALL_LAWS, EXPIRED)


class Clock:
    """The time of day of one gateway, by libfaketime."""

    def __init__(self, folder: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not libraries:
            raise Gone("libfaketime is not installed")
        folder.mkdir(parents=True)
        self._file = folder / "clock"
        self.offset = 0
        self.set(0)
        self.env = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, offset: int) -> None:
        """So many seconds from the true time, from now on."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{offset:+}\n")
        draft.rename(self._file)
        self.offset = offset

    def now(self) -> float:
        """What the gateway takes for the time, in Unix seconds."""
        return time.time() + self.offset


class TimedTally(FaultTally):
    """Knows when tokens expire."""

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        super().__init__(upstream)
        self._clock = clock
        self._bought: dict[str, float] = {}
        self._sent: dict[int, float] = {}

    def bought(self, purchase: Purchase, service: Service) -> Token:
        """A token was paid for."""
        self._bought[purchase.payment_hash] = self._clock.now()
        return super().bought(purchase, service)

    def sent(self, token: Token, order: Order) -> Ask:
        """A request is handed to the kernel after this."""
        self._sent[order.number] = self._clock.now()
        return super().sent(token, order)

    def whole(self, ask: Ask, answer: Answer) -> bool:
        """As ever, but for expired tokens."""
        if answer.head.status == 402 and answer.reason() == "expired":
            if not self._is_expired(ask.token, self._clock.now()):
                self.fault(EXPIRED, f"refused: {answer.json()}")
            ask.token.spared += ask.token.service.estimate
            self.counts["refused as expired"] += 1
            return False
        if answer.head.status != 402 and self._is_expired(ask.token, self._sent[ask.order.number] - 1):
            self.fault(EXPIRED, f"served: {ask}")
        return super().whole(ask, answer)

    def _is_expired(self, token: Token, now: float) -> bool:
        return token.service is FIXED and now > self._bought[token.purchase.payment_hash] + VALID_MINUTES * 60


class Patience(Patrons):
    """Also asks for what takes its time."""

    async def token(self, service: Service) -> Token:
        """A new token."""
        purchase = await buy(self._gateway.front, self._gateway.wallet, f"{service.prefix}0")
        return self._tally.bought(purchase, service)

    async def is_served(self, token: Token) -> bool:
        """Whether a token is good for an answer."""
        connection = await Connection.open(self._gateway.front)
        try:
            return await self._ask(connection, token, self._order(simple=True))
        finally:
            connection.cut()

    async def waits(self, token: Token) -> bool:
        """Asks for an answer that comes late; whether it came whole."""
        self._number += 1
        order = Order(self._number, wait_ms=SLOW_MS, told=3)
        connection = await Connection.open(self._gateway.front)
        try:
            return await self._ask(connection, token, order)
        except BrokenOff:
            return False
        finally:
            connection.cut()


class Leap:
    """One gateway, and one jump of its clock after the other."""

    def __init__(self, folder: Path, seed: int, ending: Ending, checks: Checks) -> None:
        self._checks = checks
        self._clock = Clock(folder)
        self._upstream = Upstream()
        self._tally = TimedTally(self._upstream, self._clock)
        self._folder = folder
        self._ending = ending
        self._rng = random.Random(f"clock {seed}")

    async def run(self) -> None:
        """All jumps, and the last look."""
        await self._upstream.start()
        config = services(self._upstream, valid_for=f"{VALID_MINUTES}m")
        gateway = Gateway(self._folder, Store(), config, self._ending, env=self._clock.env)
        self._crowd = Patience(gateway, self._tally, self._upstream, self._rng)
        self._books = Books(gateway, self._tally, False, self._rng)
        self._gateway = gateway
        gateway.spawn()
        await gateway.ready()
        for offset, name in JUMPS:
            await self._jump(offset, name)
        await self._books.balances()
        self._checks.check("nothing panicked", "panicked" not in gateway.said())
        self._checks.equal("the gateway ends with 0", await gateway.stop(), 0)
        for law in ALL_TIME_LAWS:
            self._checks.check(law, law not in self._tally.faults, self._tally.faults.get(law))
        print("  " + ", ".join(f"{count} {name}" for name, count in sorted(self._tally.counts.items())))

    async def _jump(self, offset: int, name: str) -> None:
        tally, crowd, is_forward = self._tally, self._crowd, offset > self._clock.offset
        ended = self._swept()
        crowd.begin()
        await asyncio.sleep(BEFORE_SECS)
        mortal, lasting = await crowd.token(FIXED), await crowd.token(COUNTED)
        slow = [asyncio.create_task(crowd.waits(await crowd.token(kind))) for kind in (FIXED, COUNTED) * (SLOW // 2)]
        await asyncio.sleep(BEFORE_SECS)
        # What is open is past its deadline then, and an answer whose reservation has ended is broken off.
        tally.is_troubled = is_forward
        self._clock.set(offset)
        goods = (
            await crowd.is_served(mortal),
            await crowd.is_served(lasting),
            await crowd.is_served(await crowd.token(FIXED)),
        )
        whole = sum(await asyncio.gather(*slow))
        await asyncio.sleep(AFTER_SECS)
        await crowd.end(by_kill=False)
        tally.is_troubled = False
        tally.rest()
        await at_rest(self._gateway)
        await self._books.look(crowd.in_use())
        swept = self._swept() - ended
        told = f"{whole} of {SLOW} open requests came whole, {swept} reservations were ended by the sweeper"
        self._checks.equal(
            f"{name}: old tokens are served unless they have expired, new ones are", goods, (not is_forward, True, True)
        )
        # A clock that was set back must not end anything, one that was set forwards must not give anything away.
        self._checks.check(f"{name}: {told}", is_forward or (whole, swept) == (SLOW, 0), self._gateway.said()[-500:])
        if is_forward:
            cut = SLOW - whole
            self._checks.check(
                f"{name}: as many answers were held back as had lost their reservation", swept >= cut, swept
            )

    def _swept(self) -> int:
        return sum(token.account.ends["expired"] for token in self._tally.tokens.values())


@dataclass
class Stream:
    """A stream by the second, as its client saw it."""

    purchase: Purchase
    pieces: int = 0
    is_whole: bool = False

    async def watch(self, gateway: Gateway, number: int) -> None:
        """To its end, whatever that is."""
        order = Order(number, size=STREAM_PIECES * 100, pieces=STREAM_PIECES, gap_ms=PIECE_MS, is_chunked=True)
        connection = await Connection.open(gateway.front)
        try:
            connection.send(get(order.target("/seconds/"), self.purchase.credential))
            head = await connection.head()
            if head.status != 200:
                raise Gone(f"a stream is refused: {head}")
            async for _ in connection.chunks():
                self.pieces += 1
            self.is_whole = True
        except BrokenOff:
            pass
        finally:
            connection.cut()


async def load(folder: Path, seed: int, ending: Ending, checks: Checks) -> None:
    """Jumps under load."""
    await Leap(folder, seed, ending, checks).run()


async def streams(folder: Path, seed: int, ending: Ending, checks: Checks) -> None:
    """Jumps while streams are open that cost by the second."""
    clock, upstream, rng = Clock(folder), Upstream(), random.Random(f"stream {seed}")
    await upstream.start()
    config = STREAM_SERVICE.format(port=upstream.port, pack=STREAM_PACK)
    gateway = Gateway(folder, Store(), config, ending, env=clock.env)
    gateway.spawn()
    await gateway.ready()
    for turn, (offset, name) in enumerate(JUMPS[:2]):
        watched = [Stream(await buy(gateway.front, gateway.wallet, "/seconds/0")) for _ in range(STREAMS)]
        tasks = []
        for at, stream in enumerate(watched):
            tasks.append(asyncio.create_task(stream.watch(gateway, turn * STREAMS + at)))
            await asyncio.sleep(rng.uniform(0, 0.4))
        await asyncio.sleep(rng.uniform(0.2, 1.5))
        is_forward = offset > clock.offset
        clock.set(offset)
        await asyncio.gather(*tasks)
        await judge_streams(gateway, watched, name, is_forward, checks)
    checks.check("nothing panicked", "panicked" not in gateway.said())
    checks.equal("the gateway ends with 0", await gateway.stop(), 0)


async def judge_streams(gateway: Gateway, watched: list[Stream], name: str, is_forward: bool, checks: Checks) -> None:
    """What the streams were and what they cost."""
    audit = await at_rest(gateway)
    holdings = [await gateway.balance(stream.purchase.token_id) for stream in watched]
    charged = [holding["debited"] if holding else 0 for holding in holdings]
    seen = [
        (stream.pieces * PIECE_MS / 1_000, stream.is_whole, cost) for stream, cost in zip(watched, charged, strict=True)
    ]
    told = ", ".join(f"{secs:.1f} s {'whole' if whole else 'cut'} for {cost}" for secs, whole, cost in seen)
    free = [one for one in seen if one[1] and one[2] < STREAM_SECS]
    checks.check(f"{name}: no stream came whole that was not charged: {told}", not free, free)
    # A second more or less, and what a busy machine adds: an hour would be the whole pack.
    dear = [one for one in seen if one[2] > STREAM_SECS + 4]
    checks.check(f"{name}: no stream costs more than its true seconds", not dear, dear)
    if not is_forward:
        checks.check(f"{name}: every stream came whole", all(stream.is_whole for stream in watched), seen)
    checks.check(f"{name}: the books hold, nothing is open", audit["holds"] and not audit["unfinished"], audit)
