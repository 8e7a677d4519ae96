"""A challenge as a buyer by hand reads it: only the one spelling that the gateway writes."""

import re
from dataclasses import dataclass

L402_LINE = re.compile(r'L402 macaroon="([^"]+)", invoice="([^"]+)", token="([^"]+)", version="0"')


@dataclass(frozen=True)
class Challenge:
    """What is offered: a token in base64, good once the invoice is paid."""

    macaroon: str
    invoice: str

    @classmethod
    def read(cls, lines: list[str]) -> "Challenge":
        """The L402 line among `WWW-Authenticate` lines."""
        for line in lines:
            if found := L402_LINE.fullmatch(line):
                return cls(found[1], found[2])
        raise ValueError(f"no L402 challenge among {lines}")
