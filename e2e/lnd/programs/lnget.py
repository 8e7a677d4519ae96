"""lnget, the other gateway's own buyer, where there is a binary of it."""

from pathlib import Path

from regtest.lnd import Lnd

from .ran import Ran, run


class Lnget:
    """A buyer that pays from an lnd with its admin macaroon."""

    def __init__(self, binary: Path, home: Path, node: Lnd) -> None:
        home.mkdir(parents=True)
        self._binary = binary
        self._home = home
        self._env = {
            "HOME": str(home),
            "LNGET_LN_MODE": "lnd",
            "LNGET_LN_LND_HOST": f"127.0.0.1:{node.grpc}",
            "LNGET_LN_LND_TLS_CERT": str(node.certificate),
            "LNGET_LN_LND_MACAROON": str(node.macaroon("admin")),
            "LNGET_LN_LND_NETWORK": "regtest",
        }

    def get(self, url: str) -> Ran:
        """Fetches a URL; the body goes to standard output."""
        return run([str(self._binary), "-q", url], self._home, self._env)
