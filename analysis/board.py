"""A sweep as it runs: trials, memory, quality and samples on one page that follows its folder or bucket.

    python analysis/board.py results/<name>
    python analysis/board.py s3://bucket/prefix --every-sweep --port 8266 --frame http://127.0.0.1:8265

The second, started beside a cluster's head, follows each sweep that comes, and Ray's dashboard there may frame it.
Read-only, for this machine alone, below the token that the Ray dashboard asks for.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from tyro.conf import Positional, UseAppendAction, arg

from analysis.serve.board_server import make_app
from analysis.serve.board_sweeps import FollowedSweeps
from analysis.serve.local_page import HOST, ray_token
from data.command_line import command, parse
from data.errors import UserError, one_line
from trainables.records.storage import open_storage


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which sweep the board follows, and who may see it."""

    sweep: Annotated[Positional[str], arg(metavar="SWEEP")]
    """The sweep's folder or URI: results/<name> or s3://bucket/prefix/<name>."""
    every_sweep: bool = False
    """SWEEP is a place that holds sweeps, or will: follow the newest, offer all."""
    port: int = 0
    """Port on 127.0.0.1; 0 chooses a free one."""
    frame: Annotated[UseAppendAction[tuple[str, ...]], arg(help_behavior_hint="")] = ()
    """Origin of a page that may frame the board; may be given several times."""
    until_stdin_ends: bool = False
    """End with the program that started this one."""


@command
def main(arguments: Sequence[str]) -> int:
    """The command line. Returns: the exit code, 2 for a person's mistake, with one line on stderr."""
    options = parse(Options, arguments, "Look at a sweep while it runs.")
    sweeps = FollowedSweeps(open_storage(options.sweep), every=options.every_sweep)
    try:
        asyncio.run(_serve(sweeps, options.port, list(options.frame), options.until_stdin_ends))
    except (OSError, OverflowError) as error:
        raise UserError(f"{one_line(error)}; free the port or give another --port.") from None
    return 0


async def _serve(sweeps: FollowedSweeps, port: int, frames: list[str], until_stdin_ends: bool) -> None:
    """Serve until the process is told to end. A line on stdin names one more origin that may frame the board."""
    runner = web.AppRunner(make_app(sweeps, ray_token(), frames), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        address = f"http://{HOST}:{runner.addresses[0][1]}/"
        print(f"Board: {address} (log in with Ray's token: ray get-auth-token). End with Ctrl-C.", flush=True)
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, ended.set)
        if until_stdin_ends:

            def listen() -> None:
                for line in sys.stdin:
                    frames.append(line.strip())
                loop.call_soon_threadsafe(ended.set)

            threading.Thread(target=listen, daemon=True).start()
        await ended.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
