"""What lets one worker process run trial after trial: the mailbox, and the check that nothing was left behind."""

from __future__ import annotations

import asyncio

import torch

from trainables.memory.measuring.meter import left_over_bytes
from trainables.working.mailbox import Mailbox


def test_a_job_reaches_every_worker_once_and_is_over_when_all_gave_it_back() -> None:
    async def scene() -> None:
        mailbox = Mailbox(workers=2)
        ended = asyncio.create_task(mailbox.put({"trial": "a"}))
        assert await mailbox.take(-1) == await mailbox.take(-1) == (0, {"trial": "a"})
        waiting = asyncio.create_task(mailbox.take(0))
        await mailbox.give_back(True, 512)
        await asyncio.sleep(0)
        assert not ended.done()
        await mailbox.give_back(False, 4096)
        assert await ended == (False, 4096)  # one process is spoilt, so the group is
        assert not waiting.done()
        await mailbox.close()
        assert await waiting is None

    asyncio.run(scene())


def test_a_tensor_that_stays_is_seen_and_one_that_went_is_not() -> None:
    device = torch.device("cpu")
    before = left_over_bytes(device)
    kept = torch.zeros(3 * 2**20, dtype=torch.uint8)
    view = kept[: 2**20]
    assert left_over_bytes(device) - before == 3 * 2**20
    del kept
    assert left_over_bytes(device) - before == 3 * 2**20  # a view keeps all of what it looks at
    del view
    assert left_over_bytes(device) == before
