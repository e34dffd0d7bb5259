"""PyTorch's out-of-memory messages, in the words of its versions, and the request that each means."""

from __future__ import annotations

import pytest

from data.errors import UserError
from trainables.memory.explaining.oom_message import held_against, read_message
from trainables.memory.tracing.timeline import Allocation, MemoryTrace

MIB = 2**20
OLD = (
    "CUDA out of memory. Tried to allocate 786.00 MiB (GPU 0; 14.73 GiB total capacity; 13.33 GiB already allocated;"
    " 575.94 MiB free; 13.38 GiB reserved in total by PyTorch)"
)
NEW = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 40.00 MiB. GPU 0 has a total capacity of 23.65 GiB"
    " of which 30.25 MiB is free. Including non-PyTorch memory, this process has 23.61 GiB memory in use. Of the"
    " allocated memory 22.25 GiB is allocated by PyTorch, and 512.00 MiB is reserved by PyTorch but unallocated."
)


def test_message_before_torch_2_1_is_read() -> None:
    message = read_message(OLD)
    assert message.requested_bytes == 786 * MIB
    assert message.allocated_bytes == round(13.33 * 1024 * MIB)
    assert message.reserved_bytes == round(13.38 * 1024 * MIB)
    assert message.free_bytes == round(575.94 * MIB)


def test_message_since_torch_2_1_is_read() -> None:
    message = read_message(NEW)
    assert message.requested_bytes == 40 * MIB
    assert message.total_bytes == round(23.65 * 1024 * MIB)
    assert message.reserved_bytes == 22 * 1024 * MIB + 256 * MIB + 512 * MIB


def test_text_without_a_request_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="Tried to allocate"):
        read_message("Killed")


def made_trace() -> MemoryTrace:
    """20 GiB of weights, a request of 40 MiB in each phase, 2.25 GiB of activations between them."""
    sizes = [
        Allocation(20 * 1024 * MIB, "load", "to", "weights"),
        Allocation(40 * MIB, "forward", "mm", "activations"),
        Allocation(2304 * MIB, "forward", "mm", "activations"),
        Allocation(40 * MIB, "backward", "mul", "temporaries"),
    ]
    return MemoryTrace(allocations=tuple(sizes), events=(0, 1, ~1, 2, 3), block_bytes=512)


def test_request_is_the_one_made_when_so_much_was_allocated() -> None:
    request = held_against(read_message(NEW), made_trace())["request"]
    assert (request["phase"], request["operation"]) == ("backward", "mul")
    assert request["allocated_bytes"] == 22 * 1024 * MIB + 256 * MIB
    assert request["requests_of_this_size"] == 2


def test_step_without_such_a_request_says_so() -> None:
    assert held_against(read_message(OLD), made_trace())["request"] is None
