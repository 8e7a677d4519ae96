"""PyPI `l402kit`: the synchronous and the asynchronous client, each with its own token store.

Its budget counts the `price_sats` of the 402's body, so the budget here is the price and a missing member would show.
"""

import asyncio
import sys

from l402kit.client import AsyncL402Client, L402Client, L402Wallet

from stage.report import WALLET, report

PRICE_SATS = 10


class Door(L402Wallet):
    def pay_invoice(self, bolt11: str) -> str:
        return WALLET.pay(bolt11)


def main(mode: str) -> None:
    if mode == "sync":
        client = L402Client(Door(), budget_sats=PRICE_SATS)

        def fetch(url: str) -> tuple[int, bytes]:
            response = client.get(url)
            return response.status_code, response.content

        report(fetch)
    else:
        client = AsyncL402Client(Door(), budget_sats=PRICE_SATS)
        with asyncio.Runner() as runner:

            def fetch_async(url: str) -> tuple[int, bytes]:
                response = runner.run(client.get(url))
                return response.status_code, response.content

            report(fetch_async)
            runner.run(client.close())
    spent = client.spending_report().total
    if spent != PRICE_SATS:
        sys.exit(f"l402kit counted {spent} sat, the price is {PRICE_SATS} sat: it did not find price_sats")


main(sys.argv[1])
