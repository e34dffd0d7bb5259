"""Rebuilds a sweep's Optuna study from its records alone.

    python sweeps/rebuild_study.py results/<name>
    python sweeps/rebuild_study.py results/<name> --study postgresql://…

Any study of the sweep's name in that storage is replaced. To look at it: optuna-dashboard sqlite:///results/<name>/study.db
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from data.command_line import command, parse
from sweeps.planning.options import OptionsError
from trainables.records.storage import check_reachable, open_storage
from trainables.records.sweep_folder import load_facts


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which sweep, and where its study goes."""

    sweep: Annotated[Positional[str], arg(metavar="SWEEP")]
    """The sweep's folder or s3://bucket/prefix."""
    study: Annotated[str | None, arg(help_behavior_hint="")] = None
    """Optuna storage URL. [sqlite, study.db in the sweep's folder]"""


@command
def main(arguments: Sequence[str]) -> int:
    """Rebuild the study that the command line names. Returns: 0, or 2 for a person's mistake."""
    given = parse(Options, arguments, "Rebuild a sweep's Optuna study from its records alone.")
    storage = open_storage(given.sweep)
    check_reachable(storage)
    try:
        facts = load_facts(storage)
    except FileNotFoundError:
        raise OptionsError(f"{given.sweep} holds no sweep; give the folder of one, such as results/<name>.") from None
    except ValueError as error:
        raise OptionsError(str(error)) from None
    from sweeps.search.study import build_study, check_study, default_study

    url = given.study or default_study(storage)
    if url is None:
        raise OptionsError("a sweep in a bucket has no file for its study; give it a place with --study URL.")
    if given.study:
        check_study(url)
    study = build_study(facts, storage, url)
    print(f"Study {facts.name!r}: {len(study.get_trials(deepcopy=False))} trials written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
