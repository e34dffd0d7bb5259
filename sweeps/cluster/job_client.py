"""A cluster's jobs API over a tunnel that comes and goes: waited for, submitted to, and followed to the job's end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import UserError

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails
    from ray.job_submission import JobSubmissionClient

TUNNEL_ADDRESS = "http://127.0.0.1:8265"  # where `ray dashboard` brings the cluster's dashboard
REQUEST_SECONDS = 30.0  # for one answer, or one part of it
SILENT_SECONDS = 60.0  # without a line of the log, after which the connection is taken for dead and made anew
LOST_SECONDS = 3600.0  # without any answer, after which a job is no longer followed
LONGEST_PAUSE_SECONDS = 10.0

Show = Callable[[str], None]


class JobClientError(UserError):
    """A cluster that cannot be submitted to; the message is one line for a person."""


class LostJobError(Exception):
    """A job that was there and cannot be followed any more; the message is one line."""


def dashboard_address(asked: str | None) -> str:
    """The dashboard's address: the one asked for, else from Ray's variables, else the tunnel's end on this machine.

    Raises: JobClientError for what is no http address.
    """
    ray_address = os.environ.get("RAY_ADDRESS", "")
    from_ray = ray_address if ray_address.startswith(("http://", "https://")) else None
    address = asked or os.environ.get("RAY_API_SERVER_ADDRESS") or from_ray or TUNNEL_ADDRESS
    address = address if "://" in address else f"http://{address}"
    if not address.startswith(("http://", "https://")):
        raise JobClientError(f"{address} is not the address of a dashboard; write one such as {TUNNEL_ADDRESS}.")
    return address.rstrip("/")


def connect(address: str, wait_seconds: float, say: Show) -> JobSubmissionClient:
    """A client whose token the cluster took, once it answers.

    Raises: JobClientError where nothing answers in `wait_seconds`, something else does, or the token is refused.
    """
    # Ray reads both when first imported, or from its variables alone, whatever the client was given.
    if _token_file().is_file() or os.environ.get("RAY_AUTH_TOKEN"):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    import requests
    from ray.exceptions import AuthenticationError

    for handler in logging.getLogger("ray").handlers:
        handler.setLevel(logging.ERROR)  # else each package and connection is told of
    until, is_announced = time.monotonic() + wait_seconds, False
    while True:
        try:
            client = _client_class()(address)
            client.list_jobs()
            return client
        except AuthenticationError:
            raise JobClientError(_refused(address)) from None
        except (requests.ConnectionError, requests.Timeout, ConnectionError) as error:
            trouble = error
        except (requests.RequestException, RuntimeError, KeyError, ValueError):
            raise JobClientError(
                f"{address} answers, but is not a Ray dashboard; give the dashboard's own --address."
            ) from None
        if time.monotonic() >= until:
            raise JobClientError(
                f"no cluster answers at {address} ({type(trouble).__name__}, waited {wait_seconds:g} s);"
                " open the tunnel with: ray dashboard build/cluster.yaml, or name another --address."
            )
        if not is_announced:
            say(f"Waiting for {address}, at most {wait_seconds:g} s.")
            is_announced = True
        time.sleep(min(1.0, max(0.0, until - time.monotonic())))


def check_is_a_cluster(client: JobSubmissionClient) -> None:
    """See that what answers is no sweep's own Ray on this machine, which ends with it, and has the Ray that we use.

    Raises: JobClientError.
    """
    import ray

    address = client.get_address()
    version = client._do_request("GET", "/api/version").json().get("ray_version")
    for job in client.list_jobs():
        name = (job.metadata or {}).get("sweep")
        if name and job.type == "DRIVER" and not job.status.is_terminal():
            raise JobClientError(
                f"{address} is the Ray of sweep {name!r}, which runs on this machine and takes its Ray with it when it"
                " ends; give the cluster's own --address."
            )
    if version and version != ray.__version__:
        raise JobClientError(
            f"{address} runs Ray {version}; this checkout needs {ray.__version__}; start the cluster from"
            " this project's image, or give the --address of one that was."
        )


def submit(
    client: JobSubmissionClient,
    submission_id: str,
    *,
    entrypoint: str,
    folder: Path,
    metadata: Mapping[str, str],
    variables: Mapping[str, str],
    wait_seconds: float,
) -> None:
    """Upload `folder`, but for what its .rayignore and .gitignore leave out, and start `entrypoint` in it, once.

    `variables` are added to the job's environment.
    A submission whose answer was lost is not made twice. Raises: JobClientError.
    """
    until = time.monotonic() + wait_seconds
    while True:
        try:
            client.submit_job(
                entrypoint=entrypoint,
                submission_id=submission_id,
                runtime_env={"working_dir": str(folder), "env_vars": dict(variables)},
                metadata=dict(metadata),
            )
            return
        except _passing() as error:
            if _is_there(client, submission_id):
                return
            if time.monotonic() >= until or not _may_pass(error):
                reason = " ".join(str(error).split())[:300]
                raise JobClientError(f"{client.get_address()} accepted no job ({reason}).") from None
        time.sleep(1)


def follow(client: JobSubmissionClient, submission_id: str, show: Show, say: Show) -> JobDetails:
    """Show the job's log as it grows, each line once, over as many connections as it takes.

    Returns: how the job ended.
    Raises: JobClientError where the cluster has no such job; LostJobError where it had, or answers no more.
    """
    from ray.exceptions import AuthenticationError

    log, address = _Log(show), client.get_address()
    answered, lost, pause, seen = time.monotonic(), False, 0.5, False
    while True:
        try:
            details = client.get_job_info(submission_id)
            if lost:
                say(f"Connected to {address} again.")
            answered, lost, pause, seen = time.monotonic(), False, 0.5, True
            if details.status.is_terminal():
                log.end(client.get_job_logs(submission_id))
                return details
            asyncio.run(log.read(client, submission_id))
            time.sleep(0.5)  # a log may end a moment before its job's state says so
        except AuthenticationError:
            raise JobClientError(_refused(address)) from None
        except _passing() as error:
            if _status_of(error) == 404:
                raise _unknown(client, submission_id, seen) from None
            if time.monotonic() - answered > LOST_SECONDS:
                raise LostJobError(f"{address} has not answered for {LOST_SECONDS / 60:.0f} min") from None
            if not lost:
                say(f"Lost the connection to {address}; the job goes on. Trying again.")
            lost = True
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


class _Log:
    """A job's log, of which every connection gives all from the beginning."""

    def __init__(self, show: Show) -> None:
        self._show, self._shown = show, 0

    async def read(self, client: JobSubmissionClient, submission_id: str) -> None:
        """Show what is new, until the log ends or falls silent. Raises: what the connection does."""
        received = 0
        async with contextlib.aclosing(client.tail_job_logs(submission_id)) as parts:  # pyright: ignore[reportArgumentType]
            while True:
                try:
                    part = await asyncio.wait_for(anext(parts), SILENT_SECONDS)
                except (StopAsyncIteration, TimeoutError):
                    return
                received += len(part)
                self._show_from(part, received)

    def end(self, whole: str) -> None:
        """Show what `whole`, the log of a job that has ended, has beyond what was shown."""
        self._show_from(whole, len(whole))

    def _show_from(self, part: str, received: int) -> None:
        """Of `part`, which ends the first `received` characters of the log, show those that were not."""
        if received > self._shown:
            self._show(part[self._shown - received :])
            self._shown = received


