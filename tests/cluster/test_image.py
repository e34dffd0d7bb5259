"""The Dockerfile's own layers, built by buildah, and the smoke run inside as the user that the image names.

The base stands in for rayproject/ray, so that no registry or index is asked: the same user, and a Python of its own in
the same place. This machine's programs and the packages of this environment are mounted into it, nothing is copied; so
the dependencies' layer finds them at the locked versions, as it finds Ray's own in Ray's image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.network_hosts import ROOT
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="building an image needs root on Linux"),
    pytest.mark.skipif(shutil.which("buildah") is None, reason="apt-get install buildah"),
]

STAND_IN = "localhost/ray-stand-in"
ENVIRONMENT = Path("home/ray/anaconda3")  # where rayproject/ray keeps its Python
INSTALLED, PACKAGES = "/opt/installed", "/opt/packages"
# Python at its own place, where its programs look for its library.
MOUNTED = {"/usr": "/usr", sys.base_prefix: sys.base_prefix, sysconfig.get_paths()["purelib"]: INSTALLED}
VOLUMES = [f"--volume={here}:{there}:ro" for here, there in MOUNTED.items()]
OURS = ("galactica", "__editable__", "pip")  # what is not to be found there: it is what the layers install


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
    subprocess.run([*command, "rm", "--all"], capture_output=True, timeout=PATIENCE_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


def test_the_layers_build_and_the_smoke_run_works_inside_without_roots_rights(buildah: list[str]) -> None:
    make_stand_in(buildah)
    build = ["bud", "--isolation", "chroot", "--build-arg", f"BASE={STAND_IN}", *VOLUMES, "--tag", "sweeps", str(ROOT)]
    run([*buildah, *build])
    container = run([*buildah, "from", "localhost/sweeps"]).strip()
    # By env, as buildah looks for a program before it mounts.
    inside = [*buildah, "run", "--isolation", "chroot", *VOLUMES, container, "--", "/usr/bin/env"]
    assert run([*inside, "id", "--user"]).strip() == "1000"
    ours = run([*inside, "python", "-I", "-c", "import sweeps; print(sweeps.__file__)"]).strip()
    assert ours == f"/{ENVIRONMENT}/lib/python3.{sys.version_info.minor}/site-packages/sweeps/__init__.py"
    weights = run([*inside, "find", "/home", "/tmp", "-name", "model*.safetensors", "-size", "+1k"]).split()
    shipped = ("nano-0.1m", "nano-0.3m", "nano-0.6m", "nano-1m", "nano-2m", "nano-4m")
    assert {Path(path).parent.name for path in weights} == set(shipped)
    told = run([*inside, "python", "sweeps/batch_memory.py", "--smoke"])
    assert told.count("outcome finished") == 2
    assert "Report: /home/ray/project/results/" in told


def make_stand_in(buildah: list[str]) -> None:
    """An image with the user `ray` and a Python environment of that user's, which sees this environment's packages."""
    container = run([*buildah, "from", "scratch"]).strip()
    root = Path(run([*buildah, "mount", container]).strip())
    names = ("etc", "tmp", "var/tmp", "run", "proc", "sys", "dev", "home/ray", PACKAGES.lstrip("/"))
    for name in (*names, *(there.lstrip("/") for there in MOUNTED.values())):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/bash\nray:x:1000:1000::/home/ray:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\nray:x:1000:\n")
    packages = root / PACKAGES.lstrip("/")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.startswith(OURS) and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(f"{INSTALLED}/{entry.name}")
    shutil.chown(root / "home/ray", 1000, 1000)
    run([*buildah, "umount", container])
    # No index, and no isolated build, which would ask it for setuptools; Ray's image has its user as the default, too.
    variables = [
        f"PATH=/{ENVIRONMENT}/bin:/usr/bin:/bin",
        "HOME=/home/ray",
        "PIP_NO_INDEX=1",
        "PIP_NO_BUILD_ISOLATION=0",
    ]
    given = [flag for variable in variables for flag in ("--env", variable)]
    run([*buildah, "config", "--user", "1000", *given, container])
    inside = [*buildah, "run", "--isolation", "chroot", *VOLUMES, container, "--"]
    run([*inside, f"{sys.base_prefix}/bin/python3.{sys.version_info.minor}", "-m", "venv", f"/{ENVIRONMENT}"])
    site = f"/{ENVIRONMENT}/lib/python3.{sys.version_info.minor}/site-packages"
    # Python 3.11 brings an old setuptools, which would stand before the locked one.
    run([*inside, "/bin/sh", "-c", f"rm -rf {site}/setuptools*; echo {PACKAGES} > {site}/installed.pth"])
    run([*buildah, "commit", "--quiet", "--rm", container, STAND_IN])


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, f"{command[:8]}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
