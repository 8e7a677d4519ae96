"""An event loop that can be told to stop."""

import asyncio
import signal
from collections.abc import Coroutine


def run(work: Coroutine[None, None, None]) -> None:
    """Runs to the end, or until SIGTERM or SIGHUP. These wait until nothing is half done, such as a process that has begun
    and that nobody knows of yet: whoever has to end it can do so then."""
    told: list[int] = []

    async def main() -> None:
        task = asyncio.ensure_future(work)

        def leave(number: int) -> None:
            told.append(number)
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, leave, number)
        await task

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        raise SystemExit(128 + told[0]) from None
