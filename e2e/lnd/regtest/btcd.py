"""The chain: btcd on regtest. It forgets its blocks at every start, so a network lives as long as its btcd."""

import base64
import json
import secrets
from pathlib import Path
from typing import Any

from .door import Door
from .process import Process, free_port, wait_for

START_SECS = 60
CONFIG = """\
[Application Options]
regtest=1
txindex=1
nodnsseed=1
datadir={folder}/data
logdir={folder}/logs
rpccert={folder}/rpc.cert
rpckey={folder}/rpc.key
rpcuser={user}
rpcpass={password}
rpclisten=127.0.0.1:{rpc}
listen=127.0.0.1:{p2p}
"""


class Btcd:
    """One btcd; its passwords lie in files, so that no list of processes shows them."""

    user = "regtest"

    def __init__(self, folder: Path, binaries: Path) -> None:
        folder.mkdir(parents=True, mode=0o700)
        self.folder = folder
        self.certificate = folder / "rpc.cert"
        self.password = secrets.token_hex(16)
        self.rpc = free_port()
        self.p2p = free_port()
        self._config = folder / "btcd.conf"
        self._write_config()
        self.process = Process([str(binaries / "btcd"), f"--configfile={self._config}"], folder / "output.log")

    def start(self, miner: str | None = None) -> None:
        """Starts with an empty chain; blocks pay to `miner`, which btcd takes from its configuration only."""
        self._write_config(miner)
        self.process.start()
        wait_for("btcd answers", START_SECS, self._answers)

    def end(self) -> None:
        """Stops it, and with it the network."""
        self.process.end()

    def mine(self, blocks: int) -> None:
        """Finds that many blocks at once."""
        self.call("generate", blocks)

    def height(self) -> int:
        """How many blocks there are."""
        return self.call("getblockcount")

    def call(self, method: str, *parameters: Any) -> Any:
        """One JSON-RPC call."""
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        body = {"jsonrpc": "1.0", "id": 1, "method": method, "params": parameters}
        answer = Door(self.rpc, self.certificate).ask("POST", "/", body, {"Authorization": f"Basic {pair}"})
        return json.loads(answer)["result"]

    def _answers(self) -> bool:
        self.process.expect_alive()
        try:
            return self.height() >= 0
        except OSError:  # not listening yet, or no certificate yet
            return False

    def _write_config(self, miner: str | None = None) -> None:
        text = CONFIG.format(folder=self.folder, user=self.user, password=self.password, rpc=self.rpc, p2p=self.p2p)
        self._config.touch(mode=0o600)
        self._config.write_text(text + (f"miningaddr={miner}\n" if miner else ""))
