"""Ray brought up for a sweep, or joined: what keeps it from starting is one line that says what to do."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from data.errors import UserError, error_line

START_VARIABLE = "SWEEPS_RAY_START_SECONDS"  # by which a person has Ray waited for longer, or less long
START_SECONDS = 300.0  # for Ray on a machine with much other work; Ray itself gives up after 30, and is started again
ANSWER_SECONDS = 5.0  # for a cluster's head to answer its port
# Ray's sockets lie in <folder>/ray/session_<time>_<process>/sockets, and a socket's path may have 107 bytes.
# Source: ray 2.60, ray._private.node and validate_socket_filename; the longest name is dash_<module>.
LONGEST_FOLDER = 30
FOLDER_VARIABLES = ("RAY_TMPDIR", "TMPDIR")  # the second for the sockets of its dashboard's processes
# Of what Ray's daemons publish, this asks nothing of a person: a sweep's own actors are many, and mostly wait. It
# stands in Ray's raylet.out all the same. Source: ray 2.60, WarnAboutSize in src/ray/raylet/worker_pool.cc.
ASKS_NOTHING = "worker processes have been started on node"
LEAST_FREE_BYTES = 200 * 2**20  # for logs and spilled objects; assumed


class RayStartError(UserError):
    """Ray could not be started or joined; the message is one line that says why and what to do."""


def check_answers(address: str) -> None:
    """See that a Ray head answers at "host:port", before Ray asks for minutes. Raises: RayStartError."""
    import grpc

    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return  # "auto" and its kin, which Ray resolves by itself
    channel = grpc.insecure_channel(f"{host}:{port}")
    try:
        grpc.channel_ready_future(channel).result(timeout=ANSWER_SECONDS)
    except grpc.FutureTimeoutError:
        raise RayStartError(
            f"RAY_ADDRESS={address}: no Ray head answers there ({ANSWER_SECONDS:g} s); start the"
            " cluster, or unset RAY_ADDRESS to train on this machine."
        ) from None
    finally:
        channel.close()


@contextlib.contextmanager
def local_ray(**options: Any) -> Iterator[None]:
    """A Ray of this machine's own, with `options` of ray.init, in a folder whose path is short enough for its sockets.

    Raises: RayStartError, with nothing left behind.
    """
    start_seconds = _start_seconds()
    with _ray_folder() as folder:
        _start(folder, options, start_seconds)
        yield


def _start_seconds() -> float:
    """How long a slow start is tried again. Raises: RayStartError for a variable that is no such number."""
    text = os.environ.get(START_VARIABLE) or str(START_SECONDS)
    with contextlib.suppress(ValueError):
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    raise RayStartError(f"{START_VARIABLE}={text!r} is not a number of seconds; give one above 0, such as 900.")


@contextlib.contextmanager
def _ray_folder() -> Iterator[str]:
    """Where Ray keeps its sockets and logs: the usual place, or a short one made for this sweep."""
    usual = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    short = None
    if len(os.fsencode(os.path.abspath(usual))) > LONGEST_FOLDER:
        try:
            short = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        except OSError as error:
            raise RayStartError(
                f"{usual} is too long a path for Ray's sockets, and /tmp cannot be used ({error.strerror}); set"
                f" RAY_TMPDIR to a folder of at most {LONGEST_FOLDER} characters."
            ) from None
        print(f"{usual} is too long a path for Ray's sockets: they lie in {short} while the sweep runs.", flush=True)
    folder, before = short or usual, {name: os.environ.get(name) for name in FOLDER_VARIABLES}
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        raise RayStartError(
            f"{folder}, where Ray keeps its files: {error.strerror}; set RAY_TMPDIR to another."
        ) from None
    if free_bytes < LEAST_FREE_BYTES:
        raise RayStartError(
            f"{folder}, where Ray keeps its files, has {free_bytes // 2**20} MiB free; make room for"
            f" {LEAST_FREE_BYTES // 2**20} MiB, or set RAY_TMPDIR to another folder."
        )
    try:
        if short:
            os.environ |= dict.fromkeys(FOLDER_VARIABLES, short)
            tempfile.tempdir = None  # asked of the variables again
        yield folder
    finally:
        if short:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
            tempfile.tempdir = None
            shutil.rmtree(short, ignore_errors=True)


def _start(folder: str, options: dict[str, Any], start_seconds: float) -> None:
    """Start Ray, again where it gave a busy machine too little time."""
    until = time.monotonic() + start_seconds
    while (trouble := _trouble(address="local", **options)) is not None:
        if "timed out during startup" not in str(trouble) or time.monotonic() > until:
            raise RayStartError(_line(trouble, folder, start_seconds))
        print("Ray is slow to start on this busy machine; trying again.", flush=True)


def _trouble(**options: Any) -> Exception | None:
    """What `ray.init` raised; None where Ray is up."""
    import ray

    try:
        # What goes wrong is told in one line; afterwards errors show again.
        ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
        logging.getLogger("ray").setLevel(logging.ERROR)
        _sift_messages()
    except Exception as error:  # noqa: BLE001 - Ray raises bare Exceptions too, and each means that it is not up
        ray.shutdown()
        return error
    return None


def _sift_messages() -> None:
    """Have Ray print of its daemons' messages those that may ask something of a person: it has no setting for it."""
    from ray._private import worker

    told = worker.print_to_stdstream
    if hasattr(told, "sifted"):
        return

    def sifted(data: dict[str, Any], *rest: Any, **more: Any) -> None:
        if not any(ASKS_NOTHING in line for line in data["lines"]):
            told(data, *rest, **more)

    sifted.sifted = True  # pyright: ignore[reportFunctionMemberAccess]
    worker.print_to_stdstream = sifted


def _line(error: Exception, folder: str, start_seconds: float) -> str:
    reason = error_line(error).rstrip(".")
    if "timed out during startup" in str(error):
        return (
            f"Ray did not start in {start_seconds:.0f} s ({reason}); end other programs, or wait longer with"
            f" {START_VARIABLE}={3 * start_seconds:.0f}."
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"Ray could not start, as a disk is full ({reason}); make room in {folder}, or set RAY_TMPDIR."
    if isinstance(error, PermissionError):
        return f"Ray could not start ({reason}); make that writable, or set HOME and RAY_TMPDIR to folders that are."
    return f"Ray could not start ({reason}); its logs are in {folder}/ray/session_latest/logs."


def join_ray(**options: Any) -> None:
    """Join the cluster that RAY_ADDRESS names. Raises: RayStartError."""
    address = os.environ["RAY_ADDRESS"]
    check_answers(address)
    if (trouble := _trouble(**options)) is not None:
        raise RayStartError(
            f"RAY_ADDRESS={address}: no Ray cluster could be joined there ({error_line(trouble).rstrip('.')}); join a"
            " cluster from one of its own nodes; from elsewhere use `ray job submit`."
        )
