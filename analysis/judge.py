"""A blind look: two completions of one prompt side by side, and a person who says which is better.

    python analysis/judge.py results/<name>

Serves one page to this machine alone, at an address with a token in it. Judgements lie in results/<name>/judgements/.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from aiohttp import web
from tyro.conf import Positional, arg

from analysis.judging.judgements import DECK_SIZE, JudgementStore, PairKind, make_deck
from analysis.serve.judge_server import Judging, make_app
from analysis.serve.local_page import HOST
from analysis.sweep_table.load import RecordsError, load_sweep
from data.command_line import command, parse
from data.errors import UserError, one_line
from trainables.records.storage import open_storage


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which sweep to judge, and how."""

    sweep: Annotated[Positional[str], arg(metavar="SWEEP")]
    """The sweep's folder or URI: results/<name> or s3://bucket/prefix/<name>."""
    pairs: PairKind = "both"
    """Tuned against base, two trials, or both."""
    size: int = DECK_SIZE
    """Pairs in the deck."""
    port: int = 0
    """Port on 127.0.0.1; 0 chooses a free one."""
    agreement: bool = False
    """Print the agreement so far instead of serving the page."""
    export: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the judgements for another person instead of serving the page."""
    taken: Annotated[tuple[str, ...], arg(name="import", metavar="FILE", help_behavior_hint="")] = ()
    """Import others' exported judgements instead of serving the page."""


@command
def main(arguments: Sequence[str]) -> int:
    """The command line. Returns: the exit code, 2 for a person's mistake, with one line on stderr."""
    options = parse(Options, arguments, "Judge completions blind, and see how far sample_quality agrees with you.")
    judging = prepare(options.sweep, options.pairs, options.size)
    if options.export or options.taken:
        exchange(judging, options.export, options.taken)
    elif not options.agreement:
        try:
            asyncio.run(_serve(judging, options.port))
        except (OSError, OverflowError) as error:
            raise UserError(f"{one_line(error)}; free the port or give another --port.") from None
    print("\n".join(judging.agreement()))
    return 0


def prepare(uri: str, pairs: PairKind, size: int) -> Judging:
    """Read a sweep and lay out its deck. Raises: RecordsError or StorageError where there is nothing to judge."""
    if size < 1:
        raise RecordsError(f"--size={size}; it must be at least 1.")
    sweep = load_sweep(uri)
    seed = f"{sweep.name}/{sweep.facts.token}"
    deck = make_deck(sweep.records, seed, pairs=pairs, size=size)
    if not deck:
        raise RecordsError(
            f"{uri}: no two completions of one prompt that differ (--pairs {pairs}); a trial must have finished and"
            f" written samples, and --pairs trials needs two."
        )
    store = JudgementStore(open_storage(uri))
    for line in store.unreadable:
        print(line, file=sys.stderr)
    return Judging(sweep, store, deck)


def exchange(judging: Judging, export: str | None, taken: Sequence[str]) -> None:
    """Take the judgements of the files `taken`, and write this sweep's own to the file `export`.

    Raises: RecordsError for a file that cannot be read or written, or holds none.
    """
    for name in taken:
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecordsError(f"{name}: cannot be read ({one_line(error)}); give what --export wrote.") from None
        count = judging.store.take(text, name, [record.trial_id for record in judging.sweep.records])
        print(f"{count} judgements read from {name}.")
    if export is not None:
        if not judging.store.latest:
            raise RecordsError(
                "nothing is judged yet, so there is nothing to export; leave --export out and judge first."
            )
        try:
            Path(export).write_text(judging.store.export(), encoding="utf-8")
        except OSError as error:
            raise RecordsError(f"{export}: cannot be written ({one_line(error)}); give another --export.") from None
        print(f"{len(judging.store.latest)} judgements written to {export}; another person reads them with --import.")


async def _serve(judging: Judging, port: int) -> None:
    """Serve until the process is told to end."""
    token = secrets.token_urlsafe(24)
    runner = web.AppRunner(make_app(judging, token), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        address = f"http://{HOST}:{runner.addresses[0][1]}/{token}/"
        print(f"{len(judging.deck)} pairs to judge. Open {address} and end with Ctrl-C.", flush=True)
        ended = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, ended.set)
        await ended.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
