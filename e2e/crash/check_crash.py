"""The gateway is killed again and again under metered load; the observer in this program keeps the accounts.

`python3 check_crash.py [KILLS] [SEED]`. `run` beside this file builds what it needs.
"""

import argparse
import asyncio
import os
import random
import secrets
import sys
import time
from pathlib import Path

from books import Books
from crowd import Crowd
from metered import loop
from metered.gateway import Gateway, Store
from metered.upstream import Upstream
from regtest.process import Ending, Gone, claim
from stage.checks import Checks
from tally import LAWS, OPEN, Service, Tally, Token

FIXED = Service(name="fixed", prefix="/fixed/", pack=150, estimate=1, is_fixed=True)
COUNTED = Service(name="counted", prefix="/counted/", pack=600, estimate=10, is_fixed=False)

# How long the load lasts between two kills, in seconds.
LOAD_SECS = (0.05, 1.2)
# One kill in so many comes while the gateway starts; before one in so many restarts the dead one's ledger is read.
STARTING_EVERY = 8
DEAD_EVERY = 5
TOLD_EVERY = 10
# On a shared ledger what a dead gateway left open ends when no request could still be served: `timeouts.whole`, and 15
# seconds for its bill to arrive. Then the sweeper has to come by.
WHOLE_SECS_SHARED = 2
OPEN_SECS_SHARED = WHOLE_SECS_SHARED + 15 + 15
OPEN_SECS = 15
# What else a run may fail by.
ENDS = "gateway and commands start, answer and end as they are told"


class Trial:
    """One run from the first start to the last look."""

    def __init__(self, folder: Path, store: Store, seed: int, ending: Ending) -> None:
        self._folder = folder
        self._ending = ending
        self._store = store
        self._plan = random.Random(f"kills {seed}")
        self._seed = seed
        self.upstream = Upstream()
        self.tally = Tally(self.upstream)
        self.starting = 0
        self.start_secs: list[float] = []

    async def run(self, kills: int) -> None:
        """Everything, kill by kill. Ends early once something is not as it must be."""
        await self.upstream.start()
        services = "".join(service.yaml(self.upstream.port) for service in (FIXED, COUNTED))
        whole_secs = WHOLE_SECS_SHARED if self._store.is_shared else 60
        self.gateway = Gateway(self._folder / "gateway", self._store, services, self._ending, whole_secs=whole_secs)
        self.crowd = Crowd(self.gateway, self.tally, [FIXED, COUNTED], random.Random(f"load {self._seed}"))
        self.books = Books(self.gateway, self.tally, self._store.is_shared, self._plan)
        began = time.monotonic()
        for kill in range(1, kills + 1):
            if self._plan.randrange(STARTING_EVERY) == 0 and kill > 1:
                await self._kill_starting()
            else:
                await self._start()
                await self._look()
                self.crowd.begin()
                await asyncio.sleep(self._plan.uniform(*LOAD_SECS))
                await self.crowd.end(by_kill=True)
                self.tally.rest()
            if self._plan.randrange(DEAD_EVERY) == 0:
                # Requests are open in it, and all the same no unit is missing.
                self.tally.judge_sums(await self.gateway.check())
            if kill % TOLD_EVERY == 0 or kill == kills:
                print(f"  kill {kill} of {kills}, {time.monotonic() - began:.0f} s: {self.told()}", flush=True)
            if self.tally.faults:
                return
        await self._start()
        await self._look()
        await self._close()

    def told(self) -> str:
        """What happened so far."""
        return ", ".join(f"{count} {name}" for name, count in sorted(self.tally.counts.items()))

    async def _start(self) -> None:
        since = time.monotonic()
        self.gateway.spawn()
        await self.gateway.ready()
        self.start_secs.append(time.monotonic() - since)

    async def _kill_starting(self) -> None:
        self.gateway.spawn()
        await asyncio.sleep(self._plan.uniform(0, 1.2) * max(self.start_secs[-5:]))
        self.gateway.kill()
        self.starting += 1

    async def _look(self) -> None:
        await self.books.look(self.crowd.in_use())

    async def _close(self) -> None:
        """The last load ends in peace; then every account is looked at, and one balance is spent to its last unit."""
        self.crowd.begin()
        await asyncio.sleep(LOAD_SECS[1])
        await self.crowd.end(by_kill=False)
        end = time.monotonic() + (OPEN_SECS_SHARED if self._store.is_shared else OPEN_SECS)
        while (await self.gateway.check())["unfinished"]:
            if time.monotonic() > end:
                self.tally.fault(OPEN, await self.gateway.check())
                break
            await asyncio.sleep(0.2)
        self.tally.rest()
        await self._look()
        await self._spend_the_rest()
        self.tally.rest()
        await self._look()
        await self.books.balances()
        whole = await self.gateway.export()
        self.exported = whole[-1] == self.tally.last_line, len(whole)
        self.code = await self.gateway.stop()

    async def _spend_the_rest(self) -> None:
        """The token that is nearest to its half is spent to its last unit."""
        token = min(self._fixed(), key=lambda token: abs(FIXED.pack - 2 * token.account.debited))
        self.rest = FIXED.pack - token.account.debited
        self.is_spent = await self.crowd.spend(token, self.rest)

    def _fixed(self) -> list[Token]:
        return [token for token in self.tally.tokens.values() if token.service is FIXED and token.account.credits]


