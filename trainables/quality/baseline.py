"""The base model before tuning: its losses and its samples, measured once for each model of a sweep.

They are the same in every sweep on the same lines with the same model, device and seed: the user's cache folder has
them then, as 480 completions of a model of 135M parameters take minutes of a CPU.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from trainables.quality.sampling import Completion, SamplingSettings
from trainables.records.disk_cache import cache_key, load_document, source_digest, store_document
from trainables.records.layout import LAYOUT
from trainables.records.storage import Storage

CACHE = "baselines"
TRAINABLES = Path(__file__).resolve().parent.parent
SOURCES = (*(TRAINABLES / "quality").glob("*.py"), *(TRAINABLES / "model").glob("*.py"))


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Losses in nats per token, perplexity, and completions by prompt in the sweep's order of prompts.

    `off_domain_loss` is the model's on its own completions of off-domain prompts.
    """

    quote_loss: float
    science_perplexity: float
    off_domain_loss: float
    completions: tuple[tuple[Completion, ...], ...]


def baseline_for(
    storage: Storage,
    model: str,
    precision: str,
    sampling: SamplingSettings,
    key: Callable[[], str],
    measure: Callable[[], Baseline],
) -> Baseline:
    """The sweep's baseline of a model; else what the cache has under `key()`, else what `measure` finds.

    It is stored for the trials that follow, and for other sweeps.
    """
    name = f"{model}-{precision}"
    digest = hashlib.blake2b(f"{name} {sampling}".encode(), digest_size=4).hexdigest()
    path = LAYOUT.baseline(f"{re.sub('[^A-Za-z0-9.]+', '-', name).strip('-')}-{digest}")
    if storage.exists(path):
        return _from_document(json.loads(storage.read_text(path)))
    cached = load_document(CACHE, known_as := key())
    baseline = _from_document(cached) if cached is not None else measure()
    text = json.dumps(dataclasses.asdict(baseline))
    if cached is None:
        store_document(CACHE, known_as, text)
    storage.write_text(path, text)
    return baseline


def baseline_key(model: torch.nn.Module, device: torch.device, asked: Any) -> str:
    """The cache's name of a model's baseline: of its weights, the device and its arithmetic, and what is `asked` of it.

    `asked` is plain JSON: lines, prompts and settings.
    """
    is_cuda = device.type == "cuda"
    arithmetic = torch.cuda.get_device_name(device) if is_cuda else torch.backends.cpu.get_cpu_capability()
    versions = [torch.__version__, transformers.__version__, source_digest(SOURCES)]
    return cache_key(versions, arithmetic, torch.get_num_threads(), weights_digest(model), asked)


@torch.no_grad()
def weights_digest(model: torch.nn.Module) -> str:
    """A digest of all weights, from each one's name, type, shape and two sums over its bits: 32 hexadecimal digits.

    Read on the weights' own device, at the speed of its memory. It tells models apart, not forgeries.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, weight in model.state_dict().items():
        bits = weight.detach().contiguous().flatten().view(torch.uint8)
        whole = bits[: len(bits) // 8 * 8].view(torch.int64)
        places = torch.arange(1, len(whole) + 1, device=weight.device)
        sums = (int(whole.sum()), int((whole * places).sum()), bits[len(whole) * 8 :].tolist())
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)} {sums}".encode())
    return digest.hexdigest()


def _from_document(document: dict[str, Any]) -> Baseline:
    completions = tuple(tuple(Completion(**c) for c in row) for row in document["completions"])
    losses = {name: float(value) for name, value in document.items() if name != "completions"}
    return Baseline(completions=completions, **losses)
