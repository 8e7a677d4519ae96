"""A wallet at the loopback node's door, which speaks a part of LND's REST interface."""

import base64
import json
import urllib.request

# Longest wait for one answer of the door.
TIMEOUT_SECS = 20


class PaymentFailed(Exception):
    """The wallet says that nothing was paid, and why."""


class Wallet:
    """Pays invoices and lists what was paid."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def pay(self, invoice: str) -> str:
        """Pays by `POST /v1/channels/transactions`; the preimage in hex."""
        answer = self._json("/v1/channels/transactions", {"payment_request": invoice})
        if answer.get("payment_error"):
            raise PaymentFailed(answer["payment_error"])
        return base64.b64decode(answer["payment_preimage"], validate=True).hex()

    def pay_by_router(self, invoice: str, fee_limit_sat: int = 10) -> str:
        """Pays by `POST /v2/router/send`, whose answer is a stream of JSON lines; the preimage in hex."""
        ask = {"payment_request": invoice, "timeout_seconds": TIMEOUT_SECS, "fee_limit_sat": str(fee_limit_sat)}
        payment = {"status": "UNKNOWN"}
        for line in self._ask("/v2/router/send", ask).splitlines():
            update = json.loads(line)
            if "error" in update:
                raise PaymentFailed(update["error"]["message"])
            payment = update["result"]
        if payment["status"] != "SUCCEEDED":
            raise PaymentFailed(payment.get("failure_reason", payment["status"]))
        return payment["payment_preimage"]

    def settled(self) -> list[dict]:
        """Every payment that succeeded, oldest first."""
        payments = self._json("/v1/payments")["payments"]
        return [payment for payment in payments if payment["status"] == "SUCCEEDED"]

    def _json(self, path: str, ask: dict | None = None) -> dict:
        return json.loads(self._ask(path, ask))

    def _ask(self, path: str, ask: dict | None = None) -> str:
        body = None if ask is None else json.dumps(ask).encode()
        request = urllib.request.Request(self.url + path, data=body)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECS) as answer:
            return answer.read().decode()
