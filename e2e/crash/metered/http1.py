"""HTTP/1.1 on raw sockets, so that the test knows exactly what it has received when a connection breaks."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

# Longest wait for one step of an exchange. Nothing here takes long; what does is told as broken off.
PATIENCE_SECS = 30
HEAD_BYTES_MAX = 64 << 10


class BrokenOff(Exception):
    """The connection ended in the middle of an answer, or before it."""


@dataclass(frozen=True)
class Head:
    """Status and headers, names in small letters, in the order they came in."""

    status: int
    fields: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Every line of this name."""
        return [value for field, value in self.fields if field == name]

    def get(self, name: str) -> str | None:
        """The first line of this name."""
        return next(iter(self.all(name)), None)


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    head: Head
    body: bytes

    def json(self) -> dict:
        """The body, which is one JSON object."""
        return json.loads(self.body)

    def reason(self) -> str:
        """Why the gateway refused."""
        return self.json()["reason"]


class Connection:
    """A connection to a loopback port. Several requests may be sent before the first answer is read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connects."""
        try:
            async with asyncio.timeout(PATIENCE_SECS):
                return cls(*await asyncio.open_connection("127.0.0.1", port, limit=HEAD_BYTES_MAX))
        except (OSError, TimeoutError) as error:
            raise BrokenOff(str(error)) from None

    def send(self, requests: bytes) -> None:
        """Hands requests to the kernel, or to a buffer before it."""
        self._writer.write(requests)

    async def head(self) -> Head:
        """The next answer's head."""
        lines = (await self._take(self._reader.readuntil(b"\r\n\r\n"))).decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines[1:] if line)
        return Head(int(lines[0].split()[1]), tuple((name.lower(), value.strip()) for name, _, value in fields))

    async def body(self, head: Head) -> bytes:
        """The body behind a head; there is one whenever its head says so, because `HEAD` is never asked here."""
        if head.get("transfer-encoding") == "chunked":
            return b"".join([chunk async for chunk in self.chunks()])
        return await self._take(self._reader.readexactly(int(head.get("content-length") or 0)))

    async def chunks(self) -> AsyncIterator[bytes]:
        """A body that comes in chunks, one by one. Trailers are read, and not told."""
        while size := int(await self._line(), 16):
            yield await self._take(self._reader.readexactly(size))
            await self._line()
        while await self._line():
            pass

    async def answer(self) -> Answer:
        """The next answer, whole."""
        head = await self.head()
        return Answer(head, await self.body(head))

    def cut(self) -> None:
        """Ends the connection at once."""
        self._writer.transport.abort()

    async def _line(self) -> bytes:
        return (await self._take(self._reader.readuntil(b"\r\n"))).removesuffix(b"\r\n")

    async def _take(self, reading):
        try:
            async with asyncio.timeout(PATIENCE_SECS):
                return await reading
        except (OSError, EOFError, TimeoutError) as error:
            raise BrokenOff(repr(error)) from None


def get(path: str, authorization: str | None = None) -> bytes:
    """A `GET` request."""
    credential = f"authorization: {authorization}\r\n" if authorization else ""
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n{credential}\r\n".encode()


def post_json(path: str, document: dict) -> bytes:
    """A `POST` request with a JSON body."""
    body = json.dumps(document)
    return f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
