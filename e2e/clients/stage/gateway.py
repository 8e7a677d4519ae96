"""`octroi run` as a child process."""

import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

# Longest wait for the line that says the gateway is ready, and for its drain after SIGTERM.
READY_SECS = 30
DRAIN_SECS = 20

ROOT = Path(__file__).resolve().parents[3]

# With one service of five lines these are the twelve lines that a gateway needs.
CONFIG = """\
listen: 127.0.0.1:0
data_dir: {folder}/data
lightning:
  backend: loopback
  loopback: {{ wallet: 127.0.0.1:0 }}
limits: {{ mint: {{ per_network: 600/min }} }}
services:
"""


class StartFailed(Exception):
    """The gateway did not start; what it said."""


def binary() -> Path:
    """The gateway's binary: `OCTROI_BIN`, or what `cargo build --release -p octroi` makes."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return Path(os.environ.get("OCTROI_BIN", target / "release" / "octroi"))


class Gateway:
    """A gateway with new keys whose wallet door is open, from construction until `stop`.

    `services` is the YAML list of services. Everything written lies in `folder`. It logs all that it can, so that a
    secret in the log would be found.
    """

    def __init__(self, services: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / "data", ignore_errors=True)
        self._log = folder / "octroi.log"
        self.config = folder / "octroi.yaml"
        self.config.write_text(CONFIG.format(folder=folder) + services)
        self._process = subprocess.Popen(
            [str(binary()), "run", "--config", str(self.config), "--log", "json"],
            env=os.environ | {"OCTROI_LOG": "trace"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._urls: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._ready.wait(READY_SECS)
        if len(self._urls) != 2:
            self.stop()
            raise StartFailed(f"no ready line with the listener's and the wallet's address:\n{self.said()[-4000:]}")
        self.url, self.wallet_url = self._urls

    def stop(self) -> int:
        """Lets the gateway drain and returns its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(DRAIN_SECS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(DRAIN_SECS)
        return code

    def said(self) -> str:
        """Everything that the gateway has written so far."""
        return self._log.read_text()

    def _read(self) -> None:
        """Copies the gateway's output to its log; finds the line that says it is ready and names the addresses."""
        with self._log.open("w", buffering=1) as log:
            for line in self._process.stdout:
                log.write(line)
                if "octroi ready" in line and not self._ready.is_set():
                    self._urls = re.findall(r"http://127\.0\.0\.1:\d+", line)
                    self._ready.set()
        self._ready.set()
