"""A gRPC service behind the gateway: unpaid, paid, streaming, failing. Then nginx behind the gateway."""

import base64
import queue
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from pymacaroons import Macaroon

from check_files import check_files
from forecast import FAILURE, FAILURE_TRAILERS, MESSAGE_BYTES_MAX, PATIENCE_SECS, SERVICE, Forecast
from stage.challenge import Challenge
from stage.checks import Checks
from stage.gateway import ROOT, Gateway
from stage.wallet import Wallet

WORK = ROOT / "e2e" / ".work" / "grpc"
SERVICES = """\
  - name: forecast
    path: /{service}/
    upstream: http://127.0.0.1:{port}
    upstream_protocol: h2
    price: 10 sat
"""

Metadata = list[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Answer:
    """How a unary call ended."""

    code: grpc.StatusCode
    details: str
    body: bytes | None
    initial: Metadata
    trailing: Metadata


class Buyer:
    """A gRPC client of the gateway and what it bought."""

    def __init__(self, gateway: Gateway, forecast: Forecast, checks: Checks) -> None:
        self.gateway = gateway
        self.forecast = forecast
        self.check = checks.check
        self.equal = checks.equal
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        self.channel = grpc.insecure_channel(gateway.url.removeprefix("http://"), options=options)
        self.macaroon = ""
        self.preimage = ""
        self.paid: Metadata = []

    def unary(self, method: str, request: bytes, metadata: Metadata, service: str = SERVICE) -> Answer:
        """One call with one message each way."""
        call = self.channel.unary_unary(f"/{service}/{method}")
        try:
            body, end = call.with_call(request, metadata=metadata, timeout=PATIENCE_SECS)
        except grpc.RpcError as error:
            body, end = None, error
        return Answer(
            end.code(), end.details(), body, entries(end.initial_metadata()), entries(end.trailing_metadata())
        )

    def today(self, metadata: Metadata) -> grpc.StatusCode:
        """How the simplest call ends."""
        return self.unary("Today", b"?", metadata).code

    def unpaid(self) -> None:
        answer = self.unary("Today", b"?", [])
        self.equal("the status is INTERNAL", answer.code, grpc.StatusCode.INTERNAL)
        self.equal("the message says it", answer.details, "payment required")
        lines = [value for name, value in answer.trailing if name == "www-authenticate"]
        self.equal("two challenge lines in the trailing metadata", len(lines), 2)
        self.check("the LSAT line first", lines[0].startswith('LSAT macaroon="'), lines)
        self.check(
            "nothing of it in the initial metadata", "www-authenticate" not in dict(answer.initial), answer.initial
        )
        challenge = Challenge.read(lines)
        for kind in ("Hours", "Talk"):
            try:
                list(self.channel.stream_stream(f"/{SERVICE}/{kind}")(iter([b"1"]), timeout=PATIENCE_SECS))
                code = None
            except grpc.RpcError as error:
                code = error.code()
            self.equal(f"{kind} unpaid is INTERNAL too", code, grpc.StatusCode.INTERNAL)
        self.equal("the service saw no call", self.forecast.calls, [])
        self.macaroon = challenge.macaroon
        self.preimage = Wallet(self.gateway.wallet_url).pay_by_router(challenge.invoice)
        self.paid = [("macaroon", with_preimage(self.macaroon, self.preimage))]

    def credentials(self) -> None:
        own = [("x-own", "mine"), ("x-own-bin", b"\0\1")]
        answer = self.unary("Today", b"?", self.paid + own)
        self.equal("the call succeeds with `macaroon` metadata", (answer.code, answer.body), (grpc.StatusCode.OK, b"?"))
        self.check("initial metadata arrives", ("x-station", "north") in answer.initial, answer.initial)
        self.check("trailing metadata arrives", ("x-quality", "good") in answer.trailing, answer.trailing)
        _, metadata = self.forecast.calls[-1]
        names = [name for name, _ in metadata]
        self.check("the service does not see the credential", not {"macaroon", "authorization"} & set(names), names)
        self.check("the service sees the token's id", "l402-token-id" in names, names)
        self.check("the service sees the client's own metadata", set(own) <= set(metadata), metadata)

        prefixed = [("grpc-metadata-macaroon", self.paid[0][1])]
        self.equal("`grpc-metadata-macaroon` is as good", self.today(prefixed), grpc.StatusCode.OK)
        authorization = [("authorization", f"L402 {self.macaroon}:{self.preimage}")]
        self.equal("so is `authorization`", self.today(authorization), grpc.StatusCode.OK)

        calls = len(self.forecast.calls)
        wrong = "00" * 32
        cases = [
            ("a wrong preimage", [("macaroon", with_preimage(self.macaroon, wrong))], grpc.StatusCode.UNAUTHENTICATED),
            ("no preimage", [("macaroon", hex_of(self.macaroon))], grpc.StatusCode.UNAUTHENTICATED),
            ("rubbish", [("macaroon", "00ff")], grpc.StatusCode.UNAUTHENTICATED),
            ("a forged signature", [("macaroon", forged(self.paid[0][1]))], grpc.StatusCode.INTERNAL),
        ]
        for name, metadata, expected in cases:
            self.equal(f"{name}: {expected.name}", self.today(metadata), expected)
        code = self.unary("Today", b"?", self.paid, service="weather.Other").code
        self.equal("another service: UNIMPLEMENTED", code, grpc.StatusCode.UNIMPLEMENTED)
        self.equal("the service saw none of them", len(self.forecast.calls), calls)

    def streams(self) -> None:
        hours = self.channel.unary_stream(f"/{SERVICE}/Hours")(b"5", metadata=self.paid, timeout=PATIENCE_SECS)
        got = [next(hours)]
        self.forecast.first_hour_taken.set()
        got += list(hours)
        self.equal("the server's stream arrives as it is sent", got, [numbered("hour ", hour) for hour in range(5)])

        numbers = (numbered("", number) for number in range(100))
        total = self.channel.stream_unary(f"/{SERVICE}/Sum")(numbers, metadata=self.paid, timeout=PATIENCE_SECS)
        self.equal("the client's stream arrives whole", total, b"4950")

        words: queue.Queue[bytes | None] = queue.Queue()
        spoken = iter(words.get, None)
        talk = self.channel.stream_stream(f"/{SERVICE}/Talk")(spoken, metadata=self.paid, timeout=PATIENCE_SECS)
        echoes = []
        for number in range(20):
            words.put(numbered("", number))
            echoes.append(next(talk))
        words.put(None)
        expected = [numbered("echo ", number) for number in range(20)]
        self.equal("each side of a conversation hears before it speaks", echoes, expected)
        self.equal("the conversation ends with OK", (list(talk), talk.code()), ([], grpc.StatusCode.OK))

    def loads(self) -> None:
        large = bytes(range(256)) * (8 * 1024 * 1024 // 256)
        body = self.unary("Today", large, self.paid).body
        self.check("8 MiB go there and back", body == large, body and len(body))

        with ThreadPoolExecutor(max_workers=50) as callers:
            calls = [callers.submit(self.unary, "Today", numbered("", n), self.paid) for n in range(200)]
            answers = [call.result().body for call in calls]
        self.equal("200 calls, 50 at a time, on one connection", answers, [numbered("", n) for n in range(200)])

    def failures(self) -> None:
        answer = self.unary("Fail", b"?", self.paid)
        self.equal("the service's status passes", (answer.code, answer.details), FAILURE)
        self.check("its trailers pass", set(FAILURE_TRAILERS) <= set(answer.trailing), answer.trailing)

        later = self.channel.unary_stream(f"/{SERVICE}/FailLater")(b"?", metadata=self.paid, timeout=PATIENCE_SECS)
        got, code = [], None
        try:
            for message in later:
                got.append(message)
        except grpc.RpcError as error:
            code = error.code()
        self.equal("a status after messages passes", (got, code, later.details()), ([b"one", b"two"], *FAILURE))
        self.check("with its trailers", set(FAILURE_TRAILERS) <= set(entries(later.trailing_metadata())))

        code = self.unary("Nothing", b"?", self.paid).code
        self.equal("a method that the service has not: its own UNIMPLEMENTED", code, grpc.StatusCode.UNIMPLEMENTED)

        waiting = self.channel.unary_unary(f"/{SERVICE}/Wait").future(b"?", metadata=self.paid, timeout=PATIENCE_SECS)
        deadline = time.monotonic() + PATIENCE_SECS
        while self.forecast.calls[-1][0] != "Wait" and time.monotonic() < deadline:
            time.sleep(0.01)
        waiting.cancel()
        self.check("the service learns that the client gave up", self.forecast.cancelled.wait(PATIENCE_SECS / 2))
        left = self.forecast.deadline_secs
        self.check("the client's deadline reached the service", left is not None, left)

        self.forecast.stop()
        code = self.today(self.paid)
        self.equal("the service is down: UNAVAILABLE", code, grpc.StatusCode.UNAVAILABLE)


def entries(metadata) -> Metadata:
    """Metadata as pairs; none as none."""
    return [(item[0], item[1]) for item in metadata or ()]


def numbered(word: str, number: int) -> bytes:
    """A small message."""
    return f"{word}{number}".encode()


def hex_of(macaroon: str) -> str:
    """A token in the hex of gRPC metadata."""
    return base64.b64decode(macaroon).hex()


def forged(macaroon_hex: str) -> str:
    """The token with another last byte, which is the signature's."""
    return f"{macaroon_hex[:-2]}{int(macaroon_hex[-2:], 16) ^ 1:02x}"


def with_preimage(macaroon: str, preimage: str) -> str:
    """The token narrowed by a `preimage` caveat, in hex: how deployed gRPC clients prove their payment."""
    token = Macaroon.deserialize(base64.urlsafe_b64encode(base64.b64decode(macaroon)).decode())
    token.add_first_party_caveat(f"preimage={preimage}")
    text = token.serialize()
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()


def check_grpc(checks: Checks) -> None:
    """Everything about the gRPC service."""
    forecast = Forecast()
    gateway = Gateway(SERVICES.format(service=SERVICE, port=forecast.port), WORK)
    try:
        buyer = Buyer(gateway, forecast, checks)
        checks.run("gRPC without payment", buyer.unpaid)
        checks.run("gRPC credentials", buyer.credentials)
        checks.run("gRPC streams", buyer.streams)
        checks.run("gRPC loads", buyer.loads)
        checks.run("gRPC failures", buyer.failures)
        buyer.channel.close()
    finally:
        code = gateway.stop()
        forecast.stop()
    checks.equal("SIGTERM ends the gateway with 0", code, 0)
    # In metadata the preimage stands as hex within hex.
    said = gateway.said().lower()
    told = [form for form in (buyer.preimage, buyer.preimage.encode().hex()) if form in said]
    checks.check("its log has no preimage", bool(buyer.preimage) and not told)


def main() -> int:
    checks = Checks()
    checks.run("A gRPC service behind the gateway", lambda: check_grpc(checks))
    checks.run("nginx behind the gateway", lambda: check_files(checks))
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
