"""What goes wrong under a running gateway, and how it is mended."""

import asyncio
import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

from metered.gateway import Gateway
from regtest.process import Gone

# What SQLite calls for its file, log and index, and nothing else of the gateway does: sockets and the log on standard
# error are written with other calls. libfiu's names for them (<https://blitiri.com.ar/p/libfiu/>).
WRITE = "posix/io/rw/pwrite"
SYNC = "posix/io/sync/fsync"
ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
CONTROL_SECS = 20


class Trouble(Protocol):
    """Something that breaks, and its name."""

    name: str

    async def begin(self, gateway: Gateway) -> None:
        """Breaks it."""

    async def mend(self, gateway: Gateway) -> None:
        """Makes it whole."""


class FailingCalls:
    """Writes or syncs that fail: the next one, each from now on, or some of them, half written ones among them."""

    def __init__(self, folder: Path, point: str, error: str, how: str) -> None:
        what = {WRITE: "writes", SYNC: "syncs"}[point]
        self.name = f"{what} fail with {error}, {how}"
        self._control = folder / "fiu"
        failing = f"name={point},failinfo={ERRORS[error]},failnum=-1"
        self._orders = {
            "once": [f"enable {failing},onetime"],
            "from then on": [f"enable {failing}"],
            "now and then": [
                f"enable_random {failing},probability=0.2",
                f"enable_random name={WRITE}/reduce,probability=0.2",
            ],
        }[how]
        self._points = [point, f"{WRITE}/reduce"]

    @staticmethod
    def wrapper(folder: Path, *orders: str) -> tuple[str, ...]:
        """What a gateway is started by so that its calls can be made to fail; by these orders from the start."""
        return "fiu-run", "-x", "-f", str(folder / "fiu"), *(word for order in orders for word in ("-c", order))

    async def begin(self, gateway: Gateway) -> None:
        """From the next call on."""
        await self._tell(gateway, self._orders)

    async def mend(self, gateway: Gateway) -> None:
        """Calls succeed again. A process that has ended takes its failures with it."""
        if gateway.pid is not None:
            await self._tell(gateway, [f"disable name={point}" for point in self._points])

    async def _tell(self, gateway: Gateway, orders: list[str]) -> None:
        for order in orders:
            command = await asyncio.create_subprocess_exec(
                *("fiu-ctrl", "-f", str(self._control), "-c", order, str(gateway.pid)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            async with asyncio.timeout(CONTROL_SECS):
                said, _ = await command.communicate()
            if command.returncode:
                raise Gone(f"fiu-ctrl: {order}: {said.decode(errors='replace')}")


class FullDisk:
    """A small disk, and a file that takes what is left of it but for a few bytes."""

    def __init__(self, folder: Path, left: int) -> None:
        self._ballast = folder / "ballast"
        self._left = left
        self.name = f"the disk has {left} bytes left"

    @staticmethod
    def move_to(folder: Path, size: str) -> None:
        """Moves a folder to a small disk, which is mounted at its place, in the mount namespace of this run."""
        before = folder.rename(folder.with_name(f"{folder.name}-before"))
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Gone(f"a small disk cannot be mounted here: {done.stderr}")
        shutil.copytree(before, folder, dirs_exist_ok=True)

    async def begin(self, gateway: Gateway) -> None:
        """Takes all but the rest. The gateway writes meanwhile, and what does not fit is not taken at all."""
        with self._ballast.open("wb") as file:
            while True:
                disk = os.statvfs(self._ballast.parent)
                try:
                    os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - self._left))
                    return
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    if not disk.f_bavail:
                        return

    async def mend(self, gateway: Gateway) -> None:
        """Frees it."""
        self._ballast.unlink(missing_ok=True)
