"""What `ray job submit --working-dir .` would send from a checkout, packed by Ray's own packer."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from ray._private.runtime_env.packaging import create_package

from tests.support.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[3]
MIB = 2**20


def test_an_upload_holds_every_package_and_stays_far_below_rays_limit_of_100_mb(tmp_path: Path) -> None:
    checkout, packed = tmp_path / "checkout", tmp_path / "package.zip"
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", str(checkout)], check=True, timeout=PATIENCE_SECONDS
    )
    (checkout / ".rayignore").write_bytes((ROOT / ".rayignore").read_bytes())
    for litter in ("results/mine/trials/0/weights.safetensors", ".venv/lib/large.so", "tests/more.py"):
        (checkout / litter).parent.mkdir(parents=True, exist_ok=True)
        (checkout / litter).write_bytes(b"0")
    create_package(str(checkout), packed, include_gitignore=True)
    with zipfile.ZipFile(packed) as package:
        sent = set(package.namelist())
    needed = [
        path
        for path in subprocess.check_output(["git", "ls-files"], cwd=checkout, text=True).splitlines()
        if path.split("/")[0] in ("sweeps", "analysis", "trainables", "data")
    ]
    assert len(needed) > 100
    assert set(needed) <= sent
    assert not {name.split("/")[0] for name in sent} & {".git", ".venv", "results", "tests", "docs"}
    assert packed.stat().st_size < 30 * MIB
