"""A finite space of points: which there are, which stand beside one another, and how a sampler counts them."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Point = Mapping[str, Any]
Key = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ScoredPoint:
    """A point and what is known of it: a value for each objective, constraints by name (above 0: violated)."""

    point: Point
    values: tuple[float, ...]
    constraints: Mapping[str, float]


def anything(point: Point) -> bool:
    """Every combination is a point."""
    return True


class FiniteSpace:
    """Every combination of `values` that `is_valid` allows.

    A point's key holds the place of each of its values, numbers in order of size: near keys are near points.
    """

    def __init__(self, values: Mapping[str, Sequence[Any]], is_valid: Callable[[Point], bool] = anything) -> None:
        self.values = {name: tuple(allowed) for name, allowed in values.items()}
        self.is_valid = is_valid
        self._ordered = {name: sorted(v) if self.is_ordered(name) else list(v) for name, v in self.values.items()}
        self._places = {name: {value: i for i, value in enumerate(v)} for name, v in self._ordered.items()}

    def is_ordered(self, name: str) -> bool:
        """Whether the values of a parameter are numbers, of which some are nearer than others."""
        return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in self.values[name])

    @property
    def combinations(self) -> int:
        """How many combinations there are, valid or not."""
        return math.prod(len(allowed) for allowed in self.values.values())

    def key(self, point: Point) -> Key | None:
        """The places of a point's values; None for what is no point of this space."""
        if set(point) != set(self.values) or not self.is_valid(point):
            return None
        places = [self._places[name].get(point[name]) for name in self.values]
        return None if None in places else tuple(place for place in places if place is not None)

    def point(self, key: Key) -> dict[str, Any]:
        """The combination of these places, valid or not."""
        return {name: self._ordered[name][place] for name, place in zip(self.values, key, strict=True)}

    def neighbours(self, key: Key, draw: random.Random) -> Iterator[Key]:
        """All other combinations, roughly from near to far: one value changed, then two, then any.

        Of a number the next smaller and larger come before those further away; what is equally near comes by chance.
        """
        steps = [self._steps(name, place, draw) for name, place in zip(self.values, key, strict=True)]
        singles = [(i, other) for i, others in enumerate(steps) for other in others]
        singles.sort(key=lambda change: abs(change[1] - key[change[0]]) if self._is_ordered_at(change[0]) else 1)
        for i, other in singles:
            yield (*key[:i], other, *key[i + 1 :])
        pairs = [(a, b) for a, b in itertools.combinations(singles, 2) if a[0] != b[0]]
        draw.shuffle(pairs)
        for (i, first), (j, second) in pairs:
            changed = list(key)
            changed[i], changed[j] = first, second
            yield tuple(changed)
        yield from self.walk(draw)

    def walk(self, draw: random.Random) -> Iterator[Key]:
        """Every combination once, from a random one on, with a stride that keeps neighbours apart."""
        count = self.combinations
        at, stride = draw.randrange(count), draw.randrange(1, count + 1)
        while math.gcd(stride, count) != 1:
            stride += 1
        for _ in range(count):
            yield self._key_at(at)
            at = (at + stride) % count

    def _key_at(self, number: int) -> Key:
        places: list[int] = []
        for allowed in self.values.values():
            number, place = divmod(number, len(allowed))
            places.append(place)
        return tuple(places)

    def _steps(self, name: str, place: int, draw: random.Random) -> list[int]:
        others = [other for other in range(len(self.values[name])) if other != place]
        draw.shuffle(others)
        return others

    def _is_ordered_at(self, index: int) -> bool:
        return self.is_ordered(list(self.values)[index])
