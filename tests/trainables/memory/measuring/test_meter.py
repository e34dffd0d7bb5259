from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from trainables.memory.measuring.meter import MemoryCapExceededError, MemoryMeter
from trainables.records.record import MemoryReport, PhaseMemory

CPU = torch.device("cpu")
NO_GPU = "torch sees no CUDA device on this machine: the allocator's counters cannot be read"


def taking(size_bytes: int, device: torch.device = CPU) -> Tensor:
    return torch.empty(size_bytes, dtype=torch.uint8, device=device)


def peaks(report: MemoryReport) -> dict[str, int | None]:
    return {phase.phase: phase.peak_allocated_bytes for phase in report.phases}


def run_known_step(meter: MemoryMeter) -> None:
    """A step whose every allocation is known. Live bytes stand at the right; 4,000 live when it begins."""
    weights = torch.zeros(1000)
    with meter.probe([weights, weights.view(10, 100), weights[500:], weights.t()]):
        with meter.phase("forward"):
            a = taking(256)  # 4,256
            b = taking(5_000)  # 9,256: the peak of forward
            del b  # 4,256
            c = taking(512)  # 4,768
        between = taking(1_000)  # 5,768, in no phase, but alive in the next
        with meter.phase("backward"):
            d = taking(3_000)  # 8,768: the peak of backward
            del a, c  # 8,000
        del between  # 7,000
        with meter.phase("optimizer"):  # begins with 7,000, which is its peak
            del d  # 4,000
            e = taking(2_999)  # 6,999
        del e


def test_peaks_of_each_phase_are_those_worked_out_by_hand() -> None:
    meter = MemoryMeter(CPU)
    run_known_step(meter)
    report = meter.report()
    assert peaks(report) == {"load": 4_000, "forward": 9_256, "backward": 8_768, "optimizer": 7_000}
    assert report.peak_bytes == 9_256
    assert report.counter == "cpu_probe_tensor_bytes"


def test_a_phase_that_comes_twice_has_the_larger_peak() -> None:
    meter = MemoryMeter(CPU)
    with meter.probe([]):
        for size_bytes in (300, 700, 500):  # nothing lives between them
            with meter.phase("forward"):
                kept = taking(size_bytes)
                del kept
    assert peaks(meter.report()) == {"load": 0, "forward": 700}


def test_what_an_earlier_micro_batch_left_alive_counts_in_the_next() -> None:
    meter = MemoryMeter(CPU)
    kept = []
    with meter.probe([]):
        for _ in range(3):
            with meter.phase("backward"):
                kept.append(taking(1_000))
    assert peaks(meter.report()) == {"load": 0, "backward": 3_000}


def test_tied_and_viewed_weights_count_once() -> None:
    embedding = torch.nn.Embedding(10, 8)
    head = torch.nn.Linear(8, 10, bias=False)
    head.weight = embedding.weight
    meter = MemoryMeter(CPU)
    with meter.probe([*embedding.parameters(), *head.parameters(), head.weight[3:], torch.zeros(2)]):
        pass
    assert peaks(meter.report()) == {"load": 10 * 8 * 4 + 2 * 4}


def test_a_linear_layers_forward_keeps_what_arithmetic_says() -> None:
    layer, inputs = torch.nn.Linear(64, 32, bias=False), torch.zeros(16, 64)
    meter = MemoryMeter(CPU)
    with meter.probe([*layer.parameters(), inputs]):
        with meter.phase("forward"):
            outputs = layer(inputs)
        with meter.phase("backward"):
            outputs.backward(torch.zeros_like(outputs))
    live = 4 * (64 * 32 + 16 * 64)
    outputs_bytes, gradient_bytes = 4 * 16 * 32, 4 * 64 * 32
    found = peaks(meter.report())
    assert found["forward"] == live + outputs_bytes
    # The gradient of the outputs is as large as they are; then the weight's own gradient.
    assert found["backward"] == live + 2 * outputs_bytes + gradient_bytes


