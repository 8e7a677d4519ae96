"""Against the incumbent: our buyer at Aperture, and its buyer at our gateway."""

from programs.aperture import Aperture
from programs.l402 import rest_wallet
from programs.lnget import Lnget

from .ground import PRICE_SAT, Ground


def our_buyer_pays_aperture(ground: Ground) -> None:
    """Bought once, asked again without paying."""
    checks = ground.checks
    aperture = Aperture(
        ground.aperture_binary,
        ground.folder / "aperture",
        ground.seller,
        ground.upstream.port,
        PRICE_SAT,
        ground.ending,
    )
    aperture.start()
    buyer = ground.l402("buyer-aperture", rest_wallet(ground.buyer, ground.buyer_macaroon()))
    paid = len(ground.buyer.payments())
    path = "/weather/from-aperture"

    first = buyer.get(aperture.url(path))
    checks.check("`l402 get` from Aperture ends with 0", first.code == 0, (first.code, first.err))
    checks.check("the body is the upstream's", first.out == ground.upstream.body(path), first.out[:80])
    bought = [(payment["status"], int(payment["value_sat"])) for payment in ground.buyer.payments()[paid:]]
    checks.equal("the buyer's lnd made one payment of the price", bought, [("SUCCEEDED", PRICE_SAT)])
    again = buyer.get(aperture.url(path))
    checks.check("again, the same body", again.code == 0 and again.out == first.out, (again.code, again.err))
    checks.equal("without a payment", len(ground.buyer.payments()), paid + len(bought))
    seen = ground.upstream.seen(path)[-1:]
    lines = [name for request in seen for name, _ in request.headers if name.lower() == "authorization"]
    ground.saw(
        f"bought in {first.secs:.2f} s, again in {again.secs:.2f} s; "
        f"Aperture shows its upstream {len(lines)} Authorization lines"
    )
    aperture.process.end()


def lnget_pays_our_gateway(ground: Ground) -> None:
    """Only where `LNGET` names a binary: lnget is not to be had as a package."""
    if ground.lnget_binary is None:
        print("  NOT RUN lnget against octroi: LNGET names no binary (LNGET=FILE e2e/lnd/run drives it)", flush=True)
        return
    checks = ground.checks
    octroi = ground.octroi("lnget", ground.shop())
    octroi.start()
    lnget = Lnget(ground.lnget_binary, ground.folder / "lnget-home", ground.buyer)
    paid = len(ground.buyer.payments())
    path = "/weather/from-octroi"
    first = lnget.get(octroi.url(path))
    checks.check("lnget ends with 0", first.code == 0, (first.code, first.err))
    checks.check("the body is the upstream's", first.out == ground.upstream.body(path), first.out[:80])
    bought = [(payment["status"], int(payment["value_sat"])) for payment in ground.buyer.payments()[paid:]]
    checks.equal("the buyer's lnd made one payment of the price", bought, [("SUCCEEDED", PRICE_SAT)])
    again = lnget.get(octroi.url(path))
    checks.check("again, the same body", again.code == 0 and again.out == first.out, (again.code, again.err))
    checks.equal("without a payment", len(ground.buyer.payments()), paid + len(bought))
    octroi.stop()
