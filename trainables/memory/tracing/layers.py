"""A trace of a model of many layers, from one of few: what one middle layer did is repeated for those between.

A recorder that watches a model's layers notes at each event which layer was at work, and of each block for which layer
it was made. The trace of a few layers is thus a row of stretches, each of one layer or of none; where two middle layers
did the same, a deeper model does in between what one of them did, upwards in the forward pass, downwards in the
backward one. Equal to the whole trace, event by event (tests/trainables/memory/tracing/test_layers.py).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from trainables.memory.tracing.timeline import Allocation

FEW_LAYERS = 6  # two middle ones to compare, each with a neighbour on both sides that is neither first nor last
FEW_SHARDED_LAYERS = 8  # FSDP2 gathers a layer ahead, so that those next to the first and last differ as well

UNKNOWN_OWNER = -1  # of a block made of no other: it goes with the next that has one, as a step count with its moments

Name = tuple[int | None, int]  # of a block: the layer that it was made for, and which of that layer's blocks it is


class LayersDifferError(Exception):
    """The middle layers did not do the same, so that no layer stands for the others."""


@dataclass(kw_only=True)
class LayeredEvents:
    """What a recorder saw: `events` as in a trace, the layer at work at each, the layer each allocation is for.

    `growth` gives, by allocation, the bytes by which it grows with each layer more: of a stack of one number a weight.
    """

    allocations: list[Allocation] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    places: list[int | None] = field(default_factory=list)
    owners: list[int | None] = field(default_factory=list)
    growth: dict[int, int] = field(default_factory=dict)

    def name_owners(self) -> None:
        """Give each block without a known owner that of the next which has one."""
        following: int | None = None
        for index in range(len(self.owners) - 1, -1, -1):
            if self.owners[index] == UNKNOWN_OWNER:
                self.owners[index] = following
            following = self.owners[index]


@dataclass(kw_only=True)
class _Stretch:
    """Consecutive events of one place, as (is made, name)."""

    place: int | None
    events: list[tuple[bool, Name]]


def middle_of(layers: int) -> int:
    """The layer of so many that is repeated; the next must have done the same."""
    return layers // 2 - 1


def repeat_layers(few: LayeredEvents, traced: int, layers: int) -> tuple[list[Allocation], list[int]]:
    """Allocations and events of the same work with `layers` layers in place of `traced`.

    Raises: LayersDifferError where a middle layer does not stand for the others.
    """
    names = list(_names(few.owners))
    stretches = list(_stretches(few, names))
    by_name = dict(zip(names, few.allocations, strict=True))
    middle = middle_of(traced)
    _check_alike(stretches, by_name, middle)
    more = layers - traced
    grown = {names[index]: size * more for index, size in few.growth.items()}
    allocations: list[Allocation] = []
    events: list[int] = []
    made: dict[Name, int] = {}
    for position, stretch in enumerate(stretches):
        for shift in _shifts(stretches, position, middle, more):
            for is_made, (owner, number) in stretch.events:
                name = (_shifted(owner, stretch.place, shift), number)
                if is_made:
                    made[name] = len(allocations)
                    events.append(len(allocations))
                    one = by_name[owner, number]
                    allocations.append(one._replace(size_bytes=one.size_bytes + grown.get((owner, number), 0)))
                elif name in made:
                    events.append(~made.pop(name))
                else:
                    raise LayersDifferError("a block of the middle layers is freed more than once.")
    kept: dict[int | None, set[int]] = defaultdict(set)
    for owner, number in made:
        kept[owner].add(number)
    if any(kept[middle] != kept[layer] for layer in range(middle, middle + more + 2)):
        raise LayersDifferError("what a middle layer makes is kept in one layer and freed in another.")
    return allocations, events


def _names(owners: Sequence[int | None]) -> Iterator[Name]:
    counts: dict[int | None, int] = defaultdict(int)
    for owner in owners:
        yield owner, counts[owner]
        counts[owner] += 1


def _stretches(few: LayeredEvents, names: list[Name]) -> Iterator[_Stretch]:
    pairs = zip(_places_in_order(few), strict=True)
    for place, run in itertools.groupby((pair[0] for pair in pairs), key=lambda entry: entry[0]):
        yield _Stretch(place=place, events=[(e >= 0, names[e if e >= 0 else ~e]) for _, e in run])


def _places_in_order(few: LayeredEvents) -> Iterator[tuple[int | None, int]]:
    """(place, event); frees with nothing between them come by age, those in no layer as of the block's own."""
    kinds = zip(few.events, few.places, strict=True)
    for (is_free, place), run in itertools.groupby(kinds, key=lambda pair: (pair[0] < 0, pair[1])):
        events = [event for event, _ in run]
        for event in sorted(events, reverse=True) if is_free else events:
            yield (few.owners[event if event >= 0 else ~event] if place is None else place), event


def _check_alike(stretches: Iterable[_Stretch], by_name: dict[Name, Allocation], middle: int) -> None:
    def relative(layer: int) -> list[list[tuple[bool, int | None, int, Allocation]]]:
        return [
            [
                (is_made, None if owner is None else owner - layer, number, by_name[owner, number])
                for is_made, (owner, number) in stretch.events
            ]
            for stretch in stretches
            if stretch.place == layer
        ]

    stretches = list(stretches)
    first, second = relative(middle), relative(middle + 1)
    if not first or first != second:
        raise LayersDifferError("two middle layers of the model differ in what they do to memory.")
    if any(owner is None and is_made for stretch in first for is_made, owner, *_ in stretch):
        raise LayersDifferError("a middle layer makes blocks that are no layer's.")


def _shifts(stretches: list[_Stretch], position: int, middle: int, more: int) -> Iterable[int]:
    """By how many layers each copy of a stretch lies above the traced one, in the order in which they come."""
    place = stretches[position].place
    if place is None or place < middle:
        return (0,)
    if place > middle:
        return (more,)
    before = stretches[position - 1].place if position else None
    after = stretches[position + 1].place if position + 1 < len(stretches) else None
    if before == middle - 1 or after == middle + 1:
        return range(more + 1)
    if before == middle + 1 or after == middle - 1:
        return range(more, -1, -1)
    raise LayersDifferError("the middle layer was at work with no neighbour before or after it.")


def _shifted(owner: int | None, place: int | None, shift: int) -> int | None:
    """The layer that an owner becomes: as far from the layer at work as in the traced model."""
    if owner is None:
        return None
    if place is None:
        raise LayersDifferError("a layer's block came or went where no layer was at work.")
    return owner + shift
