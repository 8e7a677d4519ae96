"""Asking a server on loopback over TLS that trusts one certificate and no other. JSON in, JSON out."""

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Longest wait for one answer; a payment over a direct channel takes a tenth of a second.
ANSWER_SECS = 60


class Refused(Exception):
    """An answer other than 200, with its status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text


@dataclass
class Door:
    """A server with its own certificate, and the headers that it wants."""

    port: int
    certificate: Path

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, secs: float = ANSWER_SECS
    ) -> str:
        """One request on a connection of its own; the body of the answer."""
        trust = ssl.create_default_context(cafile=self.certificate)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=secs, context=trust)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"} | (headers or {}))
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise Refused(answer.status, text)
        return text
