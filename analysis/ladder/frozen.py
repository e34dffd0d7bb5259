"""Predictions that are written down before a rung runs, and never changed.

Each lies in the sweep's folder with a hash of itself; a prediction that was changed afterwards is refused, so hits and
misses in the report are those of the original prediction.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from analysis.ladder.transfer import Forecast
from data.errors import UserError
from trainables.records.layout import LAYOUT
from trainables.records.storage import Storage


@dataclass(frozen=True, kw_only=True)
class RungPrediction:
    """What was predicted of a size before it ran.

    `below` are the sizes that it was made from and `trials` the numbers of their trials; `shares` are quality, its
    parts, spill-over and retention by name.
    """

    size: str
    parameters: int
    learning_rate: Forecast
    batch_size: Forecast
    loss: Forecast
    shares: Mapping[str, Forecast]
    below: tuple[str, ...]
    trials: tuple[int, ...]


def freeze(storage: Storage, rung: int, prediction: RungPrediction) -> str:
    """Write down the prediction of that rung, 0 for the lowest, where none is yet. Returns: the hash of what stands."""
    path = LAYOUT.rung_prediction(rung)
    if not storage.exists(path):
        document = asdict(prediction)
        storage.write_text(path, json.dumps({"prediction": document, "sha256": fingerprint(document)}, indent=1))
    return frozen(storage, rung)[1]


def frozen(storage: Storage, rung: int) -> tuple[RungPrediction, str]:
    """The prediction of that rung and its hash. Raises: FileNotFoundError; UserError for one that was changed."""
    path = LAYOUT.rung_prediction(rung)
    try:
        whole = json.loads(storage.read_text(path))
        document, told = whole["prediction"], whole["sha256"]
    except (json.JSONDecodeError, KeyError, TypeError):
        document, told = {}, ""
    if told != fingerprint(document):
        raise UserError(
            f"{storage.uri}/{path} is not as it was written before its rung ran: its hash differs; a prediction"
            " changed afterwards predicts nothing. Put the file back, or start a new ladder under another --name."
        )
    return _read(document), told


def fingerprint(document: Any) -> str:
    """SHA-256 of a document, whatever its layout on disk."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _read(document: dict[str, Any]) -> RungPrediction:
    return RungPrediction(
        size=document["size"],
        parameters=document["parameters"],
        learning_rate=Forecast(**document["learning_rate"]),
        batch_size=Forecast(**document["batch_size"]),
        loss=Forecast(**document["loss"]),
        shares={name: Forecast(**share) for name, share in document["shares"].items()},
        below=tuple(document["below"]),
        trials=tuple(document["trials"]),
    )
