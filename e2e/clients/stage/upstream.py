"""What the gateway protects: a small HTTP server that remembers each request it got.

`python3 upstream.py` serves by itself, prints its port, and tells `GET /_seen` what it got; it ends with its
standard input.
"""

import hashlib
import json
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Headers that would carry a credential.
CREDENTIAL_HEADERS = ("authorization", "macaroon", "grpc-metadata-macaroon")


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]

    def carries_credential(self) -> bool:
        """Whether anything of the buyer's credential came through."""
        return any(name.lower() in CREDENTIAL_HEADERS for name, _ in self.headers)


def body_of(path: str) -> bytes:
    """The text at a path: a few thousand bytes, not all of them ASCII, different for each path, without a last
    newline, so that a client that re-encodes, cuts or trims it is found out."""
    seed = hashlib.sha256(path.encode()).hexdigest()
    return "\n".join(f"{line:03} {seed} Zoll bezahlt, péage payé, 通行料" for line in range(64)).encode()


class Upstream:
    """The server, on a free loopback port, from construction until `stop`."""

    def __init__(self) -> None:
        self._seen: list[Seen] = []
        self._lock = threading.Lock()
        upstream = self

        class Handler(_Handler):
            def record(self) -> None:
                headers = tuple(self.headers.items())
                with upstream._lock:
                    upstream._seen.append(Seen(self.command, self.path, headers))

            def seen(self) -> list[Seen]:
                return upstream.all_seen()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def seen(self, path: str, at_least: int = 0) -> list[Seen]:
        """The requests for a path so far. Each is recorded before its answer: there is no need to wait for
        `at_least`."""
        return [seen for seen in self.all_seen() if seen.path == path]

    def all_seen(self) -> list[Seen]:
        """Every request so far."""
        with self._lock:
            return list(self._seen)

    def body(self, path: str) -> bytes:
        """What a request for this path is answered with."""
        return body_of(path)

    def stop(self) -> None:
        """Stops serving and frees the port."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes; the second must not wait for the acknowledgement of the first.
    disable_nagle_algorithm = True

    def record(self) -> None:
        raise NotImplementedError

    def seen(self) -> list[Seen]:
        raise NotImplementedError

    def do_GET(self) -> None:
        if self.path == "/_seen":
            return self._answer(json.dumps([seen.__dict__ for seen in self.seen()]).encode(), "application/json")
        self.record()
        self._answer(body_of(self.path), "text/plain; charset=utf-8")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.record()
        length = int(self.headers.get("content-length", 0))
        self._answer(self.rfile.read(length), "application/octet-stream")

    def _answer(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent: the test tells what it saw."""


if __name__ == "__main__":
    standalone = Upstream()
    print(standalone.port, flush=True)
    sys.stdin.read()
    standalone.stop()
