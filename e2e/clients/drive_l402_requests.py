"""PyPI `l402-requests`: the synchronous and the asynchronous client, each with its own token cache.

Its own LND wallet is not used: it takes the hex preimage of `/v2/router/send` for base64, and pays in vain.
"""

import asyncio
import sys

from l402_requests import AsyncL402Client, L402Client
from l402_requests.wallets import WalletBase

from stage.report import WALLET, report


class Door(WalletBase):
    async def pay_invoice(self, bolt11: str) -> str:
        return await asyncio.to_thread(WALLET.pay, bolt11)


def main(mode: str) -> None:
    if mode == "sync":
        client = L402Client(wallet=Door())

        def fetch(url: str) -> tuple[int, bytes]:
            response = client.get(url)
            return response.status_code, response.content

        return report(fetch)

    client = AsyncL402Client(wallet=Door())
    with asyncio.Runner() as runner:

        def fetch_async(url: str) -> tuple[int, bytes]:
            response = runner.run(client.get(url))
            return response.status_code, response.content

        report(fetch_async)
        runner.run(client.aclose())


main(sys.argv[1])
