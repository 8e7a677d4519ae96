"""PyPI `lightning-enable-mcp`: the L402 client of its server with its own LND REST wallet (`/v2/router/send`).

`fetch` keeps no token and buys each time. `pay_challenge` hands its token to the caller, who may use it again.
Its guard against private addresses would refuse a gateway on loopback, so its HTTP client is replaced by a plain one.
"""

import asyncio
import sys

import httpx
from lightning_enable_mcp.l402_client import L402Client
from lightning_enable_mcp.lnd_wallet import LndWallet

from stage.report import WALLET, report

# Any macaroon will do at the loopback node's door.
MACAROON_HEX = "00"


class Buyer:
    def __init__(self, wallet: LndWallet) -> None:
        self.client = L402Client(wallet)
        self.client._http_client = httpx.AsyncClient(headers={"accept-encoding": "identity"}, follow_redirects=False)
        self.headers: dict[str, str] = {}

    async def fetch(self, url: str) -> tuple[int, bytes]:
        """One call; `fetch` raises on every status from 400 up."""
        text, _, _ = await self.client.fetch(url, headers=self.headers)
        return 200, text.encode()

    async def fetch_with_bought_token(self, url: str) -> tuple[int, bytes]:
        """Buys a token from a challenge in hand, unless there is one."""
        if not self.headers:
            unpaid = await self.client._http_client.get(url)
            challenge = self.client.parse_best_challenge(unpaid.headers["www-authenticate"])
            token = await self.client.pay_challenge(challenge.invoice, challenge.macaroon)
            self.headers = {"Authorization": token.to_header()}
        return await self.fetch(url)


def main(mode: str) -> None:
    with asyncio.Runner() as runner:
        wallet = LndWallet(WALLET.url, MACAROON_HEX)
        runner.run(wallet.connect())
        buyer = Buyer(wallet)
        fetch = {"fetch": buyer.fetch, "pay_challenge": buyer.fetch_with_bought_token}[mode]
        report(lambda url: runner.run(fetch(url)))
        runner.run(buyer.client.close())


main(sys.argv[1])
