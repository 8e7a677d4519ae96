"""`octroi run` on a ledger that outlives it, and the ledger's commands beside it."""

import asyncio
import json
import os
import re
import secrets
import signal
import time
from pathlib import Path

from regtest.process import Ending, Gone, Process

READY_SECS = 60
POLL_SECS = 0.004
COMMAND_SECS = 120

# Limits on minting are another test's. Ports are the kernel's choice, new at each start.
CONFIG = """\
listen: 127.0.0.1:0
ops: 127.0.0.1:0
data_dir: {folder}/data
ledger: {ledger}
{keys}lightning:
  backend: loopback
  loopback: {{ wallet: 127.0.0.1:0 }}
limits: {{ mint: {{ per_network: 1000000/s, per_service: 1000000/s, total: 1000000/s }} }}
timeouts: {{ whole: {whole_secs}s }}
services:
{services}"""


def binary() -> Path:
    """The gateway's binary: `OCTROI_BIN`, or what `cargo build -p octroi` makes."""
    return Path(os.environ.get("OCTROI_BIN", Path(os.environ["TARGET"]) / "debug" / "octroi"))


class Store:
    """Which ledger the gateways have, by the variables `LEDGER` and `DATABASE_URL`."""

    def __init__(self) -> None:
        name = os.environ.get("LEDGER", "sqlite")
        if name not in ("sqlite", "postgres"):
            raise SystemExit(f"error: LEDGER={name}\n  hint: sqlite or postgres")
        if name == "postgres" and not os.environ.get("DATABASE_URL"):
            raise SystemExit("error: LEDGER=postgres without a server\n  hint: set DATABASE_URL")
        self.is_shared = name == "postgres"
        # Every run has a ledger of its own.
        self._schema = f"octroi_test_{secrets.token_hex(6)}"

    def __str__(self) -> str:
        return f"Postgres, schema {self._schema}" if self.is_shared else "SQLite"

    def yaml(self) -> str:
        """The value of the key `ledger`."""
        if not self.is_shared:
            return "sqlite"
        return f'{{ postgres: {{ url: "${{DATABASE_URL}}", schema: {self._schema} }} }}'


class Gateway:
    """A gateway that can be killed and started again in the same folder."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        services: str,
        ending: Ending,
        keys: Path | None = None,
        whole_secs: int = 60,
        wrapper: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
    ) -> None:
        """`wrapper` is a command that becomes the gateway, and `env` is the gateway's alone."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._config = folder / "octroi.yaml"
        self._config.write_text(
            CONFIG.format(
                folder=folder,
                ledger=store.yaml(),
                keys=f"keys: {{ file: {keys} }}\n" if keys else "",
                whole_secs=whole_secs,
                services=services,
            )
        )
        command = [*wrapper, str(binary()), "run", "--config", str(self._config), "--log", "json"]
        self._process = Process(command, folder / "octroi.log", {"OCTROI_LOG": "info,access=off"} | (env or {}))
        ending.add(self._process.end)
        self._mark = 0
        self.front = self.ops = self.wallet = 0

    def spawn(self) -> None:
        """Starts it and does not wait."""
        self._mark = self._process.mark()
        self._process.start()

    async def ready(self) -> None:
        """Waits until it serves; its ports are known then."""
        end = time.monotonic() + READY_SECS
        while not (line := re.search(r"octroi ready: [^\n]*", self.said())):
            self._process.expect_alive()
            if time.monotonic() > end:
                raise Gone(f"not ready after {READY_SECS} s: {self.said()[-2000:]}")
            await asyncio.sleep(POLL_SECS)
        self.front, self.ops, self.wallet = (int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", line[0]))

    async def refusal(self) -> int | None:
        """Waits until it ends by itself instead of serving; the exit code, or none if it serves after all."""
        end = time.monotonic() + READY_SECS
        while self.pid is not None:
            if "octroi ready" in self.said():
                await self.ready()
                return None
            if time.monotonic() > end:
                raise Gone(f"neither ready nor ended after {READY_SECS} s: {self.said()[-2000:]}")
            await asyncio.sleep(POLL_SECS)
        return await self.stop()

    @property
    def pid(self) -> int | None:
        """Its id while it runs."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, and waits until the process is no more. A gateway that ended by itself is an error."""
        self._process.expect_alive()
        self._process.end(signal.SIGKILL)

    async def stop(self) -> int | None:
        """Lets it drain; the exit code."""
        return await asyncio.to_thread(self._process.end)

    def said(self) -> str:
        """What it has written since its last start."""
        return self._process.said(self._mark)

    async def check(self) -> dict:
        """`octroi ledger check`. Breaches are in what it says."""
        return json.loads(await self._ledger("check", "--json", codes=(0, 1)))

    async def export(self, line: int = 1) -> list[dict]:
        """`octroi ledger export` from a line on."""
        return [json.loads(text) for text in (await self._ledger("export", "--from", str(line))).splitlines()]

    async def balance(self, token_id: str) -> dict | None:
        """`octroi ledger balance`; none where nothing was ever booked."""
        said = await self._ledger("balance", "--json", token_id, codes=(0, 1))
        return json.loads(said) if said else None

    async def ask(self, *arguments: str) -> tuple[int, bytes, bytes]:
        """`octroi ledger`: exit code, standard output and standard error, whatever they are."""
        command = await asyncio.create_subprocess_exec(
            *(str(binary()), "ledger", *arguments, "--config", str(self._config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(COMMAND_SECS):
                out, err = await command.communicate()
        except TimeoutError:
            command.kill()
            await command.wait()
            raise Gone(f"octroi ledger {arguments[0]} took more than {COMMAND_SECS} s") from None
        return command.returncode or 0, out, err

    async def _ledger(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> bytes:
        code, out, err = await self.ask(*arguments)
        is_answer = out or not code or b"nothing was ever booked" in err
        if code not in codes or not is_answer:
            raise Gone(f"octroi ledger {arguments[0]} ended with {code}: {err.decode(errors='replace')}")
        return out
