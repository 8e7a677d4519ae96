"""Purchases over real channels: octroi and l402 with lnd on both sides, whole and in trouble.

`python3 check_lnd.py [NUMBER...]` runs all six scenarios, or those named. `run` beside this file builds what it needs.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from regtest.network import Network
from regtest.process import Ending, claim
from scenarios.ground import Ground
from scenarios.incumbent import lnget_pays_our_gateway, our_buyer_pays_aperture
from scenarios.killed_buyer import a_killed_buyer_pays_exactly_once, a_payment_left_under_way_is_waited_for
from scenarios.lost_node import paid_customers_do_not_notice_a_lost_node, settlements_made_meanwhile_are_caught_up
from scenarios.purchase import buyers_pay_the_gateway_over_grpc_and_rest
from scenarios.settled import a_leaked_preimage_opens_nothing_before_the_payment
from scenarios.troubles import nodes_in_trouble_are_told_with_a_hint
from stage.checks import Checks
from stage.upstream import Upstream

SCENARIOS = {
    "1": [
        ("1. A seller with only invoice.macaroon, buyers by gRPC and REST", buyers_pay_the_gateway_over_grpc_and_rest)
    ],
    "2": [
        ("2. Our buyer at Aperture", our_buyer_pays_aperture),
        ("2b. lnget at our gateway", lnget_pays_our_gateway),
    ],
    "3": [
        ("3. The seller's node is lost under load", paid_customers_do_not_notice_a_lost_node),
        ("3b. Settlements made meanwhile", settlements_made_meanwhile_are_caught_up),
    ],
    "4": [("4. A leaked preimage, and `settlement: settled`", a_leaked_preimage_opens_nothing_before_the_payment)],
    "5": [
        ("5. The buyer is killed at ten points", a_killed_buyer_pays_exactly_once),
        ("5b. The buyer is killed while its payment hangs", a_payment_left_under_way_is_waited_for),
    ],
    "6": [("6. Nodes in trouble", nodes_in_trouble_are_told_with_a_hint)],
}


def _and_mend(scenario: Callable[[Ground], None], ground: Ground) -> None:
    """Whatever became of the nodes, the next scenario finds them well."""
    try:
        scenario(ground)
    finally:
        ground.network.mend()


def main(numbers: list[str]) -> int:
    if unknown := set(numbers) - set(SCENARIOS):
        print(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    target = Path(os.environ["TARGET"])
    folder = target / "e2e" / "lnd" / "test"
    claim(folder)
    binaries = target / "e2e" / "bin"
    lnget = os.environ.get("LNGET")
    checks = Checks()
    with Ending() as ending:
        network = Network(folder / "network", binaries, ending)
        print("The network")
        network.up(lambda line: print(f"  {line}", flush=True))
        upstream = Upstream()
        ending.add(upstream.stop)
        ground = Ground(
            checks=checks,
            network=network,
            upstream=upstream,
            folder=folder,
            octroi_binary=Path(os.environ.get("OCTROI_BIN", target / "release" / "octroi")),
            l402_binary=Path(os.environ.get("L402_BIN", target / "release" / "l402")),
            aperture_binary=binaries / "aperture",
            lnget_binary=Path(lnget) if lnget else None,
            ending=ending,
        )
        for number in numbers or SCENARIOS:
            for title, scenario in SCENARIOS[number]:
                checks.run(title, partial(_and_mend, scenario, ground))
    return checks.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
