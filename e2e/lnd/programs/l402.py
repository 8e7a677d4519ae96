"""`l402 get` as one buyer: a home of its own, a wallet, and nothing of the environment's."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from regtest.lnd import Lnd

from .ran import Ran, run


def grpc_wallet(node: Lnd, macaroon: Path) -> str:
    """A wallet URL for lnd's gRPC interface."""
    return f"lnd://127.0.0.1:{node.grpc}?macaroon={macaroon}&cert={node.certificate}"


def rest_wallet(node: Lnd, macaroon: Path) -> str:
    """A wallet URL for lnd's REST interface."""
    return f"lnd+https://127.0.0.1:{node.rest}?macaroon={macaroon}&cert={node.certificate}"


@dataclass
class L402:
    """A buyer."""

    binary: Path
    home: Path
    wallet: str

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True)

    def get(self, url: str, *options: str) -> Ran:
        """`l402 get URL` to its end."""
        return run(self._command(url, *options), self.home, self._env())

    def begin(self, url: str) -> subprocess.Popen:
        """`l402 get URL`, to be killed on the way. What it says is lost with it."""
        return subprocess.Popen(
            self._command(url),
            cwd=self.home,
            env=os.environ | self._env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def journal(self) -> list[Path]:
        """The files that hold a purchase each."""
        return [file for file in self.home.glob("data/l402/tokens/*/*.json") if not file.name.startswith(".")]

    def stage(self) -> str:
        """How far its purchases are, by the journal."""
        purchases = [json.loads(file.read_bytes()) for file in self.journal()]
        return ", ".join("paid" if purchase.get("paid") else "intended" for purchase in purchases) or "nothing noted"

    def _command(self, url: str, *options: str) -> list[str]:
        return [str(self.binary), "get", url, "--wallet", self.wallet, *options]

    def _env(self) -> dict[str, str]:
        return {"XDG_DATA_HOME": str(self.home / "data"), "XDG_CONFIG_HOME": str(self.home / "config")}
