"""`octroi run` and `octroi check` with an lnd as the node."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from regtest.lnd import Lnd
from regtest.process import Ending, Process, free_port, wait_for

from .ran import Ran, run
from .web import Answer, get

READY_SECS = 30
CONFIG = """\
listen: 127.0.0.1:{port}
ops: 127.0.0.1:{ops}
data_dir: {folder}/data
lightning:
  backend: lnd
  network: {network}
  lnd: {{ address: "https://127.0.0.1:{grpc}", certificate: {certificate}, macaroon: {macaroon} }}
  timeout: 5s
  invoice_expiry: {invoice_expiry}
  settlement: {settlement}
limits: {{ mint: {{ per_network: 1000000/s, per_service: 1000000/s, total: 1000000/s }} }}
services:
{services}
"""


@dataclass(frozen=True)
class Shop:
    """How a gateway is paid and what it sells. `services` are lines of YAML."""

    node: Lnd
    macaroon: Path
    services: tuple[str, ...]
    certificate: Path | None = None
    network: str = "regtest"
    settlement: str = "preimage"
    invoice_expiry: str = "10m"


@dataclass
class Octroi:
    """A gateway with keys, ports and data of its own, which it keeps over restarts."""

    binary: Path
    folder: Path
    shop: Shop
    ending: Ending
    port: int = field(default_factory=free_port)
    ops: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self._config = self.folder / "octroi.yaml"
        node = self.shop.node
        self._config.write_text(
            CONFIG.format(
                port=self.port,
                ops=self.ops,
                folder=self.folder,
                network=self.shop.network,
                grpc=node.grpc,
                certificate=self.shop.certificate or node.certificate,
                macaroon=self.shop.macaroon,
                invoice_expiry=self.shop.invoice_expiry,
                settlement=self.shop.settlement,
                services="\n".join(f"  - {service}" for service in self.shop.services),
            )
        )
        command = [str(self.binary), "run", "--config", str(self._config), "--log", "json"]
        self.process = Process(command, self.folder / "octroi.log", {"OCTROI_LOG": "info"})
        self.ending.add(self.process.end)

    def start(self) -> float:
        """Starts it, waits until it says that it is ready, and tells how many seconds that took."""
        since = self.process.mark()
        started = time.monotonic()
        self.process.start()

        def ready() -> bool:
            self.process.expect_alive()
            return "octroi ready" in self.process.said(since)

        wait_for("octroi is ready", READY_SECS, ready)
        return time.monotonic() - started

    def stop(self) -> int | None:
        """Lets it drain; the exit code."""
        return self.process.end()

    def check(self) -> Ran:
        """`octroi check`."""
        return run([str(self.binary), "check", "--config", str(self._config)], self.folder, {})

    def ledger_check(self) -> Ran:
        """What `octroi ledger check` says beside the running gateway."""
        return run([str(self.binary), "ledger", "check", "--config", str(self._config)], self.folder, {})

    def get(self, path: str, authorization: str | None = None) -> Answer:
        """A request to the public listener."""
        return get(self.port, path, authorization)

    def url(self, path: str) -> str:
        """Where a path is."""
        return f"http://127.0.0.1:{self.port}{path}"

    def readyz(self) -> Answer:
        """What `/readyz` says."""
        return get(self.ops, "/readyz")

    def metric(self, name: str) -> float | None:
        """A metric, summed over its labels; none where it is not there."""
        samples = re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", self.metrics(), re.MULTILINE)
        return sum(map(float, samples)) if samples else None

    def metrics(self) -> str:
        """All of `/metrics`."""
        return get(self.ops, "/metrics").body.decode()


def secrets_told(text: str, secrets: Iterable[str]) -> list[str]:
    """Which of the secrets stand in a text, in any case."""
    low = text.lower()
    return [secret for secret in secrets if secret.lower() in low]
