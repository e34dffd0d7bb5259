"""What a probed step is read to have done, on steps worked out by hand. No GPU was there: CUDA's texts are quoted."""

from __future__ import annotations

import pytest

from trainables.memory.measuring.out_of_memory import cuda_moment, is_out_of_memory
from trainables.memory.measuring.probe import Change, Span, history_changes, probed_step
from trainables.memory.tracing.timeline import Allocation, MemoryTrace
from trainables.records.record import OutOfMemory

MIB, GIB = 2**20, 2**30
SPANS = [Span(10, 29, "forward"), Span(30, 49, "backward"), Span(50, 69, "optimizer")]
CHANGES = [
    Change(11, 0xA, 300, "mm"),  # 400
    Change(12, 0xB, 50, "add"),  # 450
    Change(20, 0xB, -50),  # 400
    Change(31, 0xC, 200, "mm"),  # 600: the peak
    Change(32, 0xA, -300),  # 300
    Change(33, 0xF, -999),  # made before the step and not told of: nobody's
    Change(51, 0xB, 10, "sqrt"),  # 310; an address comes back as another block
]


def test_the_peak_its_blocks_and_phases_are_those_worked_out_by_hand() -> None:
    step = probed_step(CHANGES, SPANS, {0x1: 100})
    assert step.phase_peaks == {"forward": 450, "backward": 600, "optimizer": 310}
    assert (step.peak_bytes, step.peak_phase, step.peak_operation) == (600, "backward", "mm")
    assert {place: block.size_bytes for place, block in step.peak_blocks.items()} == {0x1: 100, 0xA: 300, 0xC: 200}
    assert set(step.optimizer_blocks) == {0x1, 0xC}
    assert step.exceeded is None


def test_components_sum_to_the_peak_and_a_gradient_is_what_the_optimizer_still_finds() -> None:
    step = probed_step(CHANGES, SPANS, {0x1: 100})
    named = step.components(lambda place, block, is_kept: f"{block.phase or 'before'}{' kept' if is_kept else ''}")
    assert named == {"before kept": 100, "forward": 300, "backward kept": 200}
    assert sum(named.values()) == step.peak_bytes


def test_the_first_block_above_the_cap_is_the_moment_of_running_out() -> None:
    step = probed_step(CHANGES, SPANS, {0x1: 100}, cap_bytes=420)
    assert step.exceeded == OutOfMemory(phase="forward", operation="add", requested_bytes=50, allocated_bytes=400)
    assert probed_step(CHANGES, SPANS, {0x1: 100}, cap_bytes=600).exceeded is None


def test_cuda_history_counts_whole_blocks_and_frees_when_they_are_done() -> None:
    history = [
        {"action": "segment_alloc", "addr": 1, "size": 2 * MIB, "time_us": 1},
        {"action": "alloc", "addr": 1, "size": 700, "time_us": 2, "frames": [{"name": "linear"}, {"name": "forward"}]},
        {"action": "free_requested", "addr": 1, "size": 700, "time_us": 3},
        {"action": "free_completed", "addr": 1, "size": 700, "time_us": 4},
        {"action": "alloc", "addr": 1, "size": 512, "time_us": 5, "frames": []},  # autograd's own thread
    ]
    assert history_changes(history) == [
        Change(2000, 1, 1024, "linear", True),
        Change(4000, 1, -1024),
        Change(5000, 1, 512),
    ]


def test_of_two_moments_as_high_the_first_is_the_peak_measured_and_predicted() -> None:
    changes = [Change(11, 0xA, 300, "mm"), Change(12, 0xA, -300), Change(31, 0xB, 300, "sqrt")]
    step = probed_step(changes, SPANS, {0x1: 100})
    allocations = (
        Allocation(100, "load", "to", "weights"),
        Allocation(300, "forward", "mm", "activations"),
        Allocation(300, "backward", "sqrt", "temporaries"),
    )
    traced = MemoryTrace(allocations=allocations, events=(0, 1, ~1, 2), block_bytes=1).peak()
    assert (step.peak_bytes, step.peak_phase, step.peak_operation) == (400, "forward", "mm")
    assert (traced.allocated_bytes, traced.phase, traced.operation) == (400, "forward", "mm")


# As torch 2.13 words it, from people's reports; the second with a fraction set, the third with private pools.
CUDA_TEXTS = {
    "plain": (
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 11.91 GiB of which 406.38 MiB is"
        " free. Including non-PyTorch memory, this process has 11.51 GiB memory in use. Of the allocated memory 11.18"
        " GiB is allocated by PyTorch, and 219.44 MiB is reserved by PyTorch but unallocated. If reserved but"
        " unallocated memory is large try setting PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.",
        (2 * GIB, round(11.18 * GIB), round(11.18 * GIB) + round(219.44 * MIB)),
    ),
    "fraction": (
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.25 GiB of which 76.01 GiB is"
        " free. Including non-PyTorch memory, this process has 3.23 GiB memory in use. 2.50 GiB allowed; Of the"
        " allocated memory 2.44 GiB is allocated by PyTorch, and 512 bytes is reserved by PyTorch but unallocated.",
        (20 * MIB, round(2.44 * GIB), round(2.44 * GIB) + 512),
    ),
    "pools": (
        "CUDA out of memory. Tried to allocate 1.50 KiB. GPU 1 has a total capacity of 7.79 GiB of which 0 bytes is"
        " free. Of the allocated memory 7.45 GiB is allocated by PyTorch, with 12.00 MiB allocated in private pools"
        " (e.g., CUDA Graphs), and 8.61 MiB is reserved by PyTorch but unallocated.",
        (1536, round(7.45 * GIB), round(7.45 * GIB) + round(8.61 * MIB)),
    ),
    "short": ("CUDA error: out of memory", (None, None, None)),
}


@pytest.mark.parametrize(("text", "sizes"), CUDA_TEXTS.values(), ids=CUDA_TEXTS.keys())
def test_a_cuda_error_tells_what_was_asked_for_allocated_and_reserved(text: str, sizes: tuple[int | None, ...]) -> None:
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        moment = cuda_moment(error, "backward")
    assert (moment.requested_bytes, moment.allocated_bytes, moment.reserved_bytes) == sizes
    assert (moment.phase, moment.operation) == ("backward", "raise RuntimeError(text)")


@pytest.mark.parametrize(
    ("text", "is_full"),
    [
        (CUDA_TEXTS["plain"][0], True),
        ("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("CUDA error: an illegal memory access was encountered", False),
        ("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`", False),
    ],
)
def test_a_full_device_is_known_by_whoever_reports_it(text: str, is_full: bool) -> None:
    assert is_out_of_memory(RuntimeError(text)) is is_full
