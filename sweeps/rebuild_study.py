"""Writes a sweep's Optuna study anew, from its records alone.

    python sweeps/rebuild_study.py results/<name>
    python sweeps/rebuild_study.py results/<name> --study postgresql://…

Any study of the sweep's name in that storage is replaced. To look at it: optuna-dashboard sqlite:///results/<name>/study.db
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from data.errors import UserError
from sweeps.planning.options import OptionsError, exit_with
from trainables.records.layout import load_facts
from trainables.records.storage import check_reachable, open_storage


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild the study that the command line names. Returns: 0, or 2 for a person's mistake."""
    parser = argparse.ArgumentParser(description="Write a sweep's Optuna study anew, from its records alone.")
    parser.add_argument("sweep", help="the sweep's folder or s3://bucket/prefix")
    parser.add_argument("--study", help="Optuna storage URL [sqlite, study.db in the sweep's folder]")
    given = parser.parse_args(arguments)
    try:
        storage = open_storage(given.sweep)
        check_reachable(storage)
        facts = load_facts(storage)
        from sweeps.search.study import build_study, check_study, default_study

        url = given.study or default_study(storage)
        if url is None:
            raise OptionsError("a sweep in a bucket has no file for its study; say where with --study URL.")
        if given.study:
            check_study(url)
        study = build_study(facts, storage, url)
    except FileNotFoundError:
        return exit_with(OptionsError(f"{given.sweep} holds no sweep; give the folder of one, such as results/<name>."))
    except (UserError, ValueError) as error:
        return exit_with(error)
    print(f"Study {facts.name!r}: {len(study.get_trials(deepcopy=False))} trials written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
