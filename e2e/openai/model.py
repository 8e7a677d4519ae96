"""A language model behind the gateway: chat completions as OpenAI's API answers them, whole or as a stream of events.

The usage comes in a last chunk of its own, and only where the request says `stream_options.include_usage: true`. What the
model does is in its name.
"""

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = ("it", "is", "sunny", "and", "warm")
# Of every answer; `dear` models say more than the gateway's `max`.
USAGE = 40
USAGE_DEAR = 250
# A `slow` model sends so many words, one at a time, as long as somebody listens.
WORDS_SLOW = 400
PAUSE_SECS = 0.01

# Names of models.
PLAIN = "plain"
SILENT = "silent"
SLOW = "slow"
DEAR = "dear"
BROKEN = "broken"
PICKY = "picky"


@dataclass
class Call:
    """One request as it arrived, and how many events with content were sent for it."""

    body: dict
    authorization: list[str]
    events: int = 0


@dataclass
class Model:
    """The server, on a free loopback port, from construction until `stop`."""

    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        model = self

        class Handler(_Handler):
            def note(self, call: Call) -> None:
                model.calls.append(call)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Stops serving and frees the port."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Events are many small writes.
    disable_nagle_algorithm = True

    def note(self, call: Call) -> None:
        raise NotImplementedError

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        call = Call(body, self.headers.get_all("authorization") or [])
        self.note(call)
        model = body["model"]
        if model == BROKEN:
            return self._document(500, {"error": {"message": "out of order", "type": "server_error", "code": None}})
        if model == PICKY:
            return self._document(400, {"error": {"message": "not like this", "type": "invalid_request_error"}})
        if body.get("stream"):
            return self._stream(call, model)
        message = {"role": "assistant", "content": " ".join(WORDS)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return self._document(200, _completion("chat.completion", model, [choice]) | {"usage": _usage(model)})

    def _document(self, status: int, document: dict) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, call: Call, model: str) -> None:
        wants_usage = (call.body.get("stream_options") or {}).get("include_usage") is True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for delta, finish in self._deltas(model):
                chunk = _completion("chat.completion.chunk", model, [_choice(delta, finish)])
                call.events += 1
                self._event(json.dumps(chunk | ({"usage": None} if wants_usage else {})))
            if wants_usage and model != SILENT:
                self._event(json.dumps(_completion("chat.completion.chunk", model, []) | {"usage": _usage(model)}))
            self._event("[DONE]")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True  # nobody listens any more

    def _deltas(self, model: str):
        words = [WORDS[at % len(WORDS)] for at in range(WORDS_SLOW)] if model == SLOW else WORDS
        yield {"role": "assistant", "content": ""}, None
        for word in words:
            if model == SLOW:
                time.sleep(PAUSE_SECS)
            yield {"content": word}, None
        yield {}, "stop"

    def _event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def log_message(self, *_: object) -> None:
        """Silent: the test tells what it saw."""


def _completion(kind: str, model: str, choices: list[dict]) -> dict:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": model, "choices": choices}


def _choice(delta: dict, finish: str | None) -> dict:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _usage(model: str) -> dict:
    total = USAGE_DEAR if model == DEAR else USAGE
    return {"prompt_tokens": 10, "completion_tokens": total - 10, "total_tokens": total}
