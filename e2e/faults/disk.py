"""A disk that fails under load, or is full: the ledger stops, everything that needs it is refused, the rest goes
on, and a start on a sound disk finds every unit.
"""

import asyncio
import random
from pathlib import Path

from books import Books
from copies import State
from metered.gateway import Gateway, Store
from metered.http1 import Answer, Connection, get
from metered.upstream import Upstream
from patrons import ALL_LAWS, FaultTally, Patrons, at_rest, services
from regtest.process import Ending, wait_for
from stage.checks import Checks
from trouble import ERRORS, SYNC, WRITE, FailingCalls, FullDisk, Trouble

DISK_TRIALS = 24
FULL_TRIALS = 6
DISK_SIZE = "32m"
LOAD_SECS = (0.1, 0.6)
# How long the load goes on while the ledger stands still.
DOWN_SECS = 0.2
BROKEN_SECS = 20
POLL_SECS = 0.01


class Ordeal:
    """One ledger, one gateway after the other on it, one trouble each."""

    def __init__(self, folder: Path, seed: str, ending: Ending, checks: Checks) -> None:
        self._folder = folder
        self._checks = checks
        self._ending = ending
        self.rng = random.Random(seed)
        self.upstream = Upstream()
        self.tally = FaultTally(self.upstream)

    async def prepare(self, wrapper: tuple[str, ...] = ()) -> None:
        """Everything but the gateway's process."""
        await self.upstream.start()
        self.services = services(self.upstream)
        self.gateway = self.at_hand(wrapper)
        self._crowd = Patrons(self.gateway, self.tally, self.upstream, self.rng)
        self._books = Books(self.gateway, self.tally, False, self.rng)

    def at_hand(self, wrapper: tuple[str, ...]) -> Gateway:
        """A gateway in this ordeal's folder that is not started."""
        return Gateway(self._folder, Store(), self.services, self._ending, wrapper=wrapper)

    async def trial(self, number: int, trouble: Trouble) -> None:
        """One start, one trouble, one end."""
        tally, gateway, before = self.tally, self.gateway, self.tally.counts.copy()
        await self._begin()
        await asyncio.sleep(self.rng.uniform(*LOAD_SECS))
        tally.is_troubled = True
        await trouble.begin(gateway)
        faults = [] if await self._is_down() else [f"/readyz is not 503 after {BROKEN_SECS} s"]
        await asyncio.sleep(DOWN_SECS)
        if not faults:
            faults += await self._judge_down()
        is_mended = self.rng.random() < 0.5
        if is_mended and not faults:
            await trouble.mend(gateway)
            faults += [f"{fault}, after the disk was mended" for fault in await self._judge_down()]
        by_kill = self.rng.random() < 0.5
        await self._crowd.end(by_kill)
        code = None if by_kill else await gateway.stop()
        if code not in (None, 0):
            faults.append(f"it ended with {code} when it was let")
        await trouble.mend(gateway)
        tally.is_troubled = False
        tally.rest()
        # The dead one's ledger has open reservations perhaps, and no unit is missing.
        tally.judge_sums(await gateway.check())
        count = {name: tally.counts[name] - before[name] for name in tally.counts}
        told = f"{count.get('turned away', 0)} turned away, {count.get('broken off by a kill', 0)} broken off"
        mended = ", mended meanwhile" if is_mended else ""
        end = "killed" if by_kill else "let go"
        self._checks.check(f"trial {number}: {trouble.name}{mended}, {end}: {told}", not faults, faults)

    async def close(self) -> None:
        """One more start, where everything is as if nothing had been; the laws are judged."""
        tally, before = self.tally, self.tally.counts.copy()
        await self._begin()
        await asyncio.sleep(LOAD_SECS[1])
        await self._crowd.end(by_kill=False)
        tally.rest()
        await at_rest(self.gateway)
        await self._books.look(self._crowd.in_use())
        await self._books.balances()
        served = tally.counts["whole answers"] - before["whole answers"]
        self._checks.check(f"service goes on on a sound disk: {served} answers", served > 0)
        self._checks.equal("the gateway ends with 0", await self.gateway.stop(), 0)
        for law in ALL_LAWS:
            self._checks.check(law, law not in tally.faults, tally.faults.get(law))
        print("  " + ", ".join(f"{count} {name}" for name, count in sorted(tally.counts.items())))
        # A trouble that hit nobody would prove nothing.
        hit = {
            name: tally.counts[name] for name in ("turned away", "broken off by a kill", "flat-rate answers in trouble")
        }
        self._checks.check("requests were under way, before and after the ledger stood still", all(hit.values()), hit)

    async def state(self, load_secs: float, by_kill: bool) -> State:
        """File and log after some load: a killed gateway's log is what the next start has to write into the file."""
        await self._begin()
        await asyncio.sleep(load_secs)
        await self._crowd.end(by_kill)
        self.tally.rest()
        if not by_kill:
            await self.gateway.stop()
        return State.of(self._folder / "data")

    async def refused_start(self, gateway: Gateway, name: str) -> None:
        """A start on a disk that fails: refused, with the file and what to do."""
        gateway.spawn()
        code = await gateway.refusal()
        said = gateway.said()
        is_clear = code not in (None, 0) and "ledger.sqlite" in said and "hint" in said and "panicked" not in said
        self._checks.check(f"no start while {name}", is_clear, (code, said[-1_000:]))
        if code is None:
            await gateway.stop()

    async def _begin(self) -> None:
        self.gateway.spawn()
        await self.gateway.ready()
        await self._books.look(self._crowd.in_use())
        self._crowd.begin()
        await asyncio.to_thread(wait_for, "a token", BROKEN_SECS, self._crowd.in_use)

    async def ask_ops(self, path: str) -> Answer:
        """What the operator's listener says."""
        connection = await Connection.open(self.gateway.ops)
        try:
            connection.send(get(path))
            return await connection.answer()
        finally:
            connection.cut()

    async def _is_down(self) -> bool:
        try:
            async with asyncio.timeout(BROKEN_SECS):
                while (await self.ask_ops("/readyz")).head.status != 503:
                    await asyncio.sleep(POLL_SECS)
        except TimeoutError:
            return False
        return True

    async def _judge_down(self) -> list[str]:
        """What a gateway whose ledger stands still does not do as it must."""
        ready, alive = await self.ask_ops("/readyz"), await self.ask_ops("/healthz")
        ledger = ready.json()["parts"]["ledger"]
        await self._crowd.turned_away()
        facts = [
            (ready.head.status == 503, f"/readyz answers {ready.head.status}"),
            (ledger.get("state") == "broken" and ledger.get("error") and ledger.get("hint"), f"/readyz says {ledger}"),
            (alive.head.status == 200, f"/healthz answers {alive.head.status}"),
            (self.gateway.pid is not None, "the gateway ended"),
            ("panicked" not in self.gateway.said(), "something panicked"),
        ]
        return [fault for holds, fault in facts if not holds]