def verdict(trial: Trial, kills: int, checks: Checks) -> None:
    """One line for each law, and whether the trial was one at all."""
    tally, counts = trial.tally, trial.tally.counts
    print(
        f"\n{trial.told()}\n{trial.books.looks} looks at the ledger, "
        f"{trial.starting} kills of a gateway that was starting, "
        f"starts of {min(trial.start_secs):.2f} to {max(trial.start_secs):.2f} s"
    )
    for law in LAWS:
        checks.check(law, law not in tally.faults, tally.faults.get(law))
    if tally.faults:
        return
    debited = sum(token.account.debited for token in tally.tokens.values())
    print(f"  {debited} units charged: {counts['units served']} for whole answers, the others for some that broke off")
    same, lines = trial.exported
    checks.check(f"a whole export is the sum of the parts that were read before: {lines} lines", same)
    checks.check(f"a balance of {trial.rest} units buys {trial.rest} answers, and no more", trial.is_spent)
    checks.equal("the gateway ends with 0 when it is let", trial.code, 0)
    # Kills that hit nobody would prove nothing.
    hit = counts["broken off by a kill"]
    checks.check(f"requests were under way when it was killed: {hit}", hit >= kills // 2, hit)
    checks.check("packs were bought all the time", counts["packs bought"] >= kills // 2, counts["packs bought"])


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("kills", nargs="?", type=int, default=150)
    options.add_argument("seed", nargs="?", type=int)
    chosen = options.parse_args()
    if chosen.kills < 1:
        options.error("there has to be a kill")
    store = Store()
    seed = secrets.randbelow(1_000_000) if chosen.seed is None else chosen.seed
    folder = Path(os.environ["TARGET"]) / "e2e" / "crash"
    claim(folder)
    again = f"e2e/crash/run {'--postgres ' if store.is_shared else ''}{chosen.kills} {seed}"
    print(f"{chosen.kills} kills, ledger {store}, seed {seed} (again: {again})", flush=True)
    checks = Checks()
    with Ending() as ending:
        trial = Trial(folder, store, seed, ending)
        try:
            loop.run(trial.run(chosen.kills))
        except Gone as trouble:
            checks.check(f"{ENDS}: {trouble}", fact=False)
        else:
            verdict(trial, chosen.kills, checks)
    if checks.failed:
        print(f"everything as it was: {folder}; again: {again}")
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
