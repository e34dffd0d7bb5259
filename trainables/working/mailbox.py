"""How a trial's driver hands trial after trial to worker processes that stay up: one small Ray actor between them."""

from __future__ import annotations

import asyncio
from typing import Any


class Mailbox:
    """Holds one job at a time for `workers` workers; a Ray actor beside the driver, gone when the driver is."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._changed = asyncio.Condition()
        self._number = -1
        self._job: dict[str, Any] | None = None
        self._returned: list[tuple[bool, int]] = []
        self._is_closed = False

    async def put(self, job: dict[str, Any]) -> tuple[bool, int]:
        """Give `job` to every worker and wait until all are done.

        Returns: whether all are fit for another, and the most bytes that one of them has left on its device.
        """
        async with self._changed:
            self._number, self._job, self._returned = self._number + 1, job, []
            self._changed.notify_all()
            await self._changed.wait_for(lambda: len(self._returned) == self._workers)
        return all(is_fit for is_fit, _ in self._returned), max(left for _, left in self._returned)

    async def take(self, after: int) -> tuple[int, dict[str, Any]] | None:
        """The first job whose number is above `after`, as soon as there is one; None when there will be no more."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_closed or self._number > after)
        return None if self._is_closed or self._job is None else (self._number, self._job)

    async def give_back(self, is_fit: bool, left_over_bytes: int) -> None:
        """A worker is done with the job: whether its process may take another, and what is left on its device."""
        async with self._changed:
            self._returned.append((is_fit, left_over_bytes))
            self._changed.notify_all()

    async def close(self) -> None:
        """Let the workers exit."""
        async with self._changed:
            self._is_closed = True
            self._changed.notify_all()
