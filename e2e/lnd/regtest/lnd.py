"""One lnd, driven through its REST interface with its admin macaroon."""

import base64
import json
import signal
from pathlib import Path
from typing import Any

from .btcd import Btcd
from .door import Door, Refused
from .process import Process, free_port, wait_for

# The longest that a start, a payment or a piece of news may take; seen: a few seconds at most.
PATIENCE_SECS = 60
PAYMENT_SECS = 30
# Most entries of one list that are read at once.
PAGE = 100_000
CONFIG = """\
[Application Options]
alias={name}
listen=127.0.0.1:{p2p}
rpclisten=127.0.0.1:{grpc}
restlisten=127.0.0.1:{rest}
nobootstrap=true
{wallet}
; news of channels at once instead of in batches of 90 s
trickledelay=50
gossip.sub-batch-delay=5ms
[Bitcoin]
bitcoin.regtest=true
bitcoin.node=btcd
bitcoin.defaultchanconfs=1
[Btcd]
btcd.rpchost=127.0.0.1:{btcd.rpc}
btcd.rpcuser={btcd.user}
btcd.rpcpass={btcd.password}
btcd.rpccert={btcd.certificate}
"""
PASSWORD = b"of-a-wallet-for-tests"


class PaymentFailed(Exception):
    """The node says that a payment failed, and why."""


class Lnd:
    """A node with a folder and ports of its own, which it keeps over restarts."""

    def __init__(self, name: str, folder: Path, btcd: Btcd, binary: Path, *, wallet_by_hand: bool = False) -> None:
        """`wallet_by_hand` leaves the wallet to be made, and unlocked after each start, by a person."""
        folder.mkdir(parents=True, mode=0o700)
        self.name = name
        self.folder = folder
        self.grpc = free_port()
        self.rest = free_port()
        self.p2p = free_port()
        self.certificate = folder / "tls.cert"
        self.macaroons = folder / "data" / "chain" / "bitcoin" / "regtest"
        config = folder / "lnd.conf"
        config.touch(mode=0o600)
        config.write_text(
            CONFIG.format(
                name=name,
                p2p=self.p2p,
                grpc=self.grpc,
                rest=self.rest,
                btcd=btcd,
                wallet="" if wallet_by_hand else "; a wallet without a password\nnoseedbackup=true",
            )
        )
        self.process = Process([str(binary), f"--lnddir={folder}"], folder / "output.log")

    # --- life

    def launch(self) -> None:
        """Starts it without waiting for anything."""
        self.process.start()

    def start(self) -> None:
        """Starts it and waits until it serves."""
        self.launch()
        self.wait_state("SERVER_ACTIVE")

    def kill(self) -> None:
        """SIGKILL: a lost node."""
        self.process.end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: a node that is put away."""
        self.process.end()

    def freeze(self) -> None:
        """SIGSTOP: a node that hangs with its connections open."""
        self.process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on."""
        self.process.send(signal.SIGCONT)

    def end(self) -> None:
        """Whatever state it is in, it runs no more."""
        self.thaw()
        self.process.end()

    def state(self) -> str:
        """What `GET /v1/state` says, which needs no macaroon; `DOWN` where nothing answers."""
        try:
            return json.loads(Door(self.rest, self.certificate).ask("GET", "/v1/state", secs=5))["state"]
        except (OSError, Refused):
            return "DOWN"

    def wait_state(self, *states: str) -> str:
        """Waits until it is in one of these states."""

        def reached() -> str | None:
            self.process.expect_alive()
            state = self.state()
            return state if state in states else None

        return wait_for(f"{self.name} is {' or '.join(states)}", PATIENCE_SECS, reached)

    # --- the wallet of a node that has one made by hand

    def make_wallet(self) -> None:
        """Makes a wallet with a password, which also unlocks it."""
        seed = self._json(Door(self.rest, self.certificate).ask("GET", "/v1/genseed"))["cipher_seed_mnemonic"]
        body = {"wallet_password": base64.b64encode(PASSWORD).decode(), "cipher_seed_mnemonic": seed}
        Door(self.rest, self.certificate).ask("POST", "/v1/initwallet", body)

    # --- questions and orders

    def ask(self, method: str, path: str, body: Any = None) -> dict:
        """One call with the admin macaroon."""
        return self._json(self._ask(method, path, body))

    def macaroon(self, name: str) -> Path:
        """A macaroon that lnd made: admin, invoice, readonly..., or one of `bake`."""
        return self.macaroons / f"{name}.macaroon"

    def bake(self, name: str, *methods: str) -> Path:
        """A macaroon for these gRPC methods and nothing else."""
        permissions = [{"entity": "uri", "action": method} for method in methods]
        made = self.ask("POST", "/v1/macaroon", {"permissions": permissions})["macaroon"]
        file = self.macaroon(name)
        file.write_bytes(bytes.fromhex(made))
        return file

    def info(self) -> dict:
        """What `lncli getinfo` tells."""
        return self.ask("GET", "/v1/getinfo")

    def pubkey(self) -> str:
        """Its name in the network."""
        return self.info()["identity_pubkey"]

    def synced(self) -> bool:
        """Whether it follows the chain."""
        return self.info()["synced_to_chain"]

    def address(self) -> str | None:
        """A new address of its wallet; none while it is not ready to make one."""
        try:
            return self.ask("GET", "/v1/newaddress")["address"]
        except (OSError, Refused):
            return None

    def coins(self) -> int:
        """Confirmed sat on the chain."""
        return int(self.ask("GET", "/v1/balance/blockchain")["confirmed_balance"])

    def can_pay(self, pubkey: str) -> bool:
        """Whether it knows a route for a small amount to that node."""
        try:
            return bool(self.ask("GET", f"/v1/graph/routes/{pubkey}/1000")["routes"])
        except Refused:
            return False

    def invoice_of(self, payment_hash: str) -> dict:
        """An invoice of its own, by the hash in hex."""
        return self.ask("GET", f"/v1/invoice/{payment_hash}")

    def invoices(self) -> list[dict]:
        """Every invoice that it made."""
        return self.ask("GET", f"/v1/invoices?num_max_invoices={PAGE}")["invoices"]

    def settled(self) -> int:
        """How many invoices were paid, by its own count."""
        return sum(invoice["state"] == "SETTLED" for invoice in self.invoices())

    def pay(self, invoice: str) -> str:
        """Pays as any wallet would; the preimage in hex."""
        body = {
            "payment_request": invoice,
            "timeout_seconds": PAYMENT_SECS,
            "fee_limit_sat": "10",
            "no_inflight_updates": True,
        }
        payment = json.loads(self._ask("POST", "/v2/router/send", body).splitlines()[-1])["result"]
        if payment["status"] != "SUCCEEDED":
            raise PaymentFailed(payment["failure_reason"])
        return payment["payment_preimage"]

    def payments(self) -> list[dict]:
        """Every payment that it was told to make, those under way included, oldest first."""
        return self.ask("GET", f"/v1/payments?include_incomplete=true&max_payments={PAGE}")["payments"]

    def decode(self, invoice: str) -> dict:
        """What an invoice says."""
        return self.ask("GET", f"/v1/payreq/{invoice}")

    def _ask(self, method: str, path: str, body: Any = None) -> str:
        credential = {"Grpc-Metadata-macaroon": self.macaroon("admin").read_bytes().hex()}
        return Door(self.rest, self.certificate).ask(method, path, body, credential)

    @staticmethod
    def _json(text: str) -> dict:
        return json.loads(text)
