"""Child processes with a log each, ended by their own ids and no others."""

import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

# How long a process may take to end after a signal before it is killed.
END_SECS = 30
POLL_SECS = 0.05
# Below the ports that the kernel hands out by itself: a server's port stays free while it is down.
PORTS = range(20_000, 32_000)

T = TypeVar("T")


class Gone(Exception):
    """A process ended, or something did not come about in time."""


def wait_for(what: str, secs: float, ask: Callable[[], T | None]) -> T:
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + secs
    while not (answer := ask()):
        if time.monotonic() > end:
            raise Gone(f"gave up after {secs:.0f} s: {what}")
        time.sleep(POLL_SECS)
    return answer


def free_port() -> int:
    """A loopback port that nothing listens on."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def claim(folder: Path) -> None:
    """Empties a folder for this run alone, until this process ends; another run in it ends this one at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder.parent / f"{folder.name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(f"error: another run uses {folder}\n  hint: wait until it has ended") from None
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


class Process:
    """A program that can be started, killed and started again with the same command. Its output goes to `log`."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.command = command
        self.log = log
        self._env = os.environ | (env or {})
        self._child: subprocess.Popen | None = None

    @property
    def pid(self) -> int | None:
        """The id while it runs."""
        return self._child.pid if self.alive() else None

    def alive(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Starts it, in a session of its own: Ctrl-C at the terminal is for the test, which then ends its children."""
        assert not self.alive(), f"{self.command[0]} runs already"
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self.command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Sends a signal if it runs."""
        if self.alive():
            self._child.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        """Ends it and waits for that; the exit code (negative: the signal), none if it never ran."""
        if self._child is None:
            return None
        self.send(number)
        try:
            return self._child.wait(END_SECS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()

    def expect_alive(self) -> None:
        """Raises with the end of the log if it does not run."""
        if not self.alive():
            tail = "\n".join(self.said().splitlines()[-20:])
            raise Gone(f"{Path(self.command[0]).name} ended ({self.log}):\n{tail}")

    def said(self, since: int = 0) -> str:
        """What it has written, from a byte of its log on."""
        return self.log.read_bytes()[since:].decode(errors="replace") if self.log.exists() else ""

    def mark(self) -> int:
        """Where its log ends now, for `said`."""
        return self.log.stat().st_size if self.log.exists() else 0


class Ending:
    """Ends what was given to it, last first, on the way out of a `with` block, whatever happened in it."""

    def __init__(self) -> None:
        self._ends: list[Callable[[], object]] = []

    def add(self, end: Callable[[], object]) -> None:
        """Calls `end` at the end."""
        self._ends.append(end)

    def __enter__(self) -> "Ending":
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        return self

    def __exit__(self, *_: object) -> None:
        # From here on nothing may keep the children alive.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        while self._ends:
            try:
                self._ends.pop()()
            except Exception as error:  # the others have to be ended all the same
                print(f"while ending: {error}")


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
