"""What the seller is told when its node cannot be used, and what clients get meanwhile."""

from contextlib import suppress

from programs.octroi import Octroi, Shop
from regtest.lnd import Lnd
from regtest.process import Gone, wait_for

from .ground import Ground

# Longest wait for `/readyz` to tell the trouble.
NEWS_SECS = 20


def the_seller_is_told_what_is_wrong_with_its_settings(ground: Ground) -> None:
    """A good node, asked with wrong files or for a wrong network."""
    seller, buyer = ground.seller, ground.buyer
    bare = seller.bake("add-only", "/lnrpc.Lightning/AddInvoice")
    cases = {
        "a macaroon that may only read": (ground.shop(macaroon=seller.macaroon("readonly")), ("AddInvoice", "hint:")),
        "a macaroon that lacks LookupInvoice": (ground.shop(macaroon=bare), ("LookupInvoice", "hint:")),
        "another node's macaroon": (
            ground.shop(macaroon=buyer.macaroon("invoice")),
            ("credential", "another node", "hint:"),
        ),
        "another node's certificate": (ground.shop(certificate=buyer.certificate), ("certificate", "hint:")),
        "another network": (
            ground.shop(network="signet", macaroon=seller.macaroon("admin")),
            ("signet", "regtest", "hint:"),
        ),
        "a macaroon file that is not there": (
            ground.shop(macaroon=ground.folder / "no.macaroon"),
            ("lnd.macaroon", "no.macaroon", "no such file"),
        ),
    }
    for name, (shop, words) in cases.items():
        looked = _octroi(ground, name, shop).check()
        ground.checks.check(f"`octroi check`, {name}: exit code 1 or 2", looked.code in (1, 2), looked.code)
        _told(ground, f"`octroi check`, {name}", looked.text(), *words)


def the_seller_is_told_that_its_node_is_not_usable(ground: Ground, node: Lnd, name: str, *words: str) -> None:
    """A node that answers and cannot serve: no wallet, locked, starting, behind the chain."""
    admin = node.macaroon("admin")
    macaroon = admin if admin.exists() else ground.seller.macaroon("invoice")
    octroi = _octroi(ground, name, ground.shop(node=node, macaroon=macaroon))
    looked = octroi.check()
    ground.checks.equal(f"`octroi check`, {name}: exit code 1", looked.code, 1)
    _told(ground, f"`octroi check`, {name}", looked.text(), "hint:", *words)
    octroi.start()
    asked = octroi.get("/weather/x")
    retry = asked.headers.get("retry-after")
    ground.checks.equal(f"{name}: an unpaid request gets 503", asked.status, 503)
    ground.checks.check(f"{name}: with Retry-After", retry is not None)
    _readyz_tells(ground, octroi, name, *words)
    octroi.stop()


def a_node_behind_the_chain_is_told(ground: Ground, node: Lnd) -> None:
    """It serves and makes invoices, and cannot see what is paid on the chain."""
    name = "a node that does not follow the chain"
    octroi = _octroi(ground, name, ground.shop(node=node, macaroon=node.macaroon("admin")))
    looked = octroi.check()
    _told(ground, f"`octroi check`, {name}", looked.text(), "hint:", "chain")
    octroi.start()
    _readyz_tells(ground, octroi, name, "chain")
    octroi.stop()


def a_node_without_invoicesrpc_is_told(ground: Ground, node: Lnd) -> None:
    """lnd as a plain `go build` makes it cannot cancel invoices."""
    name = "a node without invoicesrpc"
    octroi = _octroi(ground, name, ground.shop(node=node, macaroon=node.macaroon("invoice")))
    looked = octroi.check()
    _told(ground, f"`octroi check`, {name}", looked.text(), "invoicesrpc")
    octroi.start()
    answer = octroi.get("/weather/x")
    ground.saw(f"{name}: an unpaid request gets {answer.status}")
    octroi.stop()


def _octroi(ground: Ground, name: str, shop: Shop) -> Octroi:
    return ground.octroi("node-" + name.replace(" ", "-"), shop)


def _readyz_tells(ground: Ground, octroi: Octroi, name: str, *words: str) -> None:
    def told() -> bool:
        text = octroi.readyz().body.decode().lower()
        return all(word.lower() in text for word in words)

    with suppress(Gone):  # then what it tells instead is shown
        wait_for("", NEWS_SECS, told)
    answer = octroi.readyz()
    _told(ground, f"`/readyz`, {name}", answer.body.decode(), *words)


def _told(ground: Ground, name: str, text: str, *words: str) -> None:
    low = text.lower()
    ground.checks.check(f"{name}: told", all(word.lower() in low for word in words), text)
    for line in text.splitlines():
        if "lightning" in line or "hint:" in line:
            ground.saw(line.strip()[:300])
