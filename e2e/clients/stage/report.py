"""What a driver does: the same request twice, and one JSON line that says how each went."""

import hashlib
import json
import os
from collections.abc import Callable

from .wallet import Wallet

URL = os.environ.get("E2E_URL", "")
WALLET = Wallet(os.environ.get("E2E_WALLET", ""))

# A request as a client made it: the status and the body it got.
Fetch = Callable[[str], tuple[int, bytes]]


def report(fetch: Fetch, times: int = 2) -> None:
    """Fetches the protected URL and prints, for each time, what was paid meanwhile, the status and the body's hash."""
    requests = []
    for _ in range(times):
        before = len(WALLET.settled())
        status, body = fetch(URL)
        paid = len(WALLET.settled()) - before
        requests.append({"paid": paid, "status": status, "body_sha256": hashlib.sha256(body).hexdigest()})
    print(json.dumps({"requests": requests}))
