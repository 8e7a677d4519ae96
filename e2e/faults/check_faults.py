"""Disks that fail, disks that are full, copies that are torn, clocks that jump: one part after the other.

`python3 check_faults.py [--seed SEED] [PART..]`. `run` beside this file builds and installs what it needs.
"""

import argparse
import os
import secrets
import sys
import time
from pathlib import Path

import clock
import disk
import torn
from metered import loop
from regtest.process import Ending, claim
from stage.checks import Checks

PARTS = {
    "disk": ("Writes and syncs that fail", disk.failing),
    "full": ("A full disk", disk.full),
    "copy": ("Torn copies of the ledger", torn.torn),
    "clock": ("A clock that jumps under load", clock.load),
    "stream": ("A clock that jumps under streams by the second", clock.streams),
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    options.add_argument("--seed", type=int)
    chosen = options.parse_args()
    if unknown := set(chosen.parts) - PARTS.keys():
        options.error(f"there is no part {', '.join(sorted(unknown))}; parts: {', '.join(PARTS)}")
    parts = chosen.parts or list(PARTS)
    seed = secrets.randbelow(1_000_000) if chosen.seed is None else chosen.seed
    folder = Path(os.environ["TARGET"]) / "e2e" / "faults"
    claim(folder)
    again = " ".join(["e2e/faults/run --seed", str(seed), *chosen.parts])
    print(f"seed {seed} (again: {again})", flush=True)
    checks = Checks()
    with Ending() as ending:
        for part in parts:
            title, work = PARTS[part]
            since = time.monotonic()
            checks.run(title, lambda part=part, work=work: loop.run(work(folder / part, seed, ending, checks)))
            print(f"  {part}: {time.monotonic() - since:.0f} s", flush=True)
    if checks.failed:
        print(f"everything as it was: {folder}; again: {again}")
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
