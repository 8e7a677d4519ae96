"""Published L402 clients buy from a running gateway, each in a process of its own.

Each client asks for its own path twice. It must get the exact body both times and pay as often as `pays` says: once
where the client keeps its token or hands it out, each time where it does neither.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from stage.gateway import Gateway, ROOT
from stage.nginx import Nginx
from stage.upstream import Upstream
from stage.wallet import Wallet

HERE = Path(__file__).resolve().parent
WORK = ROOT / "e2e" / ".work" / "clients"
PRICE_SATS = 10
# Longest time for one client's two requests, its start included.
DRIVER_SECS = 60


@dataclass(frozen=True)
class Client:
    """A published client, or one of its faces."""

    name: str
    driver: str
    mode: str = ""
    # Payments per request; the total is what the wallet must have seen.
    pays: tuple[int, ...] = (1, 0)
    token: str = "keeps it"

    def command(self) -> list[str]:
        mode = [self.mode] if self.mode else []
        if self.driver.endswith(".mjs"):
            return ["node", str(HERE / self.driver), *mode]
        place = "l402sdk" if self.driver == SDK else "python"
        return [str(WORK / place / "bin" / "python"), str(HERE / self.driver), *mode]

    def path(self) -> str:
        """A path of its own, so that its requests can be told from others'."""
        return f"/files/{self.name.replace(' ', '/').replace('@', '')}.txt"


BUYS_EACH_TIME = "none: buys each time"
HANDS_IT_OUT = "hands it out"

REQUESTS = "drive_l402_requests.py"
KIT = "drive_l402kit.py"
SDK = "drive_l402sdk.py"
L402 = "drive_l402.py"
MCP = "drive_lightning_enable_mcp.py"
ALBY = "drive_lightning_tools.mjs"
LSAT = "drive_lsat_js.mjs"

CLIENTS = [
    Client("l402-requests 0.9.0 sync", REQUESTS, "sync"),
    Client("l402-requests 0.9.0 async", REQUESTS, "async"),
    Client("l402kit 1.10.1 sync", KIT, "sync"),
    Client("l402kit 1.10.1 async", KIT, "async"),
    Client("l402sdk 0.1.0", SDK),
    Client("l402 0.0.9 sync", L402, "sync"),
    Client("l402 0.0.9 async", L402, "async"),
    Client("lightning-enable-mcp 2.1.1 fetch", MCP, "fetch", (1, 1), BUYS_EACH_TIME),
    Client("lightning-enable-mcp 2.1.1 pay_challenge", MCP, "pay_challenge", token=HANDS_IT_OUT),
    Client("@getalby/lightning-tools 9.0.1 fetch402", ALBY, "fetch402", token=HANDS_IT_OUT),
    Client("@getalby/lightning-tools 9.0.1 fetchWithL402", ALBY, "fetchWithL402", token=HANDS_IT_OUT),
    Client("lsat-js 2.0.6", LSAT, token=HANDS_IT_OUT),
]


@dataclass
class Outcome:
    """How one client fared; no faults is a pass."""

    client: Client
    paid: int = 0
    statuses: list[int] = field(default_factory=list)
    secs: float = 0.0
    faults: list[str] = field(default_factory=list)


