"""Named checks, one line each, and the closing line."""

import traceback
from collections.abc import Callable


class Checks:
    """Counts what held and what did not."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def check(self, name: str, fact: bool, got: object = None) -> None:
        """One fact. `got` is shown where it does not hold."""
        if fact:
            self.passed += 1
            print(f"  ok      {name}", flush=True)
        else:
            self.failed += 1
            shown = "" if got is None else f": got {got!r}"
            print(f"  FAILED  {name}{shown}", flush=True)

    def equal(self, name: str, got: object, expected: object) -> None:
        """One value."""
        self.check(name, got == expected, got)

    def run(self, title: str, part: Callable[[], None]) -> None:
        """A part of the test; if it breaks off, that is a failure and the next part goes on."""
        print(f"\n{title}", flush=True)
        try:
            part()
        except Exception:  # whatever it was, it is told and counted
            self.check(f"{title} to its end", fact=False)
            traceback.print_exc()

    def close(self) -> int:
        """Prints the closing line; the exit code."""
        print(f"\n{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0
