"""A plain HTTP request on loopback, whatever its status."""

import http.client
import json
from dataclasses import dataclass
from typing import Any

from stage.challenge import Challenge

ANSWER_SECS = 30


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def challenge(self) -> Challenge:
        """The offer of a 402."""
        return Challenge.read(self.headers.get_all("www-authenticate", []))

    def json(self) -> Any:
        """The body as JSON; an empty object where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


def get(port: int, path: str, authorization: str | None = None) -> Answer:
    """One GET on a connection of its own."""
    headers = {"Accept": "application/json"} | ({"Authorization": authorization} if authorization else {})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECS)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()
