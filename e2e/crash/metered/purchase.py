"""Buying a pack with a wallet at the loopback node's door."""

import base64
from dataclasses import dataclass

from stage.challenge import Challenge

from .http1 import Answer, BrokenOff, Connection, get, post_json

IDENTIFIER_BYTES = 66


class NotSold(Exception):
    """The gateway or the wallet answered, and nothing was bought."""


@dataclass(frozen=True)
class Purchase:
    """A token that is paid for. Its account in the ledger is its payment hash."""

    credential: str
    token_id: str
    payment_hash: str


async def buy(front: int, wallet: int, path: str) -> Purchase:
    """Asks without paying, pays, and makes the credential. Raises `BrokenOff` if gateway or wallet go away meanwhile:
    then nothing can have been booked, because the token was never presented."""
    refused = await _ask(front, get(path))
    if refused.head.status != 402:
        raise NotSold(f"{refused.head.status} {refused.body[:300]!r}")
    challenge = Challenge.read(refused.head.all("www-authenticate"))
    paid = (await _ask(wallet, post_json("/v1/channels/transactions", {"payment_request": challenge.invoice}))).json()
    if paid.get("payment_error") or "payment_preimage" not in paid:
        raise NotSold(str(paid))
    preimage = base64.b64decode(paid["payment_preimage"], validate=True).hex()
    identifier = identifier_of(base64.b64decode(challenge.macaroon, validate=True))
    return Purchase(
        credential=f"L402 {challenge.macaroon}:{preimage}",
        token_id=identifier[34:].hex(),
        payment_hash=identifier[2:34].hex(),
    )


async def _ask(port: int, request: bytes) -> Answer:
    connection = await Connection.open(port)
    try:
        connection.send(request)
        return await connection.answer()
    finally:
        connection.cut()


def identifier_of(macaroon: bytes) -> bytes:
    """The identifier in a binary macaroon (version 2): two bytes of version, payment hash, token id."""
    at = 1
    while at < len(macaroon):
        kind, size = macaroon[at], macaroon[at + 1]
        value = macaroon[at + 2 : at + 2 + size]
        if kind == 2 and len(value) == IDENTIFIER_BYTES:
            return value
        at += 2 + size
    raise ValueError("a macaroon without our identifier")


__all__ = ["BrokenOff", "NotSold", "Purchase", "buy"]
