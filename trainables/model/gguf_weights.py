"""Weights in a GGUF file, as llama.cpp keeps them: turned once into a folder that transformers reads, in a cache.

A GGUF file is quantised; here it becomes float32 safetensors, so that it can be tuned. What was rounded away stays so.
Source: the GGUF specification, version 3; transformers' GGUF reader, 5.23.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UserError, one_line
from trainables.records.disk_cache import cache_folder

if TYPE_CHECKING:
    from gguf import GGUFReader

SUFFIX = ".gguf"
ORIGIN_FILE = "origin.json"  # last to be written into a converted folder: where it stands, the folder is whole
MAGIC = b"GGUF"
READ_BYTES = 2**24


class GgufError(UserError):
    """A GGUF file that cannot be read; the message is one line for a person."""


def find_gguf(name: str) -> Path | None:
    """The GGUF file that `name` is, or that alone lies in the folder `name` without a config.json; else None.

    Raises: GgufError for a folder of several.
    """
    path = Path(name).expanduser()
    if path.is_file() and (path.suffix.lower() == SUFFIX or _begins_like_gguf(path)):
        return path.resolve()
    if not path.is_dir() or (path / "config.json").is_file():
        return None
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == SUFFIX)
    if len(files) > 1:
        raise GgufError(f"{name} holds {len(files)} GGUF files; give one of them, such as {files[0]}.")
    return files[0].resolve() if files else None


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def convert(file: Path, origin: str = "") -> Path:
    """The folder that `file` becomes in the cache; made at the first call, found at any later one.

    Args: origin: what to say of where the file comes from; by default its name.
    Returns: a folder with config, float32 safetensors, tokenizer and `ORIGIN_FILE`.
    Raises: GgufError for a file that is truncated, is no GGUF or is of an architecture that transformers cannot read.
    """
    facts = file.stat()
    key = hashlib.blake2b(f"{file}|{facts.st_size}|{facts.st_mtime_ns}".encode(), digest_size=6).hexdigest()
    folder = cache_folder("models") / f"{file.stem}-{key}"
    if (folder / ORIGIN_FILE).is_file():
        return folder
    kind = _check(file)
    described = f"{origin or file.name}, dequantised from {kind} to float32"
    print(f"Converting {file.name} once, into {folder}: {described}", file=sys.stderr, flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{file.stem}-", dir=folder.parent))
    try:
        _write(file, scratch)
        (scratch / ORIGIN_FILE).write_text(json.dumps({"origin": described, "gguf_sha256": file_digest(file)}) + "\n")
        if not (folder / ORIGIN_FILE).is_file():  # another process may have been sooner
            shutil.rmtree(folder, ignore_errors=True)
            scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def origin_of(location: str) -> str:
    """What a converted folder says of its origin; nothing for any other folder or name."""
    try:
        document = json.loads((Path(location) / ORIGIN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(document.get("origin", "")) if isinstance(document, dict) else ""


def _begins_like_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _check(file: Path) -> str:
    """That the file is whole, and of an architecture that transformers reads. Returns: how most weights are kept."""
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING

    reader = _reader(file)
    size = file.stat().st_size
    end = max((int(tensor.data_offset + tensor.n_bytes) for tensor in reader.tensors), default=0)
    if end > size:
        raise GgufError(f"{file}: truncated, {size:,} of {end:,} bytes; fetch it again.")
    field = reader.get_field("general.architecture")
    architecture = str(field.contents()) if field else "none"
    if architecture not in GGUF_CONFIG_MAPPING:
        known = ", ".join(sorted(name for name in GGUF_CONFIG_MAPPING if name != "general"))
        raise GgufError(f"{file}: architecture {architecture!r} is not among those that transformers reads: {known}.")
    weights = Counter[str]()
    for tensor in reader.tensors:
        weights[tensor.tensor_type.name] += int(tensor.n_elements)
    return weights.most_common(1)[0][0] if weights else "nothing"


def _reader(file: Path) -> GGUFReader:
    if not _begins_like_gguf(file):
        raise GgufError(f"{file} is not a GGUF file, as it does not begin with {MAGIC.decode()}; fetch it again.")
    from gguf import GGUFReader

    try:
        return GGUFReader(file)
    except (ValueError, IndexError, KeyError, OverflowError, OSError, UnicodeDecodeError, TypeError) as error:
        reason = one_line(error)[:120]
        raise GgufError(f"{file}: truncated or damaged ({reason}); fetch it again.") from None


def _write(file: Path, folder: Path) -> None:
    """Config, weights and tokenizer of the GGUF `file`, as transformers would have saved the model's own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    had_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    place, name = os.fspath(file.parent), file.name
    try:
        model = AutoModelForCausalLM.from_pretrained(place, gguf_file=name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=name)
    except (OSError, ValueError, RuntimeError, KeyError, IndexError, ImportError, AttributeError) as error:
        raise GgufError(f"{file}: transformers cannot read it ({one_line(error)[:160]}).") from None
    finally:
        if had_bars:
            logging.enable_progress_bar()
    settings = {name: value for name, value in model.config.to_dict().items() if name != "quantization_config"}
    plain = type(model)(type(model.config)(**settings))  # a config that says "quantised" refuses to be saved
    plain.load_state_dict(model.state_dict())
    plain.tie_weights()
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
