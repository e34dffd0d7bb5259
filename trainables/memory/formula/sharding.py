"""Memory of each GPU when weights, gradients and optimizer states are sharded over N of them (FSDP, full shard).

By the closed form: what belongs to a micro-batch stays whole, what belongs to a weight is divided. Whole besides are
the weights of the layer at work and of the next, gathered ahead; all that is in no layer; the gradients of both; and,
until the next layer's are ready, the copy of a layer's gradients from which they are scattered. Within 3% of what
torch's own FSDP allocates on a CPU (tests/trainables/memory/formula/test_sharding.py); not measured on GPUs.
Source: torch.distributed.fsdp.fully_shard, one unit a layer and one for the rest, resharding after forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trainables.memory.cards import Card
from trainables.memory.formula.full_training import step_moments
from trainables.memory.formula.sizes import SLACK_FRACTION, Moment
from trainables.model.models import ModelShape
from trainables.records.settings import TrialSettings

MOST_CARDS = 4096
DIVIDED = ("weights", "optimizer_states")


@dataclass(frozen=True, kw_only=True)
class ShardedMemory:
    """Bytes on each of `gpus` cards at the peak, in `phase`; `components` sums to `allocated_bytes`."""

    gpus: int
    phase: str
    allocated_bytes: int
    reserved_bytes: int
    device_bytes: int
    components: dict[str, int]


class ShardedStep:
    """A step that any number of cards share, each with a micro-batch of its own; its moments are counted once."""

    def __init__(self, settings: TrialSettings, shape: ModelShape) -> None:
        self.settings, self.shape = settings, shape
        self._moments = step_moments(settings, shape)
        self._peaks: dict[int, Moment] = {}

    def peak(self, gpus: int) -> Moment:
        """The highest moment on each of `gpus` cards; one card holds the step whole."""
        if gpus not in self._peaks:
            moments = self._moments
            candidates = moments if gpus == 1 else _sharded_moments(self.settings, self.shape, gpus, moments)
            self._peaks[gpus] = max(candidates, key=lambda moment: moment.allocated_bytes)
        return self._peaks[gpus]

    def on(self, card: Card, gpus: int) -> ShardedMemory:
        """Peak memory of each of `gpus` such cards."""
        highest = self.peak(gpus)
        reserved_bytes = round(highest.allocated_bytes * (1 + SLACK_FRACTION))
        return ShardedMemory(
            gpus=gpus,
            phase=highest.phase,
            allocated_bytes=highest.allocated_bytes,
            reserved_bytes=reserved_bytes,
            device_bytes=reserved_bytes + card.constants.context_bytes,
            components={name: size for name, size in highest.components.items() if size},
        )

    def fewest(self, card: Card) -> int | None:
        """The fewest such cards that hold the step; None where no number does."""
        if not card.holds(self.on(card, MOST_CARDS).device_bytes):
            return None
        low, high = 0, MOST_CARDS
        while high - low > 1:
            middle = (low + high) // 2
            fits = card.holds(self.on(card, middle).device_bytes)
            low, high = (low, middle) if fits else (middle, high)
        return high


def _sharded_moments(settings: TrialSettings, shape: ModelShape, gpus: int, moments: list[Moment]) -> Iterator[Moment]:
    """Each GPU's every moment that may be the highest."""
    weight = 2 if settings.precision == "bf16" else 4
    layer = (4 * shape.width**2 + 2 * shape.width * shape.ffn_width) * weight
    rest = shape.parameters * weight - shape.layers * layer
    scattered = 0 if settings.lora_rank else layer  # adapters' gradients are tiny
    accumulates = settings.accumulation_steps > 1

    def sharded(moment: Moment, gathered: int) -> Moment:
        divided = {name: -(-moment.components[name] // gpus) for name in DIVIDED}
        whole, gradients = moment.whole_gradients, moment.components["gradients"]
        divided["gradients"] = whole + -(-(gradients if accumulates else gradients - whole) // gpus)
        return Moment(phase=moment.phase, components=moment.components | divided | {"gathered": rest + gathered})

    gathered = {"loss": layer, "last_layer": 2 * layer, "first_layer": layer + scattered, "embedding": scattered}
    for moment in moments:
        yield sharded(moment, gathered.get(moment.place, 0))
    if shape.layers < 3:
        return
    yield sharded(_forward(moments, settings, shape), 3 * layer)
    lasts, firsts = ([m for m in moments if m.place == place] for place in ("last_layer", "first_layer"))
    for last, first in zip(lasts, firsts, strict=False):  # adapters have no first layer's moments
        for done in (1, shape.layers - 2):  # layers between, of which the outermost are the highest
            yield sharded(_between(last, first, done, shape.layers - 1), 2 * layer + scattered)


def _forward(moments: list[Moment], settings: TrialSettings, shape: ModelShape) -> Moment:
    """The last layers' forward pass: one is whole twice, as it came and as its weights, and the next is gathered."""
    last = next(moment for moment in moments if moment.place == "last_layer")
    copies = last.components["autocast_copies"]
    if settings.precision.endswith("-amp") and settings.gradient_checkpointing and not settings.lora_rank:
        copies += 2 * shape.layers * (4 * shape.width**2 + 2 * shape.width * shape.ffn_width)
    there = {"temporaries": 0, "autocast_copies": copies}
    if settings.accumulation_steps == 1:
        there["gradients"] = 0
    return Moment(phase="forward", components=last.components | there)


def _between(last: Moment, first: Moment, done: int, layers: int) -> Moment:
    """The moment after `done` of the layers behind the last one."""
    names = dict.fromkeys([*last.components, *first.components])  # a set would order them anew in each process
    parts = {name: (last.components.get(name, 0), first.components.get(name, 0)) for name in names}
    components = {name: high + (low - high) * done // layers for name, (high, low) in parts.items()}
    return Moment(phase="backward", components=components, whole_gradients=last.whole_gradients)
