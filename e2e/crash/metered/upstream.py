"""What is sold: answers as their requests order them, and a record of which requests arrived."""

import asyncio
import hashlib
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Order:
    """An answer, as the request's path and query say it. `told` is its `L402-Cost` line, `gap_ms` the time before each
    piece."""

    number: int
    status: int = 200
    size: int = 100
    pieces: int = 1
    wait_ms: int = 0
    is_chunked: bool = False
    told: int | None = None
    gap_ms: int = 0

    def target(self, prefix: str) -> str:
        """The path below `prefix` that orders this answer."""
        told = "" if self.told is None else f"&told={self.told}"
        return (
            f"{prefix}{self.number}?status={self.status}&size={self.size}&pieces={self.pieces}"
            f"&wait={self.wait_ms}&chunked={int(self.is_chunked)}&gap={self.gap_ms}{told}"
        )

    @classmethod
    def read(cls, target: str) -> "Order":
        """The order in a path."""
        parts = urlsplit(target)
        asked = {name: int(value) for name, value in parse_qsl(parts.query)}
        return cls(
            number=int(parts.path.rpartition("/")[2]),
            status=asked["status"],
            size=asked["size"],
            pieces=asked["pieces"],
            wait_ms=asked["wait"],
            is_chunked=bool(asked["chunked"]),
            told=asked.get("told"),
            gap_ms=asked["gap"],
        )


def body_of(order: Order) -> bytes:
    """Bytes that no other request gets."""
    seed = hashlib.sha256(str(order.number).encode()).digest()
    return (seed * (order.size // len(seed) + 1))[: order.size]


class Upstream:
    """A server on a free loopback port of this process's own event loop."""

    def __init__(self) -> None:
        # Requests by number: how often each arrived, and which were answered as far as their head.
        self.seen: Counter[int] = Counter()
        self.answered: set[int] = set()
        self.port = 0

    async def start(self) -> None:
        """Listens."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._server = server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                order = Order.read(head.split(b" ", 2)[1].decode())
                self.seen[order.number] += 1
                await self._answer(order, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the gateway was killed, or the test is over
        finally:
            writer.close()

    async def _answer(self, order: Order, writer: asyncio.StreamWriter) -> None:
        if order.wait_ms:
            await asyncio.sleep(order.wait_ms / 1000)
        body = body_of(order)
        told = "" if order.told is None else f"l402-cost: {order.told}\r\n"
        framing = "transfer-encoding: chunked" if order.is_chunked else f"content-length: {order.size}"
        head = f"HTTP/1.1 {order.status} -\r\ncontent-type: application/octet-stream\r\n{told}{framing}\r\n\r\n"
        self.answered.add(order.number)
        step = max(1, -(-order.size // order.pieces))
        pieces = [body[at : at + step] for at in range(0, order.size, step)]
        if order.is_chunked:
            pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]
        if len(pieces) <= 1:
            writer.write(head.encode() + b"".join(pieces))
        else:
            writer.write(head.encode())
            for piece in pieces:
                await asyncio.sleep(order.gap_ms / 1000)
                writer.write(piece)
                await writer.drain()
        await writer.drain()
