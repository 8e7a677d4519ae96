"""The network: a seller and a buyer with one channel between them, half of it on each side."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .btcd import Btcd
from .lnd import PATIENCE_SECS, Lnd
from .process import Ending, wait_for

CHANNEL_SAT = 16_000_000
# Segwit activates by signalling over three windows of 144 blocks, and what is mined can be spent after 100.
FIRST_BLOCKS = 450
# Enough for the channel to be announced.
CHANNEL_BLOCKS = 6
FEE_SAT_PER_VBYTE = 2


class Network:
    """btcd, `seller` and `buyer`, and further nodes on request. `ending` ends them all."""

    def __init__(self, folder: Path, binaries: Path, ending: Ending) -> None:
        """Everything lies in `folder`, which is new."""
        folder.mkdir()
        self.folder = folder
        self.binaries = binaries
        self._ending = ending
        self.btcd = self.chain("btcd")
        self.seller = self.node("seller")
        self.buyer = self.node("buyer")

    def chain(self, name: str) -> Btcd:
        """A btcd, not started."""
        btcd = Btcd(self.folder / name, self.binaries)
        self._ending.add(btcd.end)
        return btcd

    def node(self, name: str, *, btcd: Btcd | None = None, program: str = "lnd", wallet_by_hand: bool = False) -> Lnd:
        """An lnd, not started, that follows this network's chain or another."""
        binary = self.binaries / program
        lnd = Lnd(name, self.folder / name, btcd or self.btcd, binary, wallet_by_hand=wallet_by_hand)
        self._ending.add(lnd.end)
        return lnd

    def up(self, tell: Callable[[str], None]) -> None:
        """Starts everything; at the end both can pay each other."""
        started = time.monotonic()

        def told(what: str) -> None:
            tell(f"{time.monotonic() - started:5.1f} s  {what}")

        # btcd mines to an address of its configuration only, and the address comes from a wallet that needs a btcd.
        self.btcd.start()
        self.buyer.launch()
        miner = wait_for("the buyer's wallet makes an address", PATIENCE_SECS, self.buyer.address)
        self.buyer.stop()
        self.btcd.end()
        self.btcd.start(miner)
        self.btcd.mine(FIRST_BLOCKS)
        told(f"btcd has {FIRST_BLOCKS} blocks")
        for node in (self.seller, self.buyer):
            node.launch()
        for node in (self.seller, self.buyer):
            node.wait_state("SERVER_ACTIVE")
            wait_for(f"{node.name} follows the chain", PATIENCE_SECS, node.synced)
        wait_for("the buyer has coins", PATIENCE_SECS, lambda: self.buyer.coins() > 2 * CHANNEL_SAT)
        told("seller and buyer serve and follow the chain")
        self._open_channel()
        self.wait_payable()
        told(f"a channel of {CHANNEL_SAT} sat, half on each side, is usable both ways")

    def mend(self) -> None:
        """Brings back whichever of the two is lost or frozen."""
        for node in (self.seller, self.buyer):
            node.thaw()
            if not node.process.alive():
                node.start()
        self.wait_payable()

    def wait_payable(self) -> None:
        """Waits until each side would pay the other, as after a restart of one."""
        pairs = [(self.buyer, self.seller), (self.seller, self.buyer)]
        for payer, payee in pairs:
            pubkey = payee.pubkey()
            wait_for(f"{payer.name} can pay {payee.name}", PATIENCE_SECS, partial(payer.can_pay, pubkey))

    def _open_channel(self) -> None:
        seller = self.seller.pubkey()
        host = f"127.0.0.1:{self.seller.p2p}"
        self.buyer.ask("POST", "/v1/peers", {"addr": {"pubkey": seller, "host": host}})
        self.buyer.ask(
            "POST",
            "/v1/channels",
            {
                "node_pubkey_string": seller,
                "local_funding_amount": str(CHANNEL_SAT),
                "push_sat": str(CHANNEL_SAT // 2),
                "sat_per_vbyte": str(FEE_SAT_PER_VBYTE),
            },
        )
        self.btcd.mine(CHANNEL_BLOCKS)
