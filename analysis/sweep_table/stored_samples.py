"""A trial's samples where they lie, read when they are looked at: of a long sweep they are nearly all there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

from trainables.records import Sample


class StoredSamples(Sequence[Sample]):
    """`count` samples, all of which `read` reads anew each time that one of them is looked at."""

    def __init__(self, count: int, read: Callable[[], Sequence[Sample]]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._read())

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        return self._read()[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and tuple(self) == tuple(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # as of a list: equal to a tuple, whose hash it has not
