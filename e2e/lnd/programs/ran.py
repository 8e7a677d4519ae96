"""A command that ran to its end."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# No command of these tests may take longer.
COMMAND_SECS = 120


@dataclass(frozen=True)
class Ran:
    """How a command ended, what it said, and how long it took."""

    code: int
    out: bytes
    err: str
    secs: float

    def text(self) -> str:
        """Both outputs as text."""
        return self.out.decode(errors="replace") + self.err

    def says(self, *words: str) -> bool:
        """Whether all of these stand in its output, in any case."""
        text = self.text().lower()
        return all(word.lower() in text for word in words)


def run(command: list[str], folder: Path, env: dict[str, str]) -> Ran:
    """Runs a command in a folder, with `env` over this process's environment."""
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env=os.environ | env, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECS
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode(errors="replace"), time.monotonic() - started)
