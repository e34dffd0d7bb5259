"""Which kinds of nodes a Ray cluster has or can bring up, the card in each, and what an hour of one costs."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from sweeps.planning.options import OptionsError
from trainables.memory.cards import UNNAMED_GPU, Card, find_card

# Where Ray's name of a card leaves its size open, the smaller is assumed. Source: ray 2.60, ray.util.accelerators.
SMALLEST = {"A100": "a100-40", "V100": "v100-16"}
ACCELERATOR = "accelerator_type:"
ON_HEAD = "~/ray_bootstrap_config.yaml"  # where `ray up` leaves the cluster file on the head


@dataclass(frozen=True, kw_only=True)
class NodeKind:
    """A kind of node: what one has, and how many there are or may be at most.

    `accelerator` is Ray's name of its card, by which a trial asks for it; `card` has no name and no bound where nobody
    said which it is.
    `price_per_hour` is what the cluster file assumes for a whole node, `price_source` where it has that from.
    """

    name: str
    cpus: int
    gpus: int
    most_nodes: int
    accelerator: str | None = None
    card: Card = UNNAMED_GPU
    instance: str | None = None
    price_per_hour: float | None = None
    price_source: str | None = None

    @property
    def cpus_per_gpu(self) -> float:
        """Its cores, shared out evenly over its GPUs."""
        return self.cpus / max(1, self.gpus)

    def price_of(self, gpus: int) -> float | None:
        """What an hour of as many nodes as hold `gpus` costs."""
        nodes = math.ceil(gpus / max(1, self.gpus))
        return None if self.price_per_hour is None else nodes * self.price_per_hour


def read_cluster_file(path: str) -> tuple[NodeKind, ...]:
    """The kinds of nodes that a file for `ray up` lists under `available_node_types`.

    Prices come from its `metadata.price_per_hour`, their source from `metadata.price_source`.
    Raises: OptionsError for a file that cannot be read as one.
    """
    import yaml

    try:
        document = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(getattr(error, "problem", None) or getattr(error, "strerror", None) or error)
        raise OptionsError(f"cluster file {path} cannot be read: {reason}.") from None
    found = document.get("available_node_types") if isinstance(document, dict) else None
    if not isinstance(found, dict) or not found:
        raise OptionsError(f"cluster file {path} has no available_node_types; give a file for `ray up`.")
    metadata = document.get("metadata") or {}
    prices = metadata.get("price_per_hour") or {}
    most_workers = int(document.get("max_workers", 0))
    head = document.get("head_node_type")
    kinds = []
    for name, entry in found.items():
        most = 1 if name == head else min(int(entry.get("max_workers", most_workers)), most_workers)
        instance = (entry.get("node_config") or {}).get("InstanceType")
        kind = _kind(name, entry.get("resources") or {}, most)
        priced = {"price_per_hour": prices.get(name), "price_source": metadata.get("price_source")}
        kinds.append(dataclasses.replace(kind, instance=instance, **priced))
    return tuple(kind for kind in kinds if kind.most_nodes)


def live_kinds(nodes: Iterable[Mapping[str, Any]]) -> tuple[NodeKind, ...]:
    """The kinds of the nodes that are up, as `ray.nodes()` tells them."""
    shapes = Counter(
        (
            int(node["Resources"].get("CPU", 0)),
            int(node["Resources"].get("GPU", 0)),
            min((name for name in node["Resources"] if name.startswith(ACCELERATOR)), default=None),
        )
        for node in nodes
        if node["Alive"]
    )
    kinds = []
    for (cpus, gpus, accelerator), count in sorted(shapes.items(), key=str):
        resources = {"CPU": cpus, "GPU": gpus} | ({accelerator: 1} if accelerator else {})
        name = f"{gpus} x {(accelerator or 'GPU').removeprefix(ACCELERATOR)}" if gpus else f"{cpus} cores"
        kinds.append(_kind(name, resources, count))
    return tuple(kinds)


def kinds_of_cluster(
    nodes: Iterable[Mapping[str, Any]], cluster_file: str | None, gpu: str | None
) -> tuple[NodeKind, ...]:
    """What a joined cluster has, and what `cluster_file`, or the one on its head, says that it can bring up.

    `gpu` is the card that is asked for: only nodes with it are left, and those whose card nobody told are taken at
    that word. Raises: OptionsError where no node has it; for a file that cannot be read.
    """
    is_on_head = Path(ON_HEAD).expanduser().is_file()
    path = cluster_file or (ON_HEAD if is_on_head else None)
    declared = read_cluster_file(path) if path else ()
    known = {(kind.gpus, kind.accelerator) for kind in declared}
    kinds = declared + tuple(kind for kind in live_kinds(nodes) if (kind.gpus, kind.accelerator) not in known)
    return only_with(kinds, gpu)


def only_with(kinds: tuple[NodeKind, ...], gpu: str | None) -> tuple[NodeKind, ...]:
    """The kinds whose card is `gpu` or not known, and is then taken to be it; all kinds without one."""
    with_gpus = [kind for kind in kinds if kind.gpus]
    card = asked_card(gpu)
    if card is None or not with_gpus:
        return kinds
    fitting = tuple(dataclasses.replace(kind, card=card) for kind in with_gpus if kind.card in (UNNAMED_GPU, card))
    if not fitting:
        raise OptionsError(f"--gpu={gpu}; the cluster has {', '.join(sorted({str(k.card.name) for k in with_gpus}))}.")
    return fitting


def asked_card(gpu: str | None) -> Card | None:
    """The card that --gpu asks for; None where it asks for none. Raises: OptionsError for one that is not known."""
    try:
        return None if gpu is None else find_card(gpu)
    except UserError as error:
        raise OptionsError(f"--gpu: {error}") from None


def _kind(name: str, resources: Mapping[str, float], most_nodes: int) -> NodeKind:
    accelerator = next((key.removeprefix(ACCELERATOR) for key in resources if key.startswith(ACCELERATOR)), None)
    gpus = int(resources.get("GPU", 0))
    return NodeKind(
        name=name,
        cpus=int(resources.get("CPU", 0)),
        gpus=gpus,
        most_nodes=most_nodes,
        accelerator=accelerator,
        card=_card_of(accelerator) if gpus and accelerator else UNNAMED_GPU,
    )


def _card_of(accelerator: str) -> Card:
    try:
        return find_card(SMALLEST.get(accelerator, accelerator))
    except UserError:  # one that Ray knows and we do not
        return UNNAMED_GPU
