"""Copies of a ledger that somebody made with `cp`, cut, mixed and damaged; and what may be said of them.

What a copy holds is judged by the journal that the whole ledger exported, and by the `integrity_check` of the SQLite in
Python, which shares no code with the gateway's.
"""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

PAGE = 4096
LEDGER = "ledger.sqlite"
LOG = "ledger.sqlite-wal"


@dataclass(frozen=True)
class State:
    """File and log of one moment."""

    file: bytes
    log: bytes

    @classmethod
    def of(cls, data: Path) -> "State":
        """As they lie in a data folder that nobody uses."""
        log = data / LOG
        return cls((data / LEDGER).read_bytes(), log.read_bytes() if log.exists() else b"")


@dataclass(frozen=True)
class Copy:
    """A copy that somebody starts a gateway with."""

    name: str
    state: State

    def put(self, data: Path, keys: Path) -> None:
        """Lays it into a new data folder, with its key file."""
        data.mkdir(parents=True, mode=0o700)
        shutil.copy2(keys, data / "keys")
        for name, content in ((LEDGER, self.state.file), (LOG, self.state.log)):
            if content or name == LEDGER:
                (data / name).write_bytes(content)
                (data / name).chmod(0o600)

    def is_sound(self, folder: Path) -> bool:
        """Whether SQLite finds nothing wrong with it: every page, every row, every index."""
        folder.mkdir(parents=True)
        for name, content in ((LEDGER, self.state.file), (LOG, self.state.log)):
            if content:
                (folder / name).write_bytes(content)
        try:
            with closing(sqlite3.connect(folder / LEDGER)) as connection:
                return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        except sqlite3.DatabaseError:
            return False


def pages(file: bytes) -> list[bytes]:
    """A file by its pages."""
    return [file[at : at + PAGE] for at in range(0, len(file), PAGE)]


def cut(rng: random.Random, content: bytes) -> bytes:
    """Less of it, at any byte or at the end of a page."""
    at = rng.randrange(1, len(content))
    return content[: at if rng.random() < 0.5 else max(PAGE, at - at % PAGE)]


def zeroed(rng: random.Random, content: bytes) -> bytes:
    """Some pages were never written."""
    parts = pages(content)
    for at in rng.sample(range(len(parts)), rng.randrange(1, 4)):
        parts[at] = bytes(len(parts[at]))
    return b"".join(parts)


def swapped(rng: random.Random, content: bytes) -> bytes:
    """Two pages are where the other one belongs."""
    parts = pages(content)
    one, other = rng.sample(range(1, len(parts)), 2)
    parts[one], parts[other] = parts[other], parts[one]
    return b"".join(parts)


def changed(rng: random.Random, content: bytes) -> bytes:
    """A few bytes have other values."""
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 9)):
        changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
    return bytes(changed)


def mixed(rng: random.Random, older: bytes, newer: bytes) -> bytes:
    """The file changed while it was copied: some of its pages are of an earlier moment."""
    old, new = pages(older), pages(newer)
    at = rng.randrange(1, min(len(old), len(new)))
    return b"".join(old[:at] + new[at:] if rng.random() < 0.5 else new[:at] + old[at:])


def copies(rng: random.Random, older: State, newer: State, folded: State, each: int) -> Iterator[Copy]:
    """`older` and `newer` are moments with a log; `folded` is a later one whose log is in its file."""
    ways: list[tuple[str, Callable[[], State]]] = [
        ("the file, cut", lambda: State(cut(rng, folded.file), b"")),
        ("the file with pages of zeros", lambda: State(zeroed(rng, folded.file), b"")),
        ("the file with two pages swapped", lambda: State(swapped(rng, folded.file), b"")),
        ("the file with other bytes", lambda: State(changed(rng, folded.file), b"")),
        ("the file, copied while it changed", lambda: State(mixed(rng, older.file, folded.file), b"")),
        ("the log, cut", lambda: State(newer.file, cut(rng, newer.log))),
        ("the log with other bytes", lambda: State(newer.file, changed(rng, newer.log))),
    ]
    fixed = [
        ("the file without its log", State(newer.file, b"")),
        ("an older log beside the file", State(folded.file, older.log)),
        ("a later log beside the file", State(older.file, newer.log)),
        ("an empty file", State(b"", b"")),
        ("an empty file with its log", State(b"", newer.log)),
    ]
    yield Copy("the file with its log", newer)
    for name, state in fixed:
        yield Copy(name, state)
    for name, make in ways:
        for number in range(each):
            yield Copy(f"{name}; {number + 1}", make())
