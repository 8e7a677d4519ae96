"""PyPI `l402sdk`, the Python face of a Rust client: its own LND REST wallet pays by `/v2/router/send`, its own store
keeps the token."""

from l402 import Budget, L402Client

from stage.report import WALLET, report

# Any macaroon will do at the loopback node's door.
MACAROON_HEX = "00"


def main() -> None:
    client = L402Client.with_lnd_rest(WALLET.url, MACAROON_HEX, budget=Budget(total_max=10))

    def fetch(url: str) -> tuple[int, bytes]:
        response = client.get(url)
        return response.status, response.text().encode()

    report(fetch)


main()
