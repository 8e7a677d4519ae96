#!/usr/bin/env python3
"""Makes two wallets at a fresh LNbits, fills one of them, and prints the variables that the live tests want."""

import json
import secrets
import sys
import urllib.request

BUYER_SAT = 1_000_000


def ask(address, method, path, body, token=None):
    """The answer of LNbits, which has to be a success."""
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(address + path, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def main():
    address = sys.argv[1]
    password = secrets.token_hex(16)
    keeper = {"username": "keeper", "password": password, "password_repeat": password}
    token = ask(address, "PUT", "/api/v1/auth/first_install", keeper)["access_token"]
    seller = ask(address, "POST", "/api/v1/account", {"name": "seller"})
    buyer = ask(address, "POST", "/api/v1/account", {"name": "buyer"})
    ask(address, "PUT", "/users/api/v1/balance", {"id": buyer["id"], "amount": BUYER_SAT}, token)
    print(f"L402_LNBITS_ADDRESS={address}")
    print(f"L402_LNBITS_SELLER_KEY={seller['inkey']}")
    print(f"L402_LNBITS_BUYER_KEY={buyer['adminkey']}")
    print(f"L402_LNBITS_BUYER_INVOICE_KEY={buyer['inkey']}")


if __name__ == "__main__":
    main()