def drive(client: Client, gateway: Gateway, upstream: Upstream | Nginx) -> Outcome:
    """Runs one client and holds what it says against what the wallet and the upstream saw."""
    outcome = Outcome(client)
    wallet = Wallet(gateway.wallet_url)
    paid_before = len(wallet.settled())
    began = time.monotonic()
    said = run_driver(client, gateway, outcome)
    outcome.secs = time.monotonic() - began

    payments = wallet.settled()[paid_before:]
    outcome.paid = len(payments)
    outcome.statuses = [request["status"] for request in said]
    body_sha256 = hashlib.sha256(upstream.body(client.path())).hexdigest()
    seen = upstream.seen(client.path(), at_least=len(client.pays))
    per_request = tuple(request["paid"] for request in said)
    checks = [
        (per_request == client.pays, f"paid {list(per_request)} times, expected {list(client.pays)}"),
        (outcome.paid == sum(client.pays), f"the wallet paid {outcome.paid} times, expected {sum(client.pays)}"),
        (all(int(payment["value_sat"]) == PRICE_SATS for payment in payments), "an invoice is not over the price"),
        (outcome.statuses == [200] * len(client.pays), f"got {outcome.statuses}"),
        (all(request["body_sha256"] == body_sha256 for request in said), "the body is not the upstream's"),
        (len(seen) == len(client.pays), f"the upstream got {len(seen)} requests, expected {len(client.pays)}"),
        (not any(request.carries_credential() for request in seen), "the upstream saw the credential"),
    ]
    outcome.faults += [fault for good, fault in checks if not good]
    return outcome


def run_driver(client: Client, gateway: Gateway, outcome: Outcome) -> list[dict]:
    """The driver's account of its requests; empty if it failed, with its last words among the faults."""
    environment = {"E2E_URL": gateway.url + client.path(), "E2E_WALLET": gateway.wallet_url}
    try:
        done = subprocess.run(
            client.command(),
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            text=True,
            capture_output=True,
            timeout=DRIVER_SECS,
            cwd=HERE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        outcome.faults.append(f"no end after {DRIVER_SECS} s")
        return []
    if done.returncode != 0 or not done.stdout.strip():
        outcome.faults.append(f"ended with {done.returncode}: {done.stderr.strip()[-1500:]}")
        return []
    return json.loads(done.stdout.strip().splitlines()[-1])["requests"]


def secrets_told(gateway: Gateway) -> list[str]:
    """No preimage may stand in what the gateway wrote."""
    said = gateway.said().lower()
    preimages = [payment["payment_preimage"] for payment in Wallet(gateway.wallet_url).settled()]
    return [
        f"the gateway's log has the preimage of payment {index}"
        for index, preimage in enumerate(preimages)
        if preimage.lower() in said
    ]


def services(upstream: Upstream | Nginx) -> str:
    """One paid service; with the rest of the configuration these are twelve lines."""
    return (
        "  - name: files\n"
        "    path: /files/\n"
        f"    upstream: {upstream.url}\n"
        f"    price: {PRICE_SATS} sat\n"
        "    valid_for: 1h\n"
    )


def table(outcomes: list[Outcome]) -> str:
    """A row for each client."""
    rows = [("client", "token", "paid", "status", "seconds", "")]
    for outcome in outcomes:
        statuses = " ".join(map(str, outcome.statuses)) or "-"
        verdict = "FAILED" if outcome.faults else "ok"
        client = outcome.client
        rows.append((client.name, client.token, str(outcome.paid), statuses, f"{outcome.secs:.1f}", verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--upstream", choices=["python", "nginx"], default="python", help="what is sold")
    options.add_argument("--only", default="", help="clients whose name contains this")
    chosen = options.parse_args()
    clients = [client for client in CLIENTS if chosen.only in client.name]

    paths = [client.path() for client in clients]
    upstream = Nginx(WORK / "nginx", paths) if chosen.upstream == "nginx" else Upstream()
    try:
        gateway = Gateway(services(upstream), WORK)
        try:
            outcomes = [drive(client, gateway, upstream) for client in clients]
            told = secrets_told(gateway)
        finally:
            code = gateway.stop()
    finally:
        upstream.stop()

    print(table(outcomes))
    house = told + ([] if code == 0 else [f"the gateway ended with {code} after SIGTERM"])
    faults = [f"{outcome.client.name}: {fault}" for outcome in outcomes for fault in outcome.faults] + house
    for fault in faults:
        print(f"FAILED {fault}")
    # One more check stands for the gateway itself: no secret in its log, a clean end.
    failed = sum(1 for outcome in outcomes if outcome.faults) + (1 if house else 0)
    print(f"{len(outcomes) + 1 - failed} passed, {failed} failed")
    return 1 if failed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
