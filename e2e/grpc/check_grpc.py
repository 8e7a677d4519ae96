"""A gRPC service behind the gateway: unpaid, paid, streaming, failing. Then nginx behind the gateway."""

import base64
import queue
import sys
import threading
import time

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

Metadata = list[tuple[str, str]]


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

    # What a call is made with: method kinds, all with plain bytes.

    def unary(self, method: str, request: bytes, metadata: Metadata, path: str = SERVICE):
        """The answer's (code, details, body, initial and trailing metadata)."""
        call = self.channel.unary_unary(f"/{path}/{method}")
        try:
            body, answer = call.with_call(request, metadata=metadata, timeout=PATIENCE_SECS)
        except grpc.RpcError as error:
            body, answer = None, error
        return answer.code(), answer.details(), body, entries(answer.initial_metadata()), entries(answer.trailing_metadata())

    def unpaid(self) -> None:
        code, details, _, initial, trailing = self.unary("Today", b"?", [])
        self.equal("the status is INTERNAL", code, grpc.StatusCode.INTERNAL)
        self.equal("the message says it", details, "payment required")
        lines = [value for name, value in trailing if name == "www-authenticate"]
        self.equal("two challenge lines in the trailing metadata", len(lines), 2)
        self.check("the LSAT line first", lines[0].startswith('LSAT macaroon="'), lines)
        self.check("nothing of it in the initial metadata", "www-authenticate" not in dict(initial), initial)
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
        code, details, body, initial, trailing = self.unary("Today", b"?", self.paid + own)
        self.equal("the call succeeds with `macaroon` metadata", (code, body), (grpc.StatusCode.OK, b"?"))
        self.check("initial metadata arrives", ("x-station", "north") in initial, initial)
        self.check("trailing metadata arrives", ("x-quality", "good") in trailing, trailing)
        _, metadata = self.forecast.calls[-1]
        names = [name for name, _ in metadata]
        self.check("the service does not see the credential", not {"macaroon", "authorization"} & set(names), names)
        self.check("the service sees the token's id", "l402-token-id" in names, names)
        self.check("the service sees the client's own metadata", set(own) <= set(metadata), metadata)

        prefixed = [("grpc-metadata-macaroon", self.paid[0][1])]
        self.equal("`grpc-metadata-macaroon` is as good", self.unary("Today", b"?", prefixed)[0], grpc.StatusCode.OK)
        authorization = [("authorization", f"L402 {self.macaroon}:{self.preimage}")]
        self.equal("so is `authorization`", self.unary("Today", b"?", authorization)[0], grpc.StatusCode.OK)

        calls = len(self.forecast.calls)
        wrong = "00" * 32
        cases = [
            ("a wrong preimage", [("macaroon", with_preimage(self.macaroon, wrong))], grpc.StatusCode.UNAUTHENTICATED),
            ("no preimage", [("macaroon", hex_of(self.macaroon))], grpc.StatusCode.UNAUTHENTICATED),
            ("rubbish", [("macaroon", "00ff")], grpc.StatusCode.UNAUTHENTICATED),
            ("a forged signature", [("macaroon", forged(self.paid[0][1]))], grpc.StatusCode.INTERNAL),
        ]
        for name, metadata, expected in cases:
            self.equal(f"{name}: {expected.name}", self.unary("Today", b"?", metadata)[0], expected)
        code = self.unary("Today", b"?", self.paid, path="weather.Other")[0]
        self.equal("another service: UNIMPLEMENTED", code, grpc.StatusCode.UNIMPLEMENTED)
        self.equal("the service saw none of them", len(self.forecast.calls), calls)

    def streams(self) -> None:
        hours = self.channel.unary_stream(f"/{SERVICE}/Hours")(b"5", metadata=self.paid, timeout=PATIENCE_SECS)
        got = [next(hours)]
        self.forecast.first_hour_taken.set()
        got += list(hours)
        self.equal("the server's stream arrives as it is sent", got, [f"hour {hour}".encode() for hour in range(5)])

        numbers = (str(number).encode() for number in range(100))
        total = self.channel.stream_unary(f"/{SERVICE}/Sum")(numbers, metadata=self.paid, timeout=PATIENCE_SECS)
        self.equal("the client's stream arrives whole", total, b"4950")

        words: queue.Queue[bytes | None] = queue.Queue()
        talk = self.channel.stream_stream(f"/{SERVICE}/Talk")(iter(words.get, None), metadata=self.paid, timeout=PATIENCE_SECS)
        echoes = []
        for number in range(20):
            words.put(f"{number}".encode())
            echoes.append(next(talk))
        words.put(None)
        self.equal("each side of a conversation hears before it speaks", echoes, [f"echo {number}".encode() for number in range(20)])
        self.equal("the conversation ends with OK", (list(talk), talk.code()), ([], grpc.StatusCode.OK))

        large = bytes(range(256)) * (8 * 1024 * 1024 // 256)
        body = self.unary("Today", large, self.paid)[2]
        self.check("8 MiB go there and back", body == large, body and len(body))

        answers: list[bytes] = []
        def ask(number: int) -> None:
            answers.append(self.unary("Today", f"{number}".encode(), self.paid)[2])
        threads = [threading.Thread(target=ask, args=[number]) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECS)
        self.equal("fifty calls at once on one connection", sorted(answers), sorted(f"{number}".encode() for number in range(50)))

    def failures(self) -> None:
        code, details, _, _, trailing = self.unary("Fail", b"?", self.paid)
        self.equal("the service's status passes", (code, details), FAILURE)
        self.check("its trailers pass", set(FAILURE_TRAILERS) <= set(trailing), trailing)

        later = self.channel.unary_stream(f"/{SERVICE}/FailLater")(b"?", metadata=self.paid, timeout=PATIENCE_SECS)
        got, code = [], None
        try:
            for message in later:
                got.append(message)
        except grpc.RpcError as error:
            code = error.code()
        self.equal("a status after messages passes", (got, code, later.details()), ([b"one", b"two"], *FAILURE))
        self.check("with its trailers", set(FAILURE_TRAILERS) <= set(entries(later.trailing_metadata())))

        code = self.unary("Nothing", b"?", self.paid)[0]
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
        code = self.unary("Today", b"?", self.paid)[0]
        self.equal("the service is down: UNAVAILABLE", code, grpc.StatusCode.UNAVAILABLE)


def entries(metadata) -> Metadata:
    """Metadata as pairs; none as none."""
    return [(item[0], item[1]) for item in metadata or ()]


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
        checks.run("gRPC failures", buyer.failures)
        buyer.channel.close()
    finally:
        code = gateway.stop()
        forecast.stop()
    checks.equal("SIGTERM ends the gateway with 0", code, 0)
    checks.check("its log has no preimage", bool(buyer.preimage) and buyer.preimage not in gateway.said().lower())


def main() -> int:
    checks = Checks()
    checks.run("A gRPC service behind the gateway", lambda: check_grpc(checks))
    checks.run("nginx behind the gateway", lambda: check_files(checks))
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
