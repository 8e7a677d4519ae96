"""PyPI `l402` 0.0.9 (later versions speak another protocol): on requests and on httpx, tokens in SQLite."""

import asyncio
import sys

from l402.client.client import Client
from l402.client.credentials import SqliteAsyncService, SqliteCredentialsService
from l402.client.preimage_provider import PreimageProvider
from l402.client.requests import SyncClient

from stage.report import WALLET, report

STORE = ":memory:"


class Door(PreimageProvider):
    def get_preimage(self, invoice: str) -> str:
        return WALLET.pay(invoice)


class AsyncDoor(PreimageProvider):
    async def get_preimage(self, invoice: str) -> str:
        return await asyncio.to_thread(WALLET.pay, invoice)


def main(mode: str) -> None:
    if mode == "sync":
        client = SyncClient(Door(), SqliteCredentialsService(STORE))

        def fetch(url: str) -> tuple[int, bytes]:
            response = client.request("GET", url)
            return response.status_code, response.content

        return report(fetch)

    with asyncio.Runner() as runner:
        client = Client(AsyncDoor(), SqliteAsyncService(STORE))

        def fetch_async(url: str) -> tuple[int, bytes]:
            response = runner.run(client.request("GET", url))
            return response.status_code, response.content

        report(fetch_async)


main(sys.argv[1])
