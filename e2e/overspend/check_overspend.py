"""A thousand requests at once for a token that has a hundred units, over one gateway or several.

`python3 check_overspend.py [ROUNDS]`. `run` beside this file builds what it needs.
"""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from pathlib import Path

import http2
from metered import http1, loop
from metered.gateway import Gateway, Store
from metered.http1 import Answer, get
from metered.purchase import buy
from metered.upstream import Order, Upstream, body_of
from regtest.process import Ending, claim
from stage.checks import Checks

PACK = 100
REQUESTS = 1_000
CONNECTIONS = 125
# Half of the answers take the upstream this long, so that units are set aside and not yet charged while others ask.
WAIT_MS = 20
PREFIX = "/metered/"
SERVICES = """\
  - name: metered
    path: {prefix}
    upstream: http://127.0.0.1:{port}
    price: 10 sat
    meter: {{ unit: request, pack: {pack}, cost: 1 }}
"""


class Shop:
    """Gateways that sell the same, with one set of keys and one ledger."""

    def __init__(self, folder: Path, store: Store, upstream: Upstream, count: int, ending: Ending) -> None:
        services = SERVICES.format(prefix=PREFIX, port=upstream.port, pack=PACK)
        keys = folder / "keys"
        self.gateways = [Gateway(folder / f"{number}", store, services, ending, keys=keys) for number in range(count)]
        self.upstream = upstream

    async def start(self) -> None:
        """One after the other: the first one makes keys and tables."""
        for gateway in self.gateways:
            gateway.spawn()
            await gateway.ready()

    async def rush(self, credential: str, first: int, is_http2: bool) -> list[Answer]:
        """All requests of a round at once: each connection sends what it has before it reads the first answer."""
        ports = [self.gateways[at % len(self.gateways)].front for at in range(CONNECTIONS)]
        opening = http2.Connection.open if is_http2 else http1.Connection.open
        connections = await asyncio.gather(*map(opening, ports))
        share = REQUESTS // CONNECTIONS
        for at, connection in enumerate(connections):
            numbers = range(first + at * share, first + (at + 1) * share)
            targets = [self.order(number).target(PREFIX) for number in numbers]
            if is_http2:
                connection.send(targets, credential)
            else:
                connection.send(b"".join(get(target, credential) for target in targets))

        async def answers(connection: http1.Connection) -> list[Answer]:
            return [await connection.answer() for _ in range(share)]

        try:
            reading = [connection.answers() if is_http2 else answers(connection) for connection in connections]
            return [answer for got in await asyncio.gather(*reading) for answer in got]
        finally:
            for connection in connections:
                connection.cut()

    def order(self, number: int) -> Order:
        """What is asked for by the request of this number."""
        return Order(number, size=64 + number % 512, wait_ms=WAIT_MS * (number % 2))


async def round_of(shop: Shop, first: int, is_http2: bool) -> list[str]:
    """Buys a pack and spends it ten times over. What was not as it must be; empty if all was well."""
    gateway = shop.gateways[first // REQUESTS % len(shop.gateways)]
    purchase = await buy(gateway.front, gateway.wallet, f"{PREFIX}0")
    answers = await shop.rush(purchase.credential, first, is_http2)
    # Asked at once: whoever has the last byte of an answer has been charged for it.
    said = await gateway.balance(purchase.token_id)

    numbers = range(first, first + REQUESTS)
    seen = [number for number in numbers for _ in range(shop.upstream.seen[number])]
    bodies = {number: body_of(shop.order(number)) for number in numbers}
    served = [number for number, answer in zip(numbers, answers, strict=True) if answer.head.status == 200]
    statuses = Counter(answer.head.status for answer in answers)
    reasons = Counter(answer.reason() for answer in answers if answer.head.status == 402)
    whole = all(answers[number - first].body == bodies[number] for number in served)
    balances = sorted(int(answers[number - first].head.get("l402-balance") or -1) for number in served)
    booked = said and {name: said[name] for name in ("credited", "debited", "balance", "reserved", "unfinished")}
    empty = {"credited": PACK, "debited": PACK, "balance": 0, "reserved": 0, "unfinished": []}
    facts = [
        (statuses == {200: PACK, 402: REQUESTS - PACK}, f"answers: {dict(statuses)}"),
        (reasons == {"exhausted": REQUESTS - PACK}, f"refused as {dict(reasons)}"),
        (whole, "an answer is not the upstream's body, or not all of it"),
        (seen == served, f"{len(seen)} requests reached the upstream, {len(served)} were served"),
        (balances[:1] == [0] and balances[-1] < PACK, f"balances told: {balances}"),
        (booked == empty, f"the ledger: {said}"),
    ]
    return [fault for holds, fault in facts if not holds]


async def trial(rounds: int, count: int, folder: Path, store: Store, ending: Ending, checks: Checks) -> None:
    """All rounds; a line for each."""
    upstream = Upstream()
    await upstream.start()
    shop = Shop(folder, store, upstream, count, ending)
    await shop.start()
    began = time.monotonic()
    for number in range(rounds):
        since = time.monotonic()
        is_http2 = number % 2 == 1
        faults = await round_of(shop, number * REQUESTS, is_http2)
        protocol = "HTTP/2" if is_http2 else "HTTP/1.1"
        name = f"round {number + 1}, {protocol}: {PACK} served, {REQUESTS - PACK} refused, {PACK} seen, none left"
        checks.check(f"{name} ({time.monotonic() - since:.1f} s)", not faults, faults)
    print(f"{rounds} rounds in {time.monotonic() - began:.0f} s")
    audit = await shop.gateways[0].check()
    sums = {name: audit[name] for name in ("holds", "purchases", "credited", "debited", "balance", "unfinished")}
    units = rounds * PACK
    expected = {"holds": True, "purchases": rounds, "credited": units, "debited": units, "balance": 0, "unfinished": 0}
    checks.equal("every invariant of the ledger holds, and every unit is spent", sums, expected)
    for at, gateway in enumerate(shop.gateways):
        checks.equal(f"gateway {at + 1} ends with 0", await gateway.stop(), 0)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("rounds", nargs="?", type=int, default=50)
    rounds = options.parse_args().rounds
    store = Store()
    count = int(os.environ.get("GATEWAYS", "1"))
    if count < 1 or rounds < 1:
        raise SystemExit("error: no gateway, or no round\n  hint: GATEWAYS=1 and up, rounds 1 and up")
    if count > 1 and not store.is_shared:
        raise SystemExit("error: a ledger in SQLite is one gateway's own\n  hint: LEDGER=postgres")
    folder = Path(os.environ["TARGET"]) / "e2e" / "overspend" / "run"
    claim(folder)
    print(f"{REQUESTS} requests at once over {CONNECTIONS} connections, gateways {count}, ledger {store}", flush=True)
    checks = Checks()
    with Ending() as ending:
        loop.run(trial(rounds, count, folder, store, ending, checks))
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
