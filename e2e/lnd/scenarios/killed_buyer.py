"""A buyer that is killed with SIGKILL on the way, and comes again."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from programs.l402 import L402, rest_wallet
from programs.octroi import Octroi
from regtest.process import wait_for

from .ground import PRICE_SAT, Ground

# When the buyer is killed. First two by the time since its start, then by the time since its journal holds the
# intent, which is the last thing before the payment; that one takes about 75 ms over this channel.
KILLS_AFTER_START_MS = (5, 15)
KILLS_AFTER_INTENT_MS = (0, 4, 12, 24, 40, 55, 70, 85)
# Longest wait for a buyer to write its intent.
INTENT_SECS = 10
# How long the seller's node hangs around the second attempt, so that the payment stays under way.
HANG_SECS = 1.5


def a_killed_buyer_pays_exactly_once(ground: Ground) -> None:
    """Ten kills, each followed by one more `l402 get`."""
    octroi = ground.octroi("killed-buyer", ground.shop())
    octroi.start()
    moments = [("start", wait) for wait in KILLS_AFTER_START_MS] + [("intent", wait) for wait in KILLS_AFTER_INTENT_MS]
    for number, (since, wait) in enumerate(moments):
        _round(ground, octroi, number, since, wait)
    octroi.stop()


def a_payment_left_under_way_is_waited_for(ground: Ground) -> None:
    """The seller's node hangs, the buyer is killed and comes again while its payment is still in flight."""
    checks = ground.checks
    octroi = ground.octroi("payment-under-way", ground.shop())
    octroi.start()
    path = "/weather/under-way"
    buyer = ground.l402("buyer-under-way", rest_wallet(ground.buyer, ground.buyer_macaroon()))
    paid = len(ground.buyer.payments())
    child = buyer.begin(octroi.url(path))
    try:
        _await_intent(buyer, child)
        ground.seller.freeze()
        time.sleep(HANG_SECS)
    finally:
        child.kill()
        child.wait()
    checks.equal("the payment is under way", [one["status"] for one in ground.buyer.payments()[paid:]], ["IN_FLIGHT"])
    with ThreadPoolExecutor() as pool:
        coming = pool.submit(buyer.get, octroi.url(path))
        time.sleep(HANG_SECS)
        waits = not coming.done()
        ground.seller.thaw()
        again = coming.result()
    checks.check("the buyer that came again waits for it", waits, (again.code, again.err))
    checks.check(
        "it ends with the body", again.code == 0 and again.out == ground.upstream.body(path), (again.code, again.err)
    )
    checks.equal("of one payment", [one["status"] for one in ground.buyer.payments()[paid:]], ["SUCCEEDED"])
    octroi.stop()


def _round(ground: Ground, octroi: Octroi, number: int, since: str, wait_ms: int) -> None:
    checks = ground.checks
    name = f"killed {wait_ms} ms after its {since}"
    path = f"/weather/kill-{number}"
    buyer = ground.l402(f"buyer-kill-{number}", rest_wallet(ground.buyer, ground.buyer_macaroon()))
    paid, settled = len(ground.buyer.payments()), ground.seller.settled()

    child = buyer.begin(octroi.url(path))
    try:
        if since == "intent":
            _await_intent(buyer, child)
        time.sleep(wait_ms / 1000)
    finally:
        child.kill()
        child.wait()
    told = {payment["status"] for payment in ground.buyer.payments()[paid:]}
    ground.saw(
        f"{name}: journal: {buyer.stage()}; the node: {', '.join(told) or 'nothing asked'}; "
        f"{'it had ended' if child.returncode == 0 else 'cut off'}"
    )

    again = buyer.get(octroi.url(path))
    checks.check(
        f"{name}: `l402 get` again ends with the body",
        again.code == 0 and again.out == ground.upstream.body(path),
        (again.code, again.err),
    )
    payments = [(payment["status"], int(payment["value_sat"])) for payment in ground.buyer.payments()[paid:]]
    checks.equal(f"{name}: exactly one payment, and it succeeded", payments, [("SUCCEEDED", PRICE_SAT)])
    checks.equal(f"{name}: the seller was paid once", ground.seller.settled(), settled + 1)


def _await_intent(buyer: L402, child: subprocess.Popen) -> None:
    """Watches the journal closely: what comes next takes milliseconds."""
    end = time.monotonic() + INTENT_SECS
    while not buyer.journal() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.0005)
    wait_for("the buyer wrote its intent", 0, buyer.journal)
