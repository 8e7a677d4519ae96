"""What every scenario stands on: the network, an upstream, the programs under test, the checks."""

from dataclasses import dataclass
from pathlib import Path

from programs.l402 import L402
from programs.octroi import Octroi, Shop
from regtest.lnd import Lnd
from regtest.network import Network
from regtest.process import Ending
from stage.checks import Checks
from stage.upstream import Upstream

# What a seller's gateway needs, and what a buyer's wallet needs, as lnd names its methods.
SELLER_METHODS = (
    "/lnrpc.Lightning/AddInvoice",
    "/lnrpc.Lightning/LookupInvoice",
    "/lnrpc.Lightning/SubscribeInvoices",
    "/invoicesrpc.Invoices/CancelInvoice",
)
BUYER_METHODS = ("/routerrpc.Router/SendPaymentV2", "/routerrpc.Router/TrackPaymentV2", "/lnrpc.Lightning/GetInfo")
PRICE_SAT = 10


@dataclass
class Ground:
    """One run of the test. Everything written lies in `folder`."""

    checks: Checks
    network: Network
    upstream: Upstream
    folder: Path
    octroi_binary: Path
    l402_binary: Path
    aperture_binary: Path
    lnget_binary: Path | None
    ending: Ending

    @property
    def seller(self) -> Lnd:
        """The node that is paid."""
        return self.network.seller

    @property
    def buyer(self) -> Lnd:
        """The node that pays."""
        return self.network.buyer

    def saw(self, text: str) -> None:
        """Tells what happened, where a check would say only that it was right."""
        print(f"          {text}", flush=True)

    def service(self, price: str = f"{PRICE_SAT} sat", path: str = "/weather/", name: str = "weather") -> str:
        """A paid service with the upstream behind it, as a line of the config."""
        return f'{{ name: {name}, path: {path}, upstream: "{self.upstream.url}", price: {price}, valid_for: 1h }}'

    def metered_service(self) -> str:
        """A service that is sold in packs of two requests."""
        meter = "{ unit: request, pack: 2, cost: 1 }"
        return (
            f'{{ name: packs, path: /packs/, upstream: "{self.upstream.url}", price: {PRICE_SAT} sat, meter: {meter} }}'
        )

    def shop(self, **settings: object) -> Shop:
        """A shop that is paid on the seller's lnd with nothing but its invoice.macaroon, unless said otherwise."""
        node = self.seller
        usual = {"node": node, "macaroon": node.macaroon("invoice"), "services": (self.service(),)}
        return Shop(**(usual | settings))

    def octroi(self, name: str, shop: Shop) -> Octroi:
        """A gateway, not started."""
        return Octroi(self.octroi_binary, self.folder / name, shop, self.ending)

    def l402(self, name: str, wallet: str) -> L402:
        """A buyer without a past."""
        return L402(self.l402_binary, self.folder / name, wallet)

    def buyer_macaroon(self) -> Path:
        """A macaroon that may pay and ask about payments, and nothing else."""
        file = self.buyer.macaroon("l402")
        return file if file.exists() else self.buyer.bake("l402", *BUYER_METHODS)
