"""What the buyer is told when it cannot be bought: each a message with a hint, and an exit code of its own."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from programs.l402 import grpc_wallet, rest_wallet
from programs.ran import Ran
from regtest.lnd import Lnd
from regtest.network import CHANNEL_SAT
from regtest.process import wait_for

from .ground import Ground

REFUSED, NOT_PAID = 3, 4
# More than the buyer's half of the channel, and a cap that would allow it.
TOO_MUCH_SAT = CHANNEL_SAT // 2 + 1_000_000
DOORS = {"gRPC": grpc_wallet, "REST": rest_wallet}


def the_buyer_is_told_what_its_node_lacks(ground: Ground, stranger: Lnd) -> None:
    """`stranger` serves and has no channel."""
    services = (ground.service(), ground.service(f"{TOO_MUCH_SAT} sat", "/dear/", "dear"))
    octroi = ground.octroi("troubles", ground.shop(services=services))
    octroi.start()
    apart = ground.octroi("apart", ground.shop(node=stranger, macaroon=stranger.macaroon("invoice")))
    apart.start()
    macaroon = ground.buyer_macaroon()
    paid = len(ground.buyer.payments())
    for door, wallet in DOORS.items():
        own = wallet(ground.buyer, macaroon)
        dear = _get(ground, f"dear-{door}", own, octroi.url("/dear/x"), "--max-cost", f"{2 * TOO_MUCH_SAT} sat")
        _told(ground, f"{door}: more than the channel holds", dear, NOT_PAID, "balance")
        lost = _get(ground, f"route-{door}", own, apart.url("/weather/x"))
        _told(ground, f"{door}: no route to the seller", lost, NOT_PAID, "route")
        poor = _get(ground, f"poor-{door}", wallet(stranger, stranger.macaroon("admin")), octroi.url("/weather/x"))
        _told(ground, f"{door}: a wallet without channels", poor, NOT_PAID, "balance")
        weak = _get(
            ground, f"weak-{door}", wallet(ground.buyer, ground.buyer.macaroon("invoice")), octroi.url("/weather/x")
        )
        _told(ground, f"{door}: a macaroon that may not pay", weak, NOT_PAID, "TrackPaymentV2")
    kept = [payment for payment in ground.buyer.payments()[paid:] if payment["status"] != "FAILED"]
    ground.checks.equal("nothing was paid, nothing is under way", kept, [])
    octroi.stop()
    apart.stop()


def an_expired_invoice_is_not_paid(ground: Ground) -> None:
    """A seller that shows the challenge of yesterday."""
    octroi = ground.octroi("expiry", ground.shop(invoice_expiry="1s"))
    octroi.start()
    answer = octroi.get("/weather/expired")
    octroi.stop()
    invoice = ground.buyer.decode(answer.challenge().invoice)["payment_hash"]
    wait_for("the invoice is over", 10, lambda: ground.seller.invoice_of(invoice)["state"] == "CANCELED")
    old = _OldShop(answer.headers.get_all("www-authenticate"))
    try:
        got = _get(ground, "expired", rest_wallet(ground.buyer, ground.buyer_macaroon()), old.url)
    finally:
        old.stop()
    _told(ground, "an expired invoice", got, REFUSED, "expired")


def the_buyer_is_told_that_its_wallet_is_closed(ground: Ground, closed: Lnd, word: str) -> None:
    """`closed` has no wallet, or a locked one."""
    octroi = ground.octroi(f"closed-{closed.state()}", ground.shop())
    octroi.start()
    for door, wallet in DOORS.items():
        own = wallet(closed, ground.buyer.macaroon("admin"))
        got = _get(ground, f"{closed.state()}-{door}", own, octroi.url("/weather/x"))
        _told(ground, f"{door}: {closed.state()}", got, NOT_PAID, word)
    octroi.stop()


def _get(ground: Ground, name: str, wallet: str, url: str, *options: str) -> Ran:
    return ground.l402(f"trouble-{name}", wallet).get(url, *options)


def _told(ground: Ground, name: str, ran: Ran, code: int, *words: str) -> None:
    checks = ground.checks
    checks.equal(f"{name}: exit code {code}", ran.code, code)
    checks.check(f"{name}: told, with a hint", ran.says("error:", "hint:", *words), ran.err)
    for line in ran.err.strip().splitlines():
        if line.startswith(("error:", "  hint:")):
            ground.saw(line)


class _OldShop:
    """Answers each request with the same 402."""

    def __init__(self, challenges: list[str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(402)
                for challenge in challenges:
                    self.send_header("WWW-Authenticate", challenge)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/weather/old"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Frees the port."""
        self._server.shutdown()
        self._server.server_close()
