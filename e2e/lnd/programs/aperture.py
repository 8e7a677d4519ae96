"""Aperture v0.5.0, the other gateway, in its smallest configuration that works: SQLite, plain HTTP."""

from pathlib import Path

from regtest.lnd import Lnd
from regtest.process import Ending, Process, free_port, wait_for

from .web import get

READY_SECS = 30
CONFIG = """\
listenaddr: "127.0.0.1:{port}"
insecure: true
basedir: {folder}/data
dbbackend: sqlite
sqlite: {{ databasefilename: {folder}/aperture.db }}
authenticator:
  network: regtest
  lndhost: "127.0.0.1:{node.grpc}"
  tlspath: {node.certificate}
  macdir: {node.macaroons}
services:
  - {{ name: weather, hostregexp: ".*", pathregexp: "^/weather/.*$", address: "127.0.0.1:{upstream}",
      protocol: http, auth: "on", price: {price} }}
"""


class Aperture:
    """One gateway that sells everything under `/weather/` for `price` sat."""

    def __init__(self, binary: Path, folder: Path, node: Lnd, upstream: int, price: int, ending: Ending) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        config = folder / "aperture.yaml"
        config.write_text(CONFIG.format(port=self.port, folder=folder, node=node, upstream=upstream, price=price))
        # It would also keep things under the home folder.
        env = {"HOME": str(folder)}
        self.process = Process([str(binary), f"--configfile={config}"], folder / "output.log", env)
        ending.add(self.process.end)

    def start(self) -> None:
        """Starts it and waits until it refuses a request for want of payment."""
        self.process.start()

        def selling() -> bool:
            self.process.expect_alive()
            try:
                return get(self.port, "/weather/first").status == 402
            except OSError:
                return False

        wait_for("aperture sells", READY_SECS, selling)

    def url(self, path: str) -> str:
        """Where a path is."""
        return f"http://127.0.0.1:{self.port}{path}"
