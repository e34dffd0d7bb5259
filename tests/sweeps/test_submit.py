"""A sweep sent to a real Ray head with a token, through a tunnel that breaks; and what is refused before or there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from analysis.sweep_table.load import load_sweep
from sweeps.submit import main
from tests.support.person import TOKEN
from tests.support.tunnel import Tunnel
from tests.support.waiting import PATIENCE_SECONDS, free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
SUBMIT = [sys.executable, str(ROOT / "sweeps" / "submit.py")]


@dataclass(frozen=True, kw_only=True)
class Head:
    """A Ray head of its own at `address`, and a tunnel to its dashboard; `environment` is a person's with the token."""

    address: str
    tunnel: Tunnel
    environment: dict[str, str]
    folder: Path

    def ask(self, path: str) -> Any:
        """What the dashboard answers in JSON."""
        url = f"http://127.0.0.1:{self.tunnel.target_port}{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def submit(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """What `sweeps/submit.py` does, in a person's environment with `changes`."""
        return subprocess.run(
            [*SUBMIT, *arguments],
            env=self.environment | changes,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: Ray's sockets lie below it
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text(TOKEN)
    unwanted = ("RAY_", "WANDB_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    path = f"{Path(sys.executable).parent}:{kept['PATH']}"
    kept |= {"HOME": str(folder), "PATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    names = ("port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port")
    ports = {name: free_port() for name in names}
    flags = [f"--{name}={port}" for name, port in ports.items()]
    flags += ["--min-worker-port=0", "--max-worker-port=0", "--num-cpus=2", "--dashboard-host=127.0.0.1"]
    ray = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--disable-usage-stats"]
    with (folder / "head.log").open("wb") as log:
        process = subprocess.Popen(
            [*ray, f"--temp-dir={folder}/ray", *flags],
            env=kept | {"RAY_AUTH_MODE": "token"},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: "Ray runtime started" in (folder / "head.log").read_text(), "the head")
        with Tunnel(ports["dashboard-port"]) as tunnel:
            yield Head(
                address=f"127.0.0.1:{ports['port']}",
                tunnel=tunnel,
                environment=kept | {"RAY_API_SERVER_ADDRESS": tunnel.address + "/"},
                folder=folder,
            )
    finally:
        for each in [*psutil.Process(process.pid).children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait(PATIENCE_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def followed(head: Head) -> tuple[str, str, int, Path]:
    """Output, complaints and exit code of a submitted sweep whose tunnel was cut while it was followed; its results."""
    results = head.folder / "results"
    flags = ["batch_memory", "--smoke", "--weights", "random", "--wandb", "disabled", "--storage", str(results)]
    told = head.folder / "told"
    with told.open("wb") as out, (head.folder / "complaints").open("wb") as complaints:
        head.tunnel.cut()
        process = subprocess.Popen(
            [*SUBMIT, *flags, "--wait", "600"], env=head.environment, cwd=head.folder, stdout=out, stderr=complaints
        )
        try:
            wait_until(lambda: "Waiting for " in (head.folder / "complaints").read_text(), "the program to wait")
            head.tunnel.restore()
            wait_until(
                lambda: "Sweep batch_memory-" in told.read_text() or process.poll() is not None,
                "the sweep",
            )
            head.tunnel.cut()
            time.sleep(3)
            head.tunnel.restore()
            code = process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()
            process.wait()
    return told.read_text(), (head.folder / "complaints").read_text(), code, results


def test_a_sweep_is_submitted_and_its_log_followed_across_a_cut_without_a_line_twice(
    head: Head, followed: tuple[str, str, int, Path]
) -> None:
    told, complaints, code, results = followed
    assert code == 0, told + complaints
    assert complaints.count("Waiting for http://") == 1
    assert complaints.count("Lost the connection") == 1
    assert complaints.count("Connected to") == 1
    assert len(complaints.splitlines()) == 3, complaints
    (job,) = head.ask("/api/jobs/")
    log = head.ask(f"/api/jobs/{job['submission_id']}/logs")["logs"]
    _, _, shown = told.partition("Follow it again: ")
    shown, _, end = shown.partition("\n")[2].rpartition("\nJob ")
    progress = re.compile(r"^\[\d of 2 trials\]\n", re.MULTILINE)
    assert progress.findall(shown) == ["[1 of 2 trials]\n", "[2 of 2 trials]\n"]
    assert progress.sub("", shown) == log
    assert len(re.findall(r"^trial \d{4}  size", log, re.MULTILINE)) == 2
    sweep = job["metadata"]["sweep"]
    assert len(list((results / sweep / "trials").glob("*/record.json"))) == 2
    assert "exit code 0" in end
    for line in (
        f"Results:     {results}/{sweep}",
        f"Go on:       python sweeps/submit.py sweeps/batch_memory.py --resume --name {sweep} --storage {results}",
        f"Dashboard:   {head.tunnel.address}/#/jobs/{job['submission_id']}",
        "wandb group: none, as wandb is disabled",
        "The cluster is still up, and costs money until: ray down build/cluster.yaml",
    ):
        assert line in end.splitlines()
    assert TOKEN not in told + complaints + json.dumps(job)


def test_the_jobs_api_tells_sweep_question_sizes_and_commit(head: Head, followed: object) -> None:
    (job,) = head.ask("/api/jobs/")
    told = job["metadata"]
    assert re.fullmatch(r"batch_memory-\d{8}-\d{6}", told["sweep"])
    assert (told["question"], told["sizes"], told["storage"]) == (
        "batch_memory",
        "nano-0.3m",
        str(head.folder / "results"),
    )
    sha = subprocess.check_output(["git", "-C", str(ROOT), "rev-parse", "HEAD"], text=True).strip()
    assert told["commit"].partition("+")[0] == sha
    assert job["entrypoint"].endswith(f" --name {told['sweep']}")


def test_records_of_a_submitted_sweep_tell_the_commit_that_was_uploaded(
    head: Head, followed: tuple[str, str, int, Path]
) -> None:
    (job,) = head.ask("/api/jobs/")
    (folder,) = followed[3].iterdir()
    shas = {record.provenance.git_sha for record in load_sweep(str(folder)).records}
    assert shas == {job["metadata"]["commit"]}


def test_every_package_is_uploaded_and_nothing_that_rayignore_names(head: Head, followed: object) -> None:
    uploaded = list((head.folder / "ray").glob("session_2*/runtime_resources/working_dir_files/_ray_pkg_*/"))
    (folder,) = (path for path in uploaded if path.is_dir())
    sent = {path.name for path in folder.iterdir()}
    assert {"sweeps", "analysis", "trainables", "data"} <= sent
    assert not {".git", ".venv", "results", "tests", "docs"} & sent


def test_a_job_that_has_ended_is_shown_again(head: Head, followed: tuple[str, str, int, Path]) -> None:
    (job,) = head.ask("/api/jobs/")
    again = head.submit("--follow", job["submission_id"])
    assert again.returncode == 0, again.stderr
    assert "[2 of 2 trials]" in again.stdout
    assert again.stdout.rpartition("\nJob ")[2] == followed[0].rpartition("\nJob ")[2]


def test_a_cluster_refuses_in_one_line(head: Head, followed: object, tmp_path: Path) -> None:
    flags = ("batch_memory", "--storage", "s3://bucket/sweeps")
    (job,) = head.ask("/api/jobs/")
    assert_refused(head.submit(*flags, HOME=str(tmp_path)), "requires a token and none was sent")
    assert_refused(head.submit(*flags, RAY_AUTH_TOKEN="f" * 32), "refused the token")
    assert_refused(head.submit("--follow", "nobody"), f"no job 'nobody'; there are: {job['submission_id']}.")
    assert len(head.ask("/api/jobs/")) == 1


def test_ctrl_c_leaves_the_job_running_and_a_job_that_does_not_succeed_ends_with_one(
    head: Head, followed: object
) -> None:
    start_job(head, "long", "echo here; sleep 600")
    log = head.folder / "follow.log"
    with log.open("wb") as out:
        following = subprocess.Popen([*SUBMIT, "--follow", "long"], env=head.environment, stdout=out, stderr=out)
    wait_until(lambda: "here" in log.read_text(), "the job's log")
    following.send_signal(signal.SIGINT)
    assert following.wait(PATIENCE_SECONDS) == 130
    again = f"python sweeps/submit.py --follow long --address {head.tunnel.address}"
    assert log.read_text().splitlines()[-1] == f"The job goes on; follow it again with: {again}"
    assert head.ask("/api/jobs/long")["status"] == "RUNNING"

    start_job(head, "bad", "echo no; exit 3")
    failed = head.submit("--follow", "bad")
    assert failed.returncode == 1
    assert "no\n" in failed.stdout
    assert re.search(r"^Job bad: failed after \d+ s, exit code 3$", failed.stdout, re.MULTILINE)


def start_job(head: Head, name: str, command: str, metadata: dict[str, str] | None = None) -> None:
    """Start a command as a job of that name."""
    body = json.dumps({"entrypoint": command, "submission_id": name, "metadata": metadata or {}}).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{head.tunnel.target_port}/api/jobs/"
    urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=PATIENCE_SECONDS).close()


def assert_refused(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.fullmatch(r"error: [^\n]*\n", done.stderr), done.stderr
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "no question is named; name one first: batch_memory, sample_quality, scale_ladder."),
        ("batch-memory", "'batch-memory' is not a question; name one: batch_memory, sample_quality, scale_ladder"),
        ("batch_memory", "--storage results would be lost with the cluster's head; give s3://bucket/prefix"),
        ("batch_memory --storage s3://b/c --trials 0", "--trials=0; it must be at least 1."),
        ("batch_memory --storage s3://b/c --trails 3", "Unrecognized options: --trails"),
        ("batch_memory --storage s3://b/c --resume", "--resume needs --name"),
        ("batch_memory --storage s3://b/c --name a/b", "--name 'a/b' cannot name a folder"),
        ("batch_memory --storage s3://b/c --dry-run", "python sweeps/batch_memory.py --dry-run"),
        ("batch_memory --storage s3://b/c --data mine.txt", "--data mine.txt is not in "),
        ("batch_memory --storage s3://b/c --warm-start results/a", "--warm-start results/a is not uploaded"),
        ("batch_memory --storage s3://b/c --wait soon", "--wait: 'soon' cannot be read as FLOAT; --help"),
        ("batch_memory --storage s3://b/c --wait -1", "--wait=-1.0; it must be 0 or more seconds."),
        ("batch_memory --storage s3://b/c --address ray://head:10001", "10001 is not the address of a dashboard"),
        ("--follow a-job batch_memory", "--follow submits nothing, so 'batch_memory' has no meaning"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_nothing_is_sent(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.submit.connect", lambda *_: pytest.fail("a cluster was asked"))
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"error: [^\n]*\n", err)
    assert said in err


def test_no_cluster_is_told_after_the_wait(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    address = f"http://127.0.0.1:{free_port()}"
    flags = ["batch_memory", "--storage", "s3://bucket/sweeps", "--wait", "0"]
    command = [*SUBMIT, *flags, "--address", address]
    done = subprocess.run(
        command, env=kept | {"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert_refused(done, f"no cluster answers at {address} (")
    assert "ray dashboard build/cluster.yaml" in done.stderr


OTHER_SWEEP = """
import sys, time, ray
from ray.job_config import JobConfig
ray.init(address=sys.argv[1], log_to_driver=False, job_config=JobConfig(metadata={"sweep": "mine"}))
print("joined", flush=True)
time.sleep(600)
"""


def test_the_ray_of_a_sweep_on_this_machine_is_no_cluster_to_submit_to(head: Head, followed: object) -> None:
    local = head.environment | {"RAY_AUTH_MODE": "token"}
    command = [sys.executable, "-c", OTHER_SWEEP, head.address]
    with subprocess.Popen(command, env=local, stdout=subprocess.PIPE, text=True) as sweep:
        try:
            assert sweep.stdout is not None
            assert sweep.stdout.readline() == "joined\n"
            jobs = len(head.ask("/api/jobs/"))
            refused = head.submit("batch_memory", "--storage", "s3://bucket/sweeps")
            assert_refused(refused, "is the Ray of sweep 'mine'")
            assert len(head.ask("/api/jobs/")) == jobs
        finally:
            sweep.kill()


def test_a_job_that_ended_before_its_sweep_began_names_no_results(head: Head, followed: object) -> None:
    metadata = {"sweep": "never", "question": "batch_memory", "storage": "s3://bucket/sweeps"}
    start_job(head, "never", "python -c 'import no_such_package'", metadata)
    failed = head.submit("--follow", "never")
    assert failed.returncode == 1
    end = failed.stdout.rpartition("\nJob ")[2]
    assert "no_such_package" in end
    assert "ended before its sweep began" in end
    assert not re.search(r"^(Results|Report|Go on):", end, re.MULTILINE)
