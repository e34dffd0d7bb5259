"""Sends a sweep to a Ray cluster and follows it: `python sweeps/submit.py batch_memory --storage s3://bucket/prefix`.

All flags of the sweep may follow the question. The checkout is uploaded; the job goes on whatever becomes of this
program, of its connection and of this machine. Ctrl-C leaves the job running, and --follow ID shows it again.
"""

from __future__ import annotations

import math
import re
import secrets
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from data.command_line import INTERRUPTED, MISTAKE, command, parse_known
from sweeps.cluster.carried_files import with_carried_files
from sweeps.cluster.job_client import (
    JobClientError,
    LostJobError,
    check_is_a_cluster,
    connect,
    dashboard_address,
    follow,
    submit,
)
from sweeps.planning.options import OptionsError, SweepOptions, parse_options
from sweeps.planning.questions import Question, find_question, known_questions
from sweeps.planning.sweep_file import with_file
from sweeps.run.prepare import COMMIT_VARIABLE, NAME_PATTERN, git_sha
from trainables.records.places import address_of, child_address

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails

CHECKOUT = Path(__file__).resolve().parent.parent
WAIT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class SubmitOptions:
    """Options of this program; all others go to the sweep."""

    address: Annotated[str | None, arg(help_behavior_hint="")] = None
    """The dashboard's. [RAY_API_SERVER_ADDRESS, RAY_ADDRESS, http://127.0.0.1:8265]"""
    wait: float = WAIT_SECONDS
    """Seconds for the cluster to answer, at most."""
    follow: Annotated[str | None, arg(metavar="ID", help_behavior_hint="")] = None
    """Submit nothing; show this job, from the beginning."""


@command
def main(arguments: Sequence[str]) -> int:
    """Submit a sweep, or follow one that was.

    Returns: 0 when the job succeeded; 1 when it failed or was lost; 2 for a person's mistake, also one that the sweep
        found on the cluster; 130 after Ctrl-C.
    """
    asked, flags = _parse(arguments)
    address = dashboard_address(asked.address)
    if asked.follow:
        submission_id = asked.follow
        client = connect(address, asked.wait, _say)
    else:
        question, script = _question(flags)
        flags[1:] = with_file(flags[1:], question.options)
        options = parse_options(flags[1:], question.asks, question.options)
        _check(options, script)
        flags = with_carried_files(flags[1:], CHECKOUT)
        name = options.name or f"{question.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        flags += [] if options.name else ["--name", name]
        submission_id = f"{name}-{secrets.token_hex(3)}"
        client = connect(address, asked.wait, _say)
        check_is_a_cluster(client)
        print(f"Uploading {CHECKOUT} to {address}", flush=True)
        submit(
            client,
            submission_id,
            entrypoint=shlex.join(["python", script, *flags]),
            folder=CHECKOUT,
            metadata=_metadata(options, question, script, name),
            variables={COMMIT_VARIABLE: git_sha()},
            wait_seconds=asked.wait,
        )
        print(f"Job {submission_id}: {_page(address, submission_id)}", flush=True)
        print(f"Follow it again: {_follow_command(address, submission_id)}", flush=True)
    progress = Progress()
    try:
        details = follow(client, submission_id, progress.show, _say)
    except LostJobError as error:
        _say(f"{error}; follow it again with: {_follow_command(address, submission_id)}")
        return 1
    except KeyboardInterrupt:
        _say(f"\nThe job goes on; follow it again with: {_follow_command(address, submission_id)}")
        return INTERRUPTED
    _print_end(details, address, submission_id, has_begun=progress.has_begun)
    if details.status == "SUCCEEDED":
        return 0
    return MISTAKE if details.driver_exit_code == MISTAKE else 1


class Progress:
    """Shows a sweep's log, and behind each trial's line how many of how many have ended."""

    def __init__(self) -> None:
        self._owed: str | None = None
        self._ended = 0
        self._line = ""

    @property
    def has_begun(self) -> bool:
        """Whether the log says that the sweep began: from then on there are results."""
        return self._owed is not None

    def show(self, text: str) -> None:
        """Print more of the log."""
        for part in text.splitlines(keepends=True):
            print(part, end="", flush=True)
            self._line += part
            if part.endswith("\n"):
                self._look(self._line)
                self._line = ""

    def _look(self, line: str) -> None:
        if began := re.match(r"Sweep \S+: (\d+) trials on ", line):
            self._owed = began[1]
        elif self._owed and re.match(r"trial \d{4}  ", line):
            self._ended += 1
            print(f"[{self._ended} of {self._owed} trials]", flush=True)


