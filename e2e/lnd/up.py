"""The network for trying things out: prints its environment, then takes orders until its input or Ctrl-C ends it."""

import os
import shlex
import sys
from pathlib import Path

from programs.l402 import grpc_wallet
from regtest.lnd import Lnd
from regtest.network import Network
from regtest.process import Ending, Gone, claim

HELP = "kill|stop|start seller|buyer, mine [N], help; Ctrl-C or end of input ends the network"


def environment(network: Network) -> str:
    """`export` lines with everything that a client of these nodes needs."""
    lncli = network.binaries / "lncli"
    buyer = network.buyer
    names = {"L402_WALLET": grpc_wallet(buyer, buyer.macaroon("admin"))}
    names |= {"BTCD_RPC": f"127.0.0.1:{network.btcd.rpc}", "BTCD_CERT": network.btcd.certificate}
    for node in (network.seller, network.buyer):
        names |= {
            f"{node.name.upper()}_{what}": value
            for what, value in {
                "GRPC": f"127.0.0.1:{node.grpc}",
                "REST": f"127.0.0.1:{node.rest}",
                "CERT": node.certificate,
                "MACAROON": node.macaroon("admin"),
                "INVOICE_MACAROON": node.macaroon("invoice"),
                "PUBKEY": node.pubkey(),
                "CLI": f"{lncli} --lnddir={node.folder} --network=regtest --rpcserver=127.0.0.1:{node.grpc}",
            }.items()
        }
    return "".join(f"export {name}={shlex.quote(str(value))}\n" for name, value in names.items())


def obey(network: Network, line: str) -> None:
    """One order."""
    nodes: dict[str, Lnd] = {"seller": network.seller, "buyer": network.buyer}
    match line.split():
        case ["kill", name] if name in nodes:
            nodes[name].kill()
        case ["stop", name] if name in nodes:
            nodes[name].stop()
        case ["start", name] if name in nodes and not nodes[name].process.alive():
            nodes[name].start()
            if all(node.process.alive() for node in nodes.values()):
                network.wait_payable()
        case ["mine", *blocks] if len(blocks) < 2 and all(block.isdecimal() for block in blocks):
            network.btcd.mine(int("".join(blocks) or 1))
        case []:
            return
        case _:
            print(HELP)
            return
    print("done", flush=True)


def main() -> int:
    target = Path(os.environ["TARGET"])
    try:
        with Ending() as ending:
            folder = target / "e2e" / "lnd" / "up"
            claim(folder)
            network = Network(folder / "network", target / "e2e" / "bin", ending)
            network.up(lambda line: print(line, file=sys.stderr))
            lines = environment(network)
            file = folder / "env"
            file.write_text(lines)
            print(f"{lines}# the same: . {file}\n# {HELP}", flush=True)
            for line in sys.stdin:
                try:
                    obey(network, line)
                except Gone as trouble:
                    print(trouble)
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
