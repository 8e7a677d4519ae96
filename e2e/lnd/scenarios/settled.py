"""`settlement: settled`: a right preimage is not enough, the node has to know the invoice as paid."""

import base64
import time

from programs.octroi import Octroi
from programs.web import Answer
from stage.challenge import Challenge

from .ground import Ground

# How soon after the payment access is promised.
PASS_SECS = 1.0


def a_leaked_preimage_opens_nothing_before_the_payment(ground: Ground) -> None:
    """lnd shows the preimage of an open invoice to whoever may read invoices; here it is presented unpaid."""
    checks = ground.checks
    octroi = ground.octroi("settled", ground.shop(settlement="settled"))
    octroi.start()
    challenge = octroi.get("/weather/leak").challenge()
    preimage = _leak(ground, challenge)
    credential = f"L402 {challenge.macaroon}:{preimage}"

    refused = octroi.get("/weather/leak", credential)
    checks.equal("its preimage, presented before the payment: 402", refused.status, 402)
    checks.equal("the reason is `unsettled`", refused.json().get("reason"), "unsettled")
    checks.equal("the same invoice and token are offered", _offer(refused), (challenge.macaroon, challenge.invoice))
    checks.equal("the upstream saw nothing", ground.upstream.seen("/weather/leak"), [])

    checks.equal("the buyer pays and gets the same preimage", ground.buyer.pay(challenge.invoice), preimage)
    secs = _until_served(octroi, credential)
    checks.check(f"it passes within {PASS_SECS:.0f} s of the payment", secs <= PASS_SECS, secs)
    ground.saw(f"first served {secs * 1000:.0f} ms after the payment")

    unpaid = octroi.get("/weather/leak").challenge()
    leaked = _leak(ground, unpaid)
    octroi.stop()
    octroi.start()
    checks.equal("it still passes after a restart", octroi.get("/weather/leak", credential).status, 200)
    ground.seller.kill()
    checks.equal("and with the node lost", octroi.get("/weather/leak", credential).status, 200)
    unsettled = octroi.get("/weather/unsettled", f"L402 {unpaid.macaroon}:{leaked}")
    checks.check("another leaked preimage does not", unsettled.status in (402, 503), unsettled.status)
    ground.saw(f"with the node lost, the leaked preimage gets {unsettled.status}: {unsettled.json().get('detail')}")
    checks.equal("the upstream saw nothing of it", ground.upstream.seen("/weather/unsettled"), [])
    ground.network.mend()
    octroi.stop()


def _leak(ground: Ground, challenge: Challenge) -> str:
    """The preimage of an invoice that nobody has paid, in hex."""
    payment_hash = ground.buyer.decode(challenge.invoice)["payment_hash"]
    invoice = ground.seller.invoice_of(payment_hash)
    ground.checks.equal("the invoice is open", invoice["state"], "OPEN")
    return base64.b64decode(invoice["r_preimage"]).hex()


def _offer(answer: Answer) -> tuple[str, str] | None:
    try:
        challenge = answer.challenge()
    except ValueError:
        return None
    return challenge.macaroon, challenge.invoice


def _until_served(octroi: Octroi, credential: str) -> float:
    """Seconds until the first 200, asked for all the time."""
    started = time.monotonic()
    while octroi.get("/weather/leak", credential).status != 200 and time.monotonic() < started + 10 * PASS_SECS:
        time.sleep(0.01)
    return time.monotonic() - started