def _parse(arguments: Sequence[str]) -> tuple[SubmitOptions, list[str]]:
    """This program's own options, and what is left for the sweep, the question first."""
    about = (
        "Send a sweep to a Ray cluster and follow it: submit.py QUESTION [FLAGS OF THE SWEEP], such as submit.py"
        f" batch_memory --storage s3://bucket/prefix. Questions: {', '.join(known_questions())}, or a file; their"
        " flags: python sweeps/QUESTION.py --help"
    )
    asked, flags = parse_known(SubmitOptions, arguments, about)
    if not 0 <= asked.wait < math.inf:
        raise OptionsError(f"--wait={asked.wait}; it must be 0 or more seconds.")
    if asked.follow and flags:
        raise OptionsError(f"--follow submits nothing, so {flags[0]!r} has no meaning; leave it out.")
    return asked, flags


def _question(flags: Sequence[str]) -> tuple[Question, str]:
    """The question that is named first, and its file below the checkout, which is what is uploaded."""
    if not flags or flags[0].startswith("-"):
        raise OptionsError(f"no question is named; name one first: {', '.join(known_questions())}.")
    question, file = find_question(flags[0])
    if not file.is_relative_to(CHECKOUT):
        raise OptionsError(f"{flags[0]} is not in {CHECKOUT}, which is what is uploaded; copy it in there.")
    return question, str(file.relative_to(CHECKOUT))


def _check(options: SweepOptions, script: str) -> None:
    """Refuse, before anything is uploaded, what cannot end well on a cluster. Raises: OptionsError, JobClientError."""
    if not _outlives(options.storage):
        raise OptionsError(
            f"--storage {options.storage} would be lost with the cluster's head;"
            " give s3://bucket/prefix or the full path of a folder that its machines share."
        )
    for place in options.warm_start:
        if not _outlives(place):
            raise OptionsError(f"--warm-start {place} is not uploaded; put it where the cluster can read it, s3://… .")
    if options.name and not re.fullmatch(NAME_PATTERN, options.name):
        raise OptionsError(
            f"--name {options.name!r} cannot name a folder; use letters, digits, '.', '_' and '-', at most 100."
        )
    if options.resume and not options.name:
        raise OptionsError("--resume needs --name, the name of the sweep to resume.")
    if options.dry_run:
        raise OptionsError(f"--dry-run needs no cluster: python {script} --dry-run")
    if not (CHECKOUT / ".rayignore").is_file():
        raise JobClientError(f"{CHECKOUT} is not a checkout of this project; submit from one.")


def _outlives(place: str) -> bool:
    """Whether a place for files is one that stays when the head goes, as far as its name tells."""
    return "://" in place or place.startswith("/")


def _metadata(options: SweepOptions, question: Question, script: str, name: str) -> dict[str, str]:
    """For the list of jobs, and for whoever follows this one."""
    sizes = options.model_sizes or (question.smoke.models if options.smoke else ())
    metadata = {
        "sweep": name,
        "question": question.name,
        "script": script,
        "storage": options.storage,
        "sizes": ", ".join(sizes) or "chosen on the cluster",
        "commit": git_sha(),
    }
    return metadata if options.wandb == "disabled" else metadata | {"wandb group": name}


def _print_end(details: JobDetails, address: str, submission_id: str, *, has_begun: bool) -> None:
    metadata = details.metadata or {}
    seconds = ((details.end_time or 0) - (details.start_time or 0)) / 1000
    print(
        f"\nJob {submission_id}: {details.status.lower()} after {seconds:.0f} s, exit code {details.driver_exit_code}"
    )
    if "sweep" in metadata and not has_begun:
        print("It ended before its sweep began, so there are no results; its log, above, says why.")
        if missing := re.search(r"No module named '([^']+)'", details.message or ""):
            print(f"That Ray's Python has no {missing[1]}: start the cluster from this project's image.")
    elif "sweep" in metadata:
        results = shlex.quote(child_address(address_of(metadata["storage"]), metadata["sweep"]))
        resume = ["python", "sweeps/submit.py", metadata["script"], "--resume", "--name", metadata["sweep"]]
        resume += ["--storage", metadata["storage"]]
        print(f"wandb group: {metadata.get('wandb group', 'none, as wandb is disabled')}")
        print(f"Results:     {results}")
        print(f"Report:      python analysis/report.py {results}")
        print(f"Go on:       {shlex.join(resume)}")
    print(f"Dashboard:   {_page(address, submission_id)}")
    print("The cluster is still up, and costs money until: ray down build/cluster.yaml", flush=True)


def _follow_command(address: str, submission_id: str) -> str:
    return shlex.join(["python", "sweeps/submit.py", "--follow", submission_id, "--address", address])


def _page(address: str, submission_id: str) -> str:
    return f"{address}/#/jobs/{submission_id}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
