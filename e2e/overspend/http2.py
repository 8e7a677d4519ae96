"""HTTP/2 without TLS: every request of a connection is open at the same time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
from metered.http1 import PATIENCE_SECS, Answer, BrokenOff, Head

READ_BYTES = 64 << 10


@dataclass
class _Stream:
    head: Head | None = None
    body: bytearray = field(default_factory=bytearray)
    is_over: bool = False


class Connection:
    """A connection to a loopback port for one set of requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        self._streams: dict[int, _Stream] = {}

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connects, and waits for the server's settings: they say how many requests may be open."""
        try:
            async with asyncio.timeout(PATIENCE_SECS):
                connection = cls(*await asyncio.open_connection("127.0.0.1", port))
                connection._state.initiate_connection()
                connection._flush()
                while not connection._settings_came(await connection._receive()):
                    pass
                return connection
        except (OSError, TimeoutError) as error:
            raise BrokenOff(str(error)) from None

    def send(self, targets: Sequence[str], authorization: str) -> None:
        """Asks for all of these at once."""
        for target in targets:
            number = self._state.get_next_available_stream_id()
            fields = [
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "127.0.0.1"),
                (":path", target),
                ("accept", "application/json"),
                ("authorization", authorization),
            ]
            self._state.send_headers(number, fields, end_stream=True)
            self._streams[number] = _Stream()
        self._flush()

    async def answers(self) -> list[Answer]:
        """All answers, in the order in which they were asked for."""
        try:
            async with asyncio.timeout(PATIENCE_SECS):
                while not all(stream.is_over for stream in self._streams.values()):
                    for event in await self._receive():
                        self._note(event)
                    self._flush()
        except (OSError, TimeoutError) as error:
            raise BrokenOff(str(error)) from None
        return [Answer(stream.head, bytes(stream.body)) for stream in self._streams.values()]

    def cut(self) -> None:
        """Ends the connection at once."""
        self._writer.transport.abort()

    def _note(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                fields = tuple((str(name), str(value)) for name, value in event.headers)
                self._streams[event.stream_id].head = Head(int(dict(fields)[":status"]), fields)
            case h2.events.DataReceived():
                self._streams[event.stream_id].body += event.data
                self._state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self._streams[event.stream_id].is_over = True
            case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                raise BrokenOff(repr(event))

    async def _receive(self) -> list[h2.events.Event]:
        data = await self._reader.read(READ_BYTES)
        if not data:
            raise BrokenOff("the connection ended")
        return self._state.receive_data(data)

    def _flush(self) -> None:
        self._writer.write(self._state.data_to_send())

    @staticmethod
    def _settings_came(events: list[h2.events.Event]) -> bool:
        return any(isinstance(event, h2.events.RemoteSettingsChanged) for event in events)
