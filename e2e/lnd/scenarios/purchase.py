"""A seller with nothing but `invoice.macaroon`, and buyers over gRPC and REST."""

from programs.l402 import grpc_wallet, rest_wallet
from programs.octroi import Octroi, secrets_told

from .ground import PRICE_SAT, Ground


def buyers_pay_the_gateway_over_grpc_and_rest(ground: Ground) -> None:
    """Each buys once, and comes again without paying."""
    checks = ground.checks
    octroi = ground.octroi("purchase", ground.shop())
    octroi.start()
    looked = octroi.check()
    checks.check("`octroi check` finds nothing wrong", looked.code == 0, looked.text())
    checks.equal("`/readyz` says 200", octroi.readyz().status, 200)
    checks.equal("without payment: 402", octroi.get("/weather/unpaid").status, 402)
    macaroon = ground.buyer_macaroon()
    wallets = {"gRPC": grpc_wallet(ground.buyer, macaroon), "REST": rest_wallet(ground.buyer, macaroon)}
    for door, wallet in wallets.items():
        _buys_once(ground, octroi, door, wallet)
    _keeps_secrets(ground, octroi)
    checks.equal("SIGTERM ends the gateway with 0", octroi.stop(), 0)


def _buys_once(ground: Ground, octroi: Octroi, door: str, wallet: str) -> None:
    checks = ground.checks
    path = f"/weather/{door}"
    buyer = ground.l402(f"buyer-{door}", wallet)
    paid, settled = len(ground.buyer.payments()), ground.seller.settled()

    first = buyer.get(octroi.url(path))
    checks.check(f"{door}: `l402 get` ends with 0", first.code == 0, (first.code, first.err))
    checks.check(f"{door}: the body is the upstream's", first.out == ground.upstream.body(path), first.out[:80])
    payments = ground.buyer.payments()[paid:]
    bought = [(payment["status"], int(payment["value_sat"])) for payment in payments]
    checks.equal(f"{door}: the buyer's lnd made one payment of the price", bought, [("SUCCEEDED", PRICE_SAT)])
    checks.equal(f"{door}: the seller's lnd has one more settled invoice", ground.seller.settled(), settled + 1)

    again = buyer.get(octroi.url(path))
    same = again.code == 0 and again.out == first.out
    checks.check(f"{door}: again, the same body", same, (again.code, again.err))
    checks.equal(f"{door}: without a payment", len(ground.buyer.payments()), paid + len(payments))
    ground.saw(f"bought in {first.secs:.2f} s, again in {again.secs:.2f} s")


def _keeps_secrets(ground: Ground, octroi: Octroi) -> None:
    secrets = [payment["payment_preimage"] for payment in ground.buyer.payments()]
    secrets += [ground.seller.macaroon(name).read_bytes().hex() for name in ("invoice", "admin")]
    places = {
        "log": octroi.process.said(),
        "/readyz": octroi.readyz().body.decode(),
        "/metrics": octroi.metrics(),
        "`octroi check`": octroi.check().text(),
    }
    for place, text in places.items():
        ground.checks.equal(f"no preimage and no macaroon in its {place}", secrets_told(text, secrets), [])
