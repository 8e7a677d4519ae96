"""Torn copies of a ledger: each is refused with a clear word, or found broken, or it is an earlier moment as it was."""

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from copies import LEDGER, Copy, copies
from disk import Ordeal
from metered.gateway import Gateway, Store
from regtest.process import Ending
from stage.checks import Checks

EACH = 8
LOAD_SECS = (1.0, 1.5, 1.0)
# What of a line of the journal is money, and where it is.
MONEY = ("line", "account", "credited", "charged", "credited_sum", "debited_sum")
# More of them say nothing new.
FAULTS_MAX = 6

ENDS = "commands and gateways end as they should, and none panics"
EARLIER = (
    "a copy that `octroi ledger check` passes is the whole ledger of one moment, and SQLite finds no fault with it"
)
SERVED = "a copy that it passes can be served, and passes it again afterwards"
UNSERVED = "a copy that it does not pass is not served, or not without saying so"
CLEAR = "whoever refuses a copy names the file and says what to do"
LAWS = (ENDS, EARLIER, SERVED, UNSERVED, CLEAR)


@dataclass(frozen=True)
class Word:
    """What `octroi ledger check` says of a copy: `holds`, `broken` or `refused`, and in which words."""

    kind: str
    text: str

    @classmethod
    async def of(cls, gateway: Gateway) -> "Word":
        """Asks."""
        code, out, err = await gateway.ask("check", "--json")
        text = (out + err).decode(errors="replace")
        return cls("refused" if not out else "broken" if code else "holds", text)


class Judge:
    """Holds each copy against the ledger that it was made of."""

    def __init__(self, folder: Path, keys: Path, journal: list[dict], services: str, ending: Ending) -> None:
        self._folder = folder
        self._keys = keys
        self._journal = [money(line) for line in journal]
        self._services = services
        self._ending = ending
        self.faults: dict[str, list[str]] = {}
        self.outcomes: Counter[tuple[str, str]] = Counter()

    async def judge(self, number: int, copy: Copy) -> None:
        """Looks at it with the commands, and starts a gateway with another one that is the same."""
        folder = self._folder / f"{number:02}"
        looked, served = self._lay(folder / "looked", copy), self._lay(folder / "served", copy)
        word = await Word.of(looked)
        if word.kind == "holds":
            await self._judge_sound(copy, looked, copy.is_sound(folder / "sqlite"))
        elif word.kind == "refused":
            self._judge_clear(copy, word.text)
        await self._judge_start(copy, served, word)

    def told(self) -> list[str]:
        """One line for each kind of copy."""
        kinds = dict.fromkeys(kind for kind, _ in self.outcomes)
        outcomes = {kind: [(what, n) for (of, what), n in self.outcomes.items() if of == kind] for kind in kinds}
        return [f"{kind}: {', '.join(f'{n} {what}' for what, n in told)}" for kind, told in outcomes.items()]

    def _lay(self, folder: Path, copy: Copy) -> Gateway:
        copy.put(folder / "data", self._keys)
        return Gateway(folder, Store(), self._services, self._ending)

    async def _judge_sound(self, copy: Copy, gateway: Gateway, is_sound: bool) -> None:
        code, out, err = await gateway.ask("export")
        lines = [money(json.loads(text)) for text in out.splitlines()]
        if code or lines != self._journal[: len(lines)]:
            found = "nothing" if is_sound else "damage"
            self._fault(EARLIER, copy, f"its journal is none that ever was, and SQLite finds {found}; {code} {err!r}")
        elif not is_sound:
            self._fault(EARLIER, copy, "SQLite's integrity_check fails")

    async def _judge_start(self, copy: Copy, gateway: Gateway, word: Word) -> None:
        gateway.spawn()
        code = await gateway.refusal()
        said = gateway.said()
        if code is None:
            again = await Word.of(gateway)
            if word.kind == "holds" and again.kind != "holds":
                self._fault(SERVED, copy, again.text)
            elif word.kind != "holds" and not warns(said):
                self._fault(UNSERVED, copy, f"check: {word.text[:200]}")
            if code := await gateway.stop():
                self._fault(ENDS, copy, f"the gateway ended with {code}: {gateway.said()[-300:]}")
        elif word.kind == "holds":
            self._fault(SERVED, copy, said[-300:])
        else:
            self._judge_clear(copy, said)
        if "panicked" in word.text + gateway.said() or (code or 0) < 0:
            self._fault(ENDS, copy, gateway.said()[-300:])
        start = "served" if "octroi ready" in said else "not served"
        self.outcomes[copy.name.partition(";")[0], f"{word.kind} and {start}"] += 1

    def _judge_clear(self, copy: Copy, text: str) -> None:
        if "error:" not in text or "hint:" not in text or LEDGER not in text:
            self._fault(CLEAR, copy, text[-300:])

    def _fault(self, law: str, copy: Copy, evidence: str) -> None:
        self.faults.setdefault(law, []).append(f"{copy.name}: {evidence}")


def money(line: dict) -> tuple:
    """What counts of a line."""
    return tuple(line.get(name) for name in MONEY)


def warns(said: str) -> bool:
    """Whether a gateway that serves has said that something is wrong with its ledger."""
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return any(line["level"] in ("WARN", "ERROR") and "ledger" in json.dumps(line) for line in lines)


async def torn(folder: Path, seed: int, ending: Ending, checks: Checks) -> None:
    """Makes a ledger under load, copies it badly in many ways, and looks what becomes of the copies."""
    ordeal = Ordeal(folder / "whole", f"copy {seed}", ending, checks)
    await ordeal.prepare()
    older, newer, folded = [
        await ordeal.state(secs, by_kill) for secs, by_kill in zip(LOAD_SECS, (True, True, False), strict=True)
    ]
    journal = await ordeal.gateway.export()
    judge = Judge(folder, folder / "whole" / "data" / "keys", journal, ordeal.services, ending)
    for number, copy in enumerate(copies(random.Random(f"copies {seed}"), older, newer, folded, EACH)):
        await judge.judge(number, copy)
        await asyncio.sleep(0)
    for line in judge.told():
        print(f"  {line}")
    for law in LAWS:
        faults = judge.faults.get(law, [])
        checks.check(law, not faults, (len(faults), faults[:FAULTS_MAX]))
    count = sum(count for (_, what), count in judge.outcomes.items() if what.startswith("holds"))
    checks.check(
        f"some copies passed, some did not: {count} of {judge.outcomes.total()}", 0 < count < judge.outcomes.total()
    )
