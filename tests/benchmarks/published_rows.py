"""The rows of a file of published peaks, read and checked one by one: a bad row is told of and loses no other."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from published_loop import OPTIMIZERS
from published_models import published_config
from transformers import PretrainedConfig

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
RIVALS = ("xmem", "dnnmem", "llmem", "schedtune")
ATTENTIONS = ("sdpa", "eager")
ZERO_GRAD_MODES = (None, 0, 1, 2, 3)  # 3 is 0. Source: transformer_train_loop, exp/trainer/train_loop.py


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the file, from 1 on: its row, or in one sentence why it is none."""

    number: int
    row: dict[str, Any]
    error: str | None = None


def read_lines(path: Path) -> list[Line]:
    """Every line that is not empty, in order. Raises: OSError, or ValueError where the file is no text or has none."""
    texts = path.read_text(encoding="utf-8").splitlines()
    lines = [_read(number, text) for number, text in enumerate(texts, start=1) if text.strip()]
    if not lines:
        raise ValueError("it holds no rows.")
    return lines


def _read(number: int, text: str) -> Line:
    try:
        row = json.loads(text)
    except ValueError as error:
        return Line(number=number, row={}, error=f"not a JSON document: {error}.")
    if not isinstance(row, dict):
        return Line(number=number, row={}, error="not a JSON object; write one row a line.")
    try:
        check_row(row)
    except ValueError as error:
        return Line(number=number, row=row, error=str(error))
    return Line(number=number, row=row)


def check_row(row: dict[str, Any]) -> PretrainedConfig:
    """The config of a row's model. Raises: ValueError for what is missing, unknown or out of bounds."""
    _choice(row, "optimizer", OPTIMIZERS)
    _choice(row, "attention", ATTENTIONS)
    _choice(row | {"precision": row.get("precision", "fp32")}, "precision", tuple(DTYPES))
    _choice(row | {"zero_grad_mode": row.get("zero_grad_mode")}, "zero_grad_mode", ZERO_GRAD_MODES)
    sizes = {name: _number(row, name, int) for name in ("micro_batch_size", "sequence_length", "gpu_total_bytes")}
    for name in ("measured_bytes", *(f"{rival}_bytes" for rival in RIVALS)):
        if row.get(name) is not None:
            _number(row, name, int, float)
    _choice(row | {"out_of_memory": row.get("out_of_memory")}, "out_of_memory", (None, True, False))
    if not isinstance(_present(row, "model"), str):
        raise ValueError(f"model={row['model']!r} is not a name.")
    config = published_config(row["model"])
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and sizes["sequence_length"] > positions:
        raise ValueError(
            f"sequence_length={sizes['sequence_length']} is longer than the {positions} positions of {row['model']}."
        )
    return config


def _present(row: dict[str, Any], name: str) -> Any:
    if name not in row:
        raise ValueError(f"missing field {name!r}.")
    return row[name]


def _choice(row: dict[str, Any], name: str, known: tuple[Any, ...]) -> None:
    value = _present(row, name)
    if not any(value is choice or (type(value) is type(choice) and value == choice) for choice in known):
        raise ValueError(f"unknown {name} {value!r}; known: {', '.join(map(str, known))}.")


def _number(row: dict[str, Any], name: str, *kinds: type) -> Any:
    value = _present(row, name)
    if type(value) not in kinds or not math.isfinite(value) or value < 1:
        raise ValueError(f"{name}={value!r}; it must be a {'whole ' if kinds == (int,) else ''}number of at least 1.")
    return value
