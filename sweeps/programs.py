"""The one command of an installed wheel: `galactica-sweeps PROGRAM` runs what `python FOLDER/PROGRAM.py` runs."""

from __future__ import annotations

import importlib.metadata
import runpy
import sys
from collections.abc import Sequence

from data.command_line import command
from data.errors import UserError

DISTRIBUTION = "galactica-sweeps"
PROGRAMS = {
    "batch-memory": ("sweeps", "what batch fits, and what does it buy?"),
    "sample-quality": ("sweeps", "how does a model take on the style without spilling it?"),
    "scale-ladder": ("sweeps", "what do small sizes tell about large ones?"),
    "explain-memory": ("analysis", "why does a run need its memory, and what fits?"),
    "report": ("analysis", "a sweep as one page"),
    "board": ("analysis", "a sweep as a live page"),
    "judge": ("analysis", "judge completions blind"),
    "export": ("analysis", "a trial's model as a folder that transformers loads"),
    "score-samples": ("analysis", "what samples are worth"),
    "check-tokenizer": ("data", "what would spoil training in a tokenizer"),
    "check-cluster": ("sweeps", "look a cluster file over, offline"),
    "submit": ("sweeps", "run a sweep on a cluster"),
    "rebuild-study": ("sweeps", "write Optuna's study anew from records"),
}


@command
def main(arguments: Sequence[str]) -> int:
    """Run a program with the rest of the arguments. Returns: its exit code, 2 for a program that is none."""
    if not arguments or arguments[0] in ("--help", "-h"):
        print(usage())
        return 0
    name, *rest = arguments
    if name == "--version":
        print(f"{DISTRIBUTION} {importlib.metadata.version(DISTRIBUTION)}")
        return 0
    if name not in PROGRAMS:
        raise UserError(f"{name!r} is no program; known: {', '.join(PROGRAMS)}.")
    folder, _ = PROGRAMS[name]
    sys.argv[1:] = rest
    try:
        runpy.run_module(f"{folder}.{name.replace('-', '_')}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return 0


def usage() -> str:
    """The programs, a line each."""
    width = max(map(len, PROGRAMS))
    lines = [f"  {name:{width}s}  {about}" for name, (_, about) in PROGRAMS.items()]
    return "\n".join([f"usage: {DISTRIBUTION} PROGRAM ...; each says its options with --help", "", *lines])


if __name__ == "__main__":
    sys.exit(main())
