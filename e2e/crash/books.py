"""The ledger's own word, held against the tally: what it says as a whole, and what it says of each token."""

import asyncio
import random

from metered.gateway import Gateway
from tally import JOURNAL, Tally, Token

# Balances are asked for by so many commands at a time.
COMMANDS = 4


class Books:
    """Looks at one gateway's ledger, again and again."""

    def __init__(self, gateway: Gateway, tally: Tally, is_shared: bool, rng: random.Random) -> None:
        self._gateway = gateway
        self._tally = tally
        self._is_shared = is_shared
        self._rng = rng
        self.looks = 0

    async def look(self, in_use: list[Token]) -> None:
        """Reads the ledger of a gateway that nobody talks to. The line that was last is read again: it stays as it was.
        Of the tokens that are in use one is asked for by itself."""
        last = self._tally.last_line
        audit, lines = await asyncio.gather(self._gateway.check(), self._gateway.export(last["line"] if last else 1))
        if last and (not lines or lines.pop(0) != last):
            self._tally.fault(JOURNAL, f"the line {last} is not there any more")
        self._tally.read(lines)
        self._tally.judge(audit, may_be_open=self._is_shared)
        if in_use and not self._is_shared:
            token = self._rng.choice(in_use)
            self._tally.judge_balance(token, await self._gateway.balance(token.purchase.token_id))
        self.looks += 1

    async def balances(self) -> None:
        """Asks for the balance of every token that there is."""
        at_once = asyncio.Semaphore(COMMANDS)

        async def ask(token: Token) -> None:
            async with at_once:
                self._tally.judge_balance(token, await self._gateway.balance(token.purchase.token_id))

        await asyncio.gather(*map(ask, self._tally.tokens.values()))
