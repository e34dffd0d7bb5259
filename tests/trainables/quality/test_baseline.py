"""The base model's figures: measured once for a sweep, and once for all that ask the same of the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainables.quality.baseline import Baseline, baseline_for, baseline_key, weights_digest
from trainables.quality.sampling import Completion, SamplingSettings
from trainables.records.storage import open_storage

CPU = torch.device("cpu")
MEASURED = Baseline(
    quote_loss=4.5,
    science_perplexity=26.1,
    off_domain_loss=3.25,
    completions=((Completion(text="a line", ended=True), Completion(text="a longer li", ended=False)),),
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def asked(folder: Path, key: str) -> tuple[Baseline, int]:
    """The baseline that a sweep in `folder` gets, and how often it was measured for it."""
    times = 0

    def measure() -> Baseline:
        nonlocal times
        times += 1
        return MEASURED

    storage = open_storage(str(folder))
    return baseline_for(storage, "nano-1m", "fp32", SamplingSettings(), lambda: key, measure), times


def test_a_second_trial_reads_the_sweeps_own_and_a_second_sweep_the_cache(tmp_path: Path) -> None:
    assert asked(tmp_path / "one", "a") == (MEASURED, 1)
    assert asked(tmp_path / "one", "of another trial") == (MEASURED, 0)
    assert asked(tmp_path / "two", "a") == (MEASURED, 0)
    assert len(list((tmp_path / "two" / "baselines").iterdir())) == 1  # the sweep is whole without the cache
    assert asked(tmp_path / "three", "b") == (MEASURED, 1)


def test_a_key_changes_with_a_weight_with_what_is_asked_and_with_the_threads() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 5)
    key = baseline_key(model, CPU, ["hope:"])
    assert baseline_key(model, CPU, ["hope:"]) == key
    assert baseline_key(model, CPU, ["love:"]) != key
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert baseline_key(model, CPU, ["hope:"]) != key
    finally:
        torch.set_num_threads(threads)
    with torch.no_grad():
        model.weight[2, 1] += 1e-7
    assert baseline_key(model, CPU, ["hope:"]) != key


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_digest_tells_weights_of_other_order_type_or_last_bits_apart(dtype: torch.dtype) -> None:
    model = torch.nn.Module()
    model.register_buffer("scale", torch.tensor(1.5, dtype=dtype))  # no dimension
    model.weight = torch.nn.Parameter(torch.arange(1, 8, dtype=dtype))  # bytes that fill no 8
    first = weights_digest(model)
    assert weights_digest(model) == first
    with torch.no_grad():
        model.weight.copy_(model.weight.flip(0))
    flipped = weights_digest(model)
    with torch.no_grad():
        model.weight[-1] = 1.0078125  # one unit in bfloat16's last place
    assert len({first, flipped, weights_digest(model), weights_digest(model.double())}) == 4
