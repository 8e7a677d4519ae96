"""A steady load: so many connections that are kept, each asking again a while after its last answer.

Run as a program it asks until its standard input ends, then prints what it got as JSON: one
`[start, seconds, status, retry-after]` for each request. A status of 0 is an answer that did not come.
A process of its own, so that what it measures does not wait for the test.
"""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Longest wait for one answer; what takes longer has not come.
ANSWER_SECS = 30
# Between two connections at the beginning.
ARRIVAL_SECS = 0.02


@dataclass(frozen=True)
class Seen:
    """One request: when it began (by the monotonic clock), how long it took, and what came."""

    start: float
    secs: float
    status: int
    retry_after: str | None


class Load:
    """A load from construction until `end`."""

    def __init__(self, port: int, path: str, connections: int, pause: float, authorization: str | None = None) -> None:
        plan = {"port": port, "path": path, "connections": connections, "pause": pause, "authorization": authorization}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._process.stdin.write(json.dumps(plan).encode() + b"\n")
        self._process.stdin.flush()

    def end(self) -> list[Seen]:
        """Stops it; everything that it saw."""
        if self._process.poll() is not None:
            return []
        out, _ = self._process.communicate(timeout=2 * ANSWER_SECS)
        return [Seen(*entry) for entry in json.loads(out)]

    def abandon(self) -> None:
        """Ends it without a result."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def _exchange(streams: tuple, request: bytes) -> tuple[int, str | None]:
    reader, writer = streams
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    await reader.readexactly(int(fields["content-length"]))
    return int(head[0].split()[1]), fields.get("retry-after")


async def _customer(plan: dict, number: int, request: bytes, over: asyncio.Event, seen: list) -> None:
    # One after the other: many new connections at once would measure the upstream's queue for them.
    await asyncio.sleep(number * ARRIVAL_SECS)
    streams = None
    while not over.is_set():
        start = time.monotonic()
        status, retry_after = 0, None
        try:
            async with asyncio.timeout(ANSWER_SECS):
                streams = streams or await asyncio.open_connection("127.0.0.1", plan["port"])
                status, retry_after = await _exchange(streams, request)
        except (OSError, EOFError, TimeoutError, KeyError):
            if streams:
                streams[1].close()
            streams = None
        seen.append((start, time.monotonic() - start, status, retry_after))
        await asyncio.sleep(plan["pause"])
    if streams:
        streams[1].close()


async def _main() -> None:
    plan = json.loads(sys.stdin.readline())
    authorization = f"Authorization: {plan['authorization']}\r\n" if plan["authorization"] else ""
    request = f"GET {plan['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n{authorization}\r\n"
    over, seen = asyncio.Event(), []
    customers = [
        asyncio.create_task(_customer(plan, number, request.encode(), over, seen))
        for number in range(plan["connections"])
    ]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    over.set()
    await asyncio.gather(*customers)
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    asyncio.run(_main())
