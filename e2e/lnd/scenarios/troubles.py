"""Nodes in trouble, made one after the other, and what seller and buyer are told of each."""

from regtest.lnd import Lnd
from regtest.process import wait_for

from .ground import Ground
from .node_troubles import (
    a_node_behind_the_chain_is_told,
    a_node_without_invoicesrpc_is_told,
    the_seller_is_told_that_its_node_is_not_usable,
    the_seller_is_told_what_is_wrong_with_its_settings,
)
from .wallet_troubles import (
    an_expired_invoice_is_not_paid,
    the_buyer_is_told_that_its_wallet_is_closed,
    the_buyer_is_told_what_its_node_lacks,
)

SYNC_SECS = 60


def nodes_in_trouble_are_told_with_a_hint(ground: Ground) -> None:
    """Each part goes on where another breaks off."""
    run = ground.checks.run
    run("6a. Settings", lambda: the_seller_is_told_what_is_wrong_with_its_settings(ground))
    run("6b. No wallet, then a locked one", lambda: _closed_wallets(ground))
    run("6c. A node behind the chain", lambda: _behind(ground))
    run("6d. A node without invoicesrpc; balance, route, permission", lambda: _bare(ground))
    run("6e. An expired invoice", lambda: an_expired_invoice_is_not_paid(ground))


def _closed_wallets(ground: Ground) -> None:
    node = ground.network.node("closed", wallet_by_hand=True)
    node.launch()
    node.wait_state("NON_EXISTING")
    _closed(ground, node, "a node without a wallet", "wallet")
    node.make_wallet()
    node.wait_state("SERVER_ACTIVE")
    node.stop()
    node.launch()
    node.wait_state("LOCKED")
    _closed(ground, node, "a node with a locked wallet", "unlock")
    node.stop()


def _closed(ground: Ground, node: Lnd, name: str, word: str) -> None:
    the_seller_is_told_that_its_node_is_not_usable(ground, node, name, word)
    the_buyer_is_told_that_its_wallet_is_closed(ground, node, word)


def _behind(ground: Ground) -> None:
    """An lnd on a chain of its own that then loses its blocks."""
    chain = ground.network.chain("other-btcd")
    chain.start(ground.buyer.address())
    chain.mine(1)
    node = ground.network.node("behind", btcd=chain)
    node.start()
    wait_for("it follows its chain", SYNC_SECS, node.synced)
    chain.end()
    chain.start()
    wait_for("it follows no more", SYNC_SECS, lambda: not node.synced())
    a_node_behind_the_chain_is_told(ground, node)
    node.stop()
    chain.end()


def _bare(ground: Ground) -> None:
    node = ground.network.node("bare", program="lnd-bare")
    node.start()
    wait_for("it follows the chain", SYNC_SECS, node.synced)
    a_node_without_invoicesrpc_is_told(ground, node)
    the_buyer_is_told_what_its_node_lacks(ground, node)
    node.stop()