def test_evaluation_and_sampling_stand_beside_the_main_figure() -> None:
    meter = MemoryMeter(CPU)
    with meter.probe([]):
        with meter.phase("optimizer"):
            kept = taking(1_000)
            del kept
        for name, size_bytes in (("evaluation", 50_000), ("sampling", 90_000)):
            with meter.phase(name):
                kept = taking(size_bytes)
                del kept
    report = meter.report()
    assert peaks(report) == {"load": 0, "optimizer": 1_000, "evaluation": 50_000, "sampling": 90_000}
    assert report.peak_bytes == 1_000


def test_a_step_above_the_cap_is_refused_and_still_measured() -> None:
    meter = MemoryMeter(CPU, cap_bytes=9_255)
    with pytest.raises(
        MemoryCapExceededError, match=r"^the step's live tensors need 9256 bytes; the memory cap is 9255 bytes\.$"
    ):
        run_known_step(meter)
    assert meter.report().peak_bytes == 9_256
    assert meter.report().capacity_bytes == 9_255


def test_a_step_that_just_fits_the_cap_passes() -> None:
    meter = MemoryMeter(CPU, cap_bytes=9_256)
    run_known_step(meter)
    assert meter.report().peak_bytes == 9_256


def test_cuda_figures_are_null_with_a_reason_where_there_is_no_cuda_device() -> None:
    meter = MemoryMeter(CPU)
    run_known_step(meter)
    report = meter.report()
    assert report.peak_cuda_allocated_bytes is None
    assert report.peak_cuda_reserved_bytes is None
    assert report.free_at_start_bytes is None
    assert report.capacity_bytes is None
    assert report.cuda_absent_reason
    assert "no CUDA device" in report.cuda_absent_reason
    for phase in report.phases:
        assert phase == PhaseMemory(phase=phase.phase, peak_allocated_bytes=phase.peak_allocated_bytes)


def test_nothing_is_measured_on_a_cpu_outside_a_probe() -> None:
    meter = MemoryMeter(CPU)
    with meter.phase("forward"):
        taking(1_000)
    assert meter.report().phases == ()
    assert meter.report().peak_bytes == 0
    assert not meter.has_measured("forward")


def test_peaks_from_before_an_interruption_are_joined_by_their_maximum() -> None:
    meter = MemoryMeter(CPU)
    meter.restore([PhaseMemory(phase="forward", peak_allocated_bytes=20_000, allocation_retries=2)])
    run_known_step(meter)
    meter.restore([PhaseMemory(phase="backward", peak_allocated_bytes=1)])
    assert peaks(meter.report()) == {"load": 4_000, "forward": 20_000, "backward": 8_768, "optimizer": 7_000}


def test_an_error_within_the_probe_comes_through_as_it_is() -> None:
    meter = MemoryMeter(CPU, cap_bytes=1)
    with pytest.raises(ZeroDivisionError), meter.probe([taking(10)]), meter.phase("forward"):
        _ = 1 / 0
    run_known_step(MemoryMeter(CPU))  # the profiler is free again


@pytest.fixture
def cuda() -> Iterator[torch.device]:
    if not torch.cuda.is_available():
        pytest.skip(NO_GPU)
    torch.cuda.empty_cache()
    yield torch.device("cuda", torch.cuda.current_device())
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_known_cuda_allocation_is_counted_in_blocks_of_512_bytes(cuda: torch.device) -> None:
    meter = MemoryMeter(cuda)
    with meter.phase("load"):
        before_bytes = torch.cuda.memory_allocated(cuda)
        kept = taking(1_000, cuda)
        del kept
    with meter.phase("sampling"):
        kept = taking(10_000, cuda)
        del kept
    report = meter.report()
    assert peaks(report) == {"load": before_bytes + 1_024, "sampling": before_bytes + 10_240}
    assert report.counter == "cuda_reserved"
    assert report.peak_cuda_allocated_bytes == before_bytes + 1_024
    assert report.peak_bytes == report.peak_cuda_reserved_bytes
    assert report.peak_bytes >= 2 * 2**20  # the smallest segment that the caching allocator takes
    assert report.cuda_absent_reason is None
    assert report.free_at_start_bytes


def test_a_capped_cuda_device_runs_out_at_its_cap(cuda: torch.device) -> None:
    meter = MemoryMeter(cuda, cap_bytes=2**30)
    assert meter.report().capacity_bytes == 2**30
    with pytest.raises(torch.OutOfMemoryError), meter.phase("forward"):
        taking(2**30 + 1, cuda)
