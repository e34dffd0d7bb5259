"""The Dockerfile's own layers, built by buildah, and the smoke run inside as the user that the image names.

The base stands in for rayproject/ray, so that no registry is asked: Debian with Python 3.11 and the same user. It holds
no Ray, so the dependencies' layer installs everything. That takes minutes: SWEEPS_BUILD_IMAGE=1 asks for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.hosts import ROOT

MISSING = [command for command in ("buildah", "debootstrap") if shutil.which(command) is None]
pytestmark = [
    pytest.mark.skipif(os.environ.get("SWEEPS_BUILD_IMAGE") != "1", reason="minutes long: set SWEEPS_BUILD_IMAGE=1"),
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="building an image needs root on Linux"),
    pytest.mark.skipif(bool(MISSING), reason=f"apt-get install {' '.join(MISSING)}"),
]

BUILD_SECONDS, RUN_SECONDS = 900, 240
STAND_IN = "localhost/ray-stand-in"
DEBIAN = "http://deb.debian.org/debian"
PACKAGES = "python3.11-venv,python3-distutils,ca-certificates"
BIN = "/home/ray/anaconda3/bin"  # where rayproject/ray keeps its Python


@pytest.fixture(scope="module")
def buildah() -> Iterator[list[str]]:
    """buildah with a store of its own, gone with all images at the end."""
    folder = Path(tempfile.mkdtemp(prefix="images-", dir="/var/tmp"))
    command = [
        "buildah",
        "--root",
        str(folder / "root"),
        "--runroot",
        str(folder / "run"),
        "--storage-driver",
        "overlay",
    ]
    yield command
    subprocess.run([*command, "rm", "--all"], capture_output=True, timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


def test_the_layers_build_and_the_smoke_run_works_inside_without_roots_rights(buildah: list[str]) -> None:
    make_stand_in(buildah)
    wheels = [f"--volume={folder}:{folder}:ro" for folder in wheel_folders()]
    build = ["bud", "--isolation", "chroot", "--build-arg", f"BASE={STAND_IN}", *wheels, "--tag", "sweeps", str(ROOT)]
    run([*buildah, *build], BUILD_SECONDS)
    container = run([*buildah, "from", "localhost/sweeps"], 60).strip()
    inside = [*buildah, "run", "--isolation", "chroot", container, "--"]
    assert run([*inside, "id", "--user"], 30).strip() == "1000"
    told = run([*inside, "python", "sweeps/batch_memory.py", "--smoke"], RUN_SECONDS)
    assert told.count("outcome finished") == 2
    assert "Report: /home/ray/project/results/" in told
    weights = run([*inside, "find", "/home", "/tmp", "-name", "model*.safetensors", "-size", "+1k"], 60).split()
    assert {Path(path).parent.name for path in weights} == {"nano-0.3m", "nano-1m", "nano-4m"}


def make_stand_in(buildah: list[str]) -> None:
    """An image of Debian with Python 3.11 in Ray's place, the user `ray`, and this machine's way to packages."""
    container = run([*buildah, "from", "scratch"], 30).strip()
    root = Path(run([*buildah, "mount", container], 30).strip())
    run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root), DEBIAN], 300)
    run(["chroot", str(root), "useradd", "--create-home", "--uid", "1000", "ray"], 30)
    run(["chroot", str(root), "su", "ray", "-c", f"python3.11 -m venv {Path(BIN).parent}"], 60)
    links = "".join(f"find-links = {folder}\n" for folder in wheel_folders())
    (root / "etc/pip.conf").write_text(f"[global]\n{links}cert = /etc/ssl/certs/ca-certificates.crt\n")
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")
    run([*buildah, "umount", container], 60)
    run([*buildah, "config", "--env", f"PATH={BIN}:/usr/bin:/bin", "--env", "HOME=/home/ray", container], 30)
    run([*buildah, "commit", "--quiet", "--rm", container, STAND_IN], 120)


def wheel_folders() -> list[str]:
    """Folders of wheels that pip is told of on this machine."""
    return [folder for folder in os.environ.get("PIP_FIND_LINKS", "").split() if Path(folder).is_dir()]


def run(command: list[str], limit_seconds: float) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_seconds)
    assert done.returncode == 0, f"{command[:8]}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