def _client_class() -> type[JobSubmissionClient]:
    """Ray's client, whose requests end when a tunnel swallows them; in 2.60 they have no time limit."""
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        def _do_request(self, *arguments: Any, **options: Any) -> Any:
            return super()._do_request(*arguments, **{"timeout": REQUEST_SECONDS, **options})

    return Client


def _passing() -> tuple[type[Exception], ...]:
    """What a connection's loss raises; Ray tells an answer that is no good as RuntimeError."""
    import aiohttp

    return OSError, aiohttp.ClientError, RuntimeError  # requests' errors are OSErrors


def _status_of(error: Exception) -> int | None:
    """The HTTP status in an error of Ray's client. Source: ray 2.60, SubmissionClient._raise_error."""
    words = str(error).partition("status code ")[2].partition(":")[0]
    return int(words) if words.isdigit() else getattr(error, "status", None)


def _may_pass(error: Exception) -> bool:
    status = _status_of(error)
    return isinstance(error, OSError) or (status is not None and status >= 500)


def _is_there(client: JobSubmissionClient, submission_id: str) -> bool:
    try:
        client.get_job_info(submission_id)
    except _passing():
        return False
    return True


def _unknown(client: JobSubmissionClient, submission_id: str, seen: bool) -> Exception:
    address = client.get_address()
    if seen:
        return LostJobError(f"{address} no longer knows the job; its head has been replaced")
    known = ", ".join(job.submission_id for job in client.list_jobs() if job.submission_id) or "none"
    return JobClientError(f"{address} has no job {submission_id!r}; there are: {known}.")


def _token_file() -> Path:
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()


def _refused(address: str) -> str:
    if os.environ.get("RAY_AUTH_MODE") != "token" or not (_token_file().is_file() or os.environ.get("RAY_AUTH_TOKEN")):
        return (
            f"{address} requires a token and none was sent; put the cluster's own into {_token_file()}"
            " and set RAY_AUTH_MODE=token."
        )
    return f"{address} refused the token; put the cluster's own into {_token_file()} (on the head: ray get-auth-token)."
