"""A cluster's kinds of nodes, and on which of them a trial of each size is put."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from data.errors import UserError
from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.device import Device, find_device
from sweeps.planning.node_kinds import NodeKind, live_kinds, only_with, read_cluster_file
from sweeps.planning.options import SweepOptions
from sweeps.planning.placement import Placement, fewest_sharded, place
from sweeps.run.launch import main
from tests.conftest import ROOT
from trainables.memory.cards import find_card
from trainables.model.models import ModelShape, galactica_config, model_shape
from trainables.records.settings import TrialSettings

FILE = """
max_workers: 3
head_node_type: head
metadata: {price_per_hour: {small: 1.0, large: 30.0}}
available_node_types:
  head: {max_workers: 0, resources: {CPU: 2}, node_config: {InstanceType: m5.large}}
  small:
    max_workers: 8
    resources: {CPU: 4, GPU: 1, "accelerator_type:A10G": 1}
    node_config: {InstanceType: g5.xlarge}
  large:
    max_workers: 1
    resources: {CPU: 96, GPU: 8, "accelerator_type:A100": 1}
    node_config: {InstanceType: p4d.24xlarge}
"""


@pytest.fixture
def kinds(tmp_path: Path) -> tuple[NodeKind, ...]:
    (tmp_path / "cluster.yaml").write_text(FILE)
    return tuple(kind for kind in read_cluster_file(str(tmp_path / "cluster.yaml")) if kind.gpus)


def settings_of(model: str, micro: int = 1, **more) -> TrialSettings:
    fields = {"batch_size": 8 * micro, "micro_batch_size": micro, "learning_rate": 1e-4, "sequence_length": 512}
    fields |= {"model": model, "token_budget": 10**6, "precision": "bf16-amp", "weights": "random"}
    return TrialSettings(**fields | more)


def shape_of(model: str) -> ModelShape:
    return model_shape(galactica_config(model))


def test_a_cluster_file_tells_card_price_and_how_many_there_may_be(kinds: tuple[NodeKind, ...]) -> None:
    small, large = kinds
    assert (small.name, small.gpus, small.card.name, small.accelerator) == ("small", 1, "a10", "A10G")
    assert (small.most_nodes, large.most_nodes) == (3, 1)  # the whole cluster may have 3 workers
    assert (large.instance, large.card.name, large.price_of(1), large.price_of(9)) == (
        "p4d.24xlarge",
        "a100-40",
        30.0,
        60.0,
    )


def test_nodes_that_are_up_are_grouped_by_what_they_have() -> None:
    gpu = {"CPU": 4.0, "GPU": 1.0, "accelerator_type:T4": 1.0, "node:10.0.0.2": 1.0}
    nodes = [{"Alive": True, "Resources": gpu}] * 2 + [
        {"Alive": False, "Resources": gpu},
        {"Alive": True, "Resources": {"CPU": 2.0, "node:__internal_head__": 1.0}},
    ]
    found = {kind.name: kind for kind in live_kinds(nodes)}
    assert set(found) == {"1 x T4", "2 cores"}
    assert (found["1 x T4"].most_nodes, found["1 x T4"].card.name, found["1 x T4"].cpus_per_gpu) == (2, "t4", 4.0)
    assert (found["2 cores"].gpus, found["2 cores"].card.name) == (0, None)


def test_the_card_that_is_asked_for_is_the_only_one_used(kinds: tuple[NodeKind, ...]) -> None:
    unnamed = NodeKind(name="?", cpus=1, gpus=1, most_nodes=1)
    assert [kind.name for kind in only_with((*kinds, unnamed), "a100-40")] == ["large", "?"]
    assert only_with((unnamed,), "t4")[0].card == find_card("t4")
    with pytest.raises(UserError, match=r"^--gpu=h100; the cluster has a10, a100-40\.$"):
        only_with(kinds, "h100")


def kind_and_fit(placement: Placement) -> tuple[str | None, bool]:
    return placement.kind and placement.kind.name, placement.prediction.fits


def test_a_size_goes_to_the_cheapest_card_that_holds_it(kinds: tuple[NodeKind, ...]) -> None:
    # 125m: 16 bytes x 0.125e9 weights = 2 GB. 1.3b: 21 GB of 24 GB is too tight, of 40 GB it is not.
    assert kind_and_fit(place(settings_of("125m"), shape_of("125m"), kinds)) == ("small", True)
    on_large = place(settings_of("1.3b"), shape_of("1.3b"), kinds)
    assert kind_and_fit(on_large) == ("large", True)
    # 6.7b: 106 GB of weights, gradients and states fit no single card; the largest is named, and that it does not fit.
    alone = place(settings_of("6.7b"), shape_of("6.7b"), kinds)
    assert kind_and_fit(alone) == ("large", False)


def test_a_size_that_no_card_holds_is_told_how_many_would_sharded(kinds: tuple[NodeKind, ...]) -> None:
    # 6.7b under autocast with checkpointing: 106.5 GB over 4 cards are 26.6 GB each; autocast's copies of all weights,
    # kept whole on each to the end of the forward pass, are 13.3 GB, and three gathered layers (2.4) and the embedding
    # (0.8) come to 43.1 GB, too much for 42.9 GB. Over 8, the next number that divides the batch, they are 29.9 GB.
    # In bf16 there are no copies: 53.2 GB over 2 cards are 26.6 GB, and 1.6 GB gathered.
    # 120b: 1.9 TB are 243 GB on each of eight.
    found = fewest_sharded(settings_of("6.7b", gradient_checkpointing=True), shape_of("6.7b"), kinds)
    assert found is not None
    kind, gpus, each_bytes = found
    assert (kind.name, gpus) == ("large", 8)
    assert 29.9e9 < each_bytes < 42.9e9
    plain = settings_of("6.7b", gradient_checkpointing=True, precision="bf16")
    in_bf16 = fewest_sharded(plain, shape_of("6.7b"), kinds)
    assert in_bf16 is not None
    assert (in_bf16[0].name, in_bf16[1]) == ("large", 2)
    assert fewest_sharded(settings_of("120b"), shape_of("120b"), kinds) is None


def test_a_sharded_trial_needs_room_for_its_shards_and_to_evaluate_for_the_whole_weights(
    kinds: tuple[NodeKind, ...],
) -> None:
    # 30b in bf16: 8 bytes x 30e9 weights over 8 cards are 30 GB each; the weights alone, gathered, are 59.9 GB.
    levers = {"precision": "bf16", "gradient_checkpointing": True, "loss": "fused", "parallel": "fsdp", "workers": 8}
    shape = shape_of("30b")
    placed = place(settings_of("30b", **levers), shape, kinds)
    assert kind_and_fit(placed) == ("large", True)
    assert 30e9 < placed.prediction.allocated_bytes < 40e9
    evaluated = place(settings_of("30b", weights="pretrained", **levers), shape, kinds).prediction
    assert (evaluated.fits, evaluated.peak_phase) == (False, "evaluation")
    assert evaluated.components == {"weights": 2 * 29_968_103_424}


def test_a_dry_run_of_the_shipped_cluster_file_tells_node_memory_and_price_of_each_size(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    sizes = ("125m", "1.3b", "6.7b", "30b", "120b")
    flags = ["--dry-run", "--weights", "random", "--cluster-file", str(ROOT / "cluster.yaml"), "--trials", "1"]
    # Under autocast each card would keep a copy of all of 30b's weights, 60 GB.
    flags += ["--gradient-checkpointing", "--precision", "bf16", "--micro-batch-sizes", "1", "--storage", str(tmp_path)]
    assert main(BATCH_MEMORY, [*flags, "--model-sizes", *sizes]) == 0
    told = capsys.readouterr().out
    assert re.search(
        r"^Source of the prices: on-demand list prices of us-west-2 .* 20\d\d-\d\d-\d\d", told, re.MULTILINE
    )
    assert re.search(r"^   0  .* on (a10g|a100-x8|h100-x8)(-x4)?: ", told, re.MULTILINE)  # not on this machine's card
    lines = {line.split()[0]: line for line in told.splitlines() if re.match(r" +\S+  micro-batch 1  ", line)}
    assert "a10g (g5.xlarge)  1 GPU" in lines["125m"]
    assert lines["125m"].endswith("1.01 an hour")
    for size in ("1.3b", "6.7b", "30b"):
        assert "GiB on each" in lines[size]
    assert "no kind of node holds it" in lines["120b"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "cannot be read"), ("- 1", "no available_node_types"), ("available_node_types: {}", "no available_node")],
)
def test_a_file_that_is_no_cluster_file_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        read_cluster_file(str(tmp_path / "broken.yaml"))
    assert "\n" not in str(caught.value)


def test_a_cluster_file_alone_starts_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "cluster.yaml").write_text(FILE)
    with pytest.raises(UserError, match=r"add --dry-run, or run it there with `ray job submit`"):
        find_device(SweepOptions(cluster_file=str(tmp_path / "cluster.yaml")))
    device = find_device(SweepOptions(cluster_file=str(tmp_path / "cluster.yaml"), dry_run=True))
    assert (device.gpus, device.on_cuda, device.gpu_bytes) == (3 * 1 + 8, True, 40_960 * 2**20)
    assert [kind.name for kind in device.kinds] == ["small", "large"]


def test_as_many_trials_run_at_once_as_the_nodes_hold(kinds: tuple[NodeKind, ...]) -> None:
    one_core = NodeKind(name="1 core", cpus=1, gpus=0, most_nodes=3)
    cluster = Device(gpus=0, gpu_bytes=None, cpus=3, kinds=(one_core,))
    assert (cluster.most_trials(1), cluster.most_trials(2), cluster.cpu_threads(1, 2)) == (3, 1, 1)
    assert Device(gpus=11, gpu_bytes=None, cpus=108, kinds=kinds).most_trials(2) == 5
