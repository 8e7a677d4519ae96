"""Answers for the library pymacaroons: one JSON object in, one out."""

import base64
import json
import sys

from pymacaroons import MACAROON_V2, Macaroon, Verifier


def mint(order):
    macaroon = Macaroon(
        location=order["location"],
        identifier=bytes.fromhex(order["identifier"]),
        key=bytes.fromhex(order["root_key"]),
        version=MACAROON_V2,
    )
    for caveat in order["caveats"]:
        macaroon.add_first_party_caveat(caveat)
    # The library writes base64url without padding, and a field for the location even if there is none. Everybody else
    # leaves an empty field out.
    text = macaroon.serialize()
    token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if not order["location"]:
        token = token.replace(b"\x02\x01\x00", b"\x02", 1)
    return base64.b64encode(token).decode()


def judge(presented):
    try:
        text = base64.urlsafe_b64encode(base64.b64decode(presented["token"])).decode().rstrip("=")
        macaroon = Macaroon.deserialize(text)
        verifier = Verifier()
        verifier.satisfy_general(lambda _predicate: True)
        verifier.verify(macaroon, bytes.fromhex(presented["root_key"]))
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}"


questions = json.load(sys.stdin)
json.dump({"mint": [mint(order) for order in questions["mint"]], "judge": [judge(case) for case in questions["judge"]]}, sys.stdout)
