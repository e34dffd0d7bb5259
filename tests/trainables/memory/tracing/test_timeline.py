import pytest

from trainables.memory.tracing.timeline import Allocation, MemoryTrace, round_up


def small_trace(block_bytes: int = 1) -> MemoryTrace:
    """Weights of 100 stay; 50 come and go; 70 come with 30 and stay."""
    allocations = (
        Allocation(100, "load", "to", "weights"),
        Allocation(50, "forward", "mm", "activations"),
        Allocation(30, "forward", "add", "activations"),
        Allocation(70, "backward", "mm", "gradients"),
    )
    return MemoryTrace(allocations=allocations, events=(0, 1, ~1, 2, 3, ~2), block_bytes=block_bytes)


def test_the_peak_is_the_first_highest_moment_and_its_components_sum_to_it() -> None:
    peak = small_trace().peak()
    assert (peak.allocated_bytes, peak.phase, peak.operation, peak.event) == (200, "backward", "mm", 4)
    assert peak.components == {"weights": 100, "gradients": 70, "activations": 30}


def test_on_cuda_every_block_is_rounded_to_512_bytes() -> None:
    peak = small_trace(block_bytes=512).peak()
    assert peak.allocated_bytes == 3 * 512
    assert sum(peak.components.values()) == peak.allocated_bytes


def test_each_phase_has_its_own_peak() -> None:
    assert small_trace().phase_peaks() == {"load": 100, "forward": 150, "backward": 200}


@pytest.mark.parametrize(("size", "rounded"), [(0, 512), (1, 512), (512, 512), (513, 1024)])
def test_sizes_round_up(size: int, rounded: int) -> None:
    assert round_up(size, 512) == rounded