async def failing(folder: Path, seed: int, ending: Ending, checks: Checks) -> None:
    """Writes and syncs that fail."""
    ordeal = Ordeal(folder, f"disk {seed}", ending, checks)
    await ordeal.prepare(FailingCalls.wrapper(folder))
    kinds = [(point, how) for how in ("once", "from then on", "now and then") for point in (WRITE, SYNC)]
    errors = list(ERRORS)
    for number in range(DISK_TRIALS):
        point, how = kinds[number % len(kinds)]
        error = errors[(number + number // len(kinds)) % len(errors)]
        await ordeal.trial(number + 1, FailingCalls(folder, point, error, how))
        if ordeal.tally.faults:
            break
    await ordeal.state(LOAD_SECS[0], by_kill=True)
    for point in (WRITE, SYNC):
        broken = ordeal.at_hand(
            FailingCalls.wrapper(folder, f"enable name={point},failinfo={ERRORS['EIO']},failnum=-1")
        )
        await ordeal.refused_start(broken, {WRITE: "writes fail", SYNC: "syncs fail"}[point])
    await ordeal.close()


async def full(folder: Path, seed: int, ending: Ending, checks: Checks) -> None:
    """A disk without space."""
    ordeal = Ordeal(folder, f"full {seed}", ending, checks)
    await ordeal.prepare()
    # The first start makes folder and keys.
    ordeal.gateway.spawn()
    await ordeal.gateway.ready()
    await ordeal.gateway.stop()
    FullDisk.move_to(folder / "data", DISK_SIZE)
    for number in range(FULL_TRIALS):
        await ordeal.trial(number + 1, FullDisk(folder / "data", ordeal.rng.randrange(200_000)))
        if ordeal.tally.faults:
            break
    await ordeal.state(LOAD_SECS[0], by_kill=True)
    nothing = FullDisk(folder / "data", 0)
    await nothing.begin(ordeal.gateway)
    await ordeal.refused_start(ordeal.gateway, nothing.name)
    await nothing.mend(ordeal.gateway)
    await ordeal.close()
