"""A seller with nothing but `invoice.macaroon`, and buyers over gRPC and REST."""

from programs.l402 import grpc_wallet, rest_wallet
from programs.octroi import Octroi, secrets_told

from .ground import PRICE_SAT, Ground


def buyers_pay_the_gateway_over_grpc_and_rest(ground: Ground) -> None:
    """Each buys once, and comes again without paying."""
    checks = ground.checks
    services = (ground.service(), ground.metered_service())
    octroi = ground.octroi("purchase", ground.shop(services=services))
    octroi.start()
    looked = octroi.check()
    checks.check("`octroi check` finds nothing wrong", looked.code == 0, looked.text())
    checks.equal("`/readyz` says 200", octroi.readyz().status, 200)
    checks.equal("without payment: 402", octroi.get("/weather/unpaid").status, 402)
    macaroon = ground.buyer_macaroon()
    wallets = {"gRPC": grpc_wallet(ground.buyer, macaroon), "REST": rest_wallet(ground.buyer, macaroon)}
    for door, wallet in wallets.items():
        _buys_once(ground, octroi, door, wallet)
    _sells_packs(ground, octroi, wallets["gRPC"])
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


def _sells_packs(ground: Ground, octroi: Octroi, wallet: str) -> None:
    """A pack of two is paid for over the channel once, and once more when it is used up."""
    checks = ground.checks
    buyer = ground.l402("buyer-packs", wallet)
    paid = len(ground.buyer.payments())
    payments = []
    for _ in range(3):
        got = buyer.get(octroi.url("/packs/x"))
        whole = got.code == 0 and got.out == ground.upstream.body("/packs/x")
        checks.check("a metered body is the upstream's", whole, (got.code, got.err))
        payments.append(len(ground.buyer.payments()) - paid)
    checks.equal("three requests are two payments for packs of two", payments, [1, 1, 2])
    audit = octroi.ledger_check()
    checks.check("`octroi ledger check` finds every unit", audit.code == 0, audit.text())


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
