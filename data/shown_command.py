"""A command to print for a person: it works as it is printed, typed where it was printed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def shown_command(script: str | Path, *arguments: str) -> str:
    """How to run one of our programs from the current folder, with the Python that runs now.

    `script` is below the checkout, such as "analysis/report.py". The interpreter is "python" where a shell would find
    this one by that name.
    """
    program = Path(__file__).resolve().parent.parent / script
    return shlex.join([_interpreter(), _from_here(program), *arguments])


def argument_of(path: str) -> str:
    """A path of this machine from the current folder, which no program takes for an option, a home or an address."""
    relative = os.path.relpath(path)
    return f".{os.sep}{relative}" if relative.startswith(("-", "~")) or ":" in relative else relative


def _interpreter() -> str:
    found = shutil.which("python")
    same = found is not None and os.path.samefile(found, sys.executable) and Path(found).parent == _folder()
    return "python" if same else _from_here(Path(sys.executable))


def _folder() -> Path:
    return Path(sys.executable).parent


def _from_here(path: Path) -> str:
    """The path from the current folder where it lies below it, else the whole one."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
