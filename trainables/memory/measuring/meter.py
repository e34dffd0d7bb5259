"""Measured memory, phase by phase: CUDA's own counters, or one probed step on a CPU.

On CUDA every phase of every step is metered. A CPU has no such counters, so one training step runs under torch's
profiler, which sees each tensor allocated and freed. What was predicted never enters here.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from trainables.memory.constants import constants_for
from trainables.memory.measuring.probe import (
    PHASE,
    ProbedStep,
    Span,
    history_changes,
    memory_history,
    probed_step,
    profiled_changes,
)
from trainables.memory.measuring.recognise import Recogniser, address
from trainables.memory.tracing.timeline import COMPONENTS
from trainables.records.record import MemoryReport, OutOfMemory, PhaseMemory

PHASES = ("load", "forward", "backward", "optimizer", "evaluation", "sampling")
TRAINING_PHASES = ("load", "forward", "backward", "optimizer")


class MemoryCapExceededError(RuntimeError):
    """A CPU step whose live tensors needed more than the memory cap: what an out-of-memory error is on CUDA."""

    def __init__(self, message: str, moment: OutOfMemory | None = None) -> None:
        super().__init__(message)
        self.moment = moment


class MemoryMeter:
    """Collects peaks by phase for one worker's device.

    `cap_bytes` makes the device behave like a smaller one: on CUDA by the allocator's own limit, on CPU by the probe.
    """

    def __init__(self, device: torch.device, cap_bytes: int | None = None) -> None:
        is_current = device.type == "cuda" and device.index is None  # some of torch's functions ask for a number
        self.device = torch.device("cuda", torch.cuda.current_device()) if is_current else device
        self.cap_bytes = cap_bytes
        self.last_phase = "load"
        self._phases: dict[str, PhaseMemory] = {}
        self._components: dict[str, int] | None = None
        self._spans: list[Span] | None = None  # kept while a step is probed, and no longer
        self._free_at_start_bytes: int | None = None
        self._capacity_bytes = cap_bytes
        if device.type == "cuda":
            free_bytes, total_bytes = torch.cuda.mem_get_info(self.device)
            self._free_at_start_bytes = free_bytes
            self._capacity_bytes = min(total_bytes, cap_bytes or total_bytes)
            if cap_bytes is not None and cap_bytes < total_bytes:
                # On a card of that size the context would take its part, which the allocator's limit does not count.
                outside_bytes = constants_for(torch.cuda.get_device_name(self.device)).context_bytes
                allowed_bytes = max(0, cap_bytes - outside_bytes)
                torch.cuda.set_per_process_memory_fraction(allowed_bytes / total_bytes, self.device)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Mark the enclosed work as a phase; peaks of repeated phases are joined by their maximum."""
        self.last_phase = name
        if self.device.type != "cuda":
            with torch.profiler.record_function(f"{PHASE}{name}"):
                yield
            return
        began_ns = time.time_ns()
        before_retries = torch.cuda.memory_stats(self.device).get("num_alloc_retries", 0)
        torch.cuda.reset_peak_memory_stats(self.device)
        try:
            yield
        finally:
            stats = torch.cuda.memory_stats(self.device)
            if self._spans is not None:
                self._spans.append(Span(began_ns, time.time_ns(), name))
            self._join(
                PhaseMemory(
                    phase=name,
                    peak_allocated_bytes=stats["allocated_bytes.all.peak"],
                    peak_reserved_bytes=stats["reserved_bytes.all.peak"],
                    device_used_bytes=_device_used_bytes(self.device),
                    allocation_retries=stats["num_alloc_retries"] - before_retries,
                    inactive_split_bytes=stats["inactive_split_bytes.all.current"],
                )
            )

    @contextlib.contextmanager
    def probe(self, live_tensors: Iterable[Tensor], seen: Recogniser | None = None) -> Iterator[None]:
        """Watch one training step closely: under the profiler on a CPU, by the allocator's history on CUDA.

        `live_tensors` are those that live when the step begins (weights, optimizer states, the batch); `seen` tells
        what the blocks of the peak are.
        Raises: MemoryCapExceededError after a CPU's step when its peak is above the cap.
        """
        there = [tensor for tensor in live_tensors if tensor.device.type == self.device.type]
        live = {address(tensor): tensor.untyped_storage().nbytes() for tensor in there}
        if self.device.type == "cuda":
            segments: list[dict[str, Any]] = torch.cuda.memory_snapshot()
            sizes = {block["address"]: block["size"] for segment in segments for block in segment["blocks"]}
            live = {place: sizes[place] for place in live}
            # What nobody named is the matrix library's, and scales of a few bytes.
            others = {"workspaces": max(0, torch.cuda.memory_allocated(self.device) - sum(live.values()))}
            spans = self._spans = []
            try:
                with memory_history(self.device) as trace:
                    yield
            finally:
                self._spans = None
            self._keep_components(probed_step(history_changes(trace), spans, live), seen, others)
            return
        self._join(PhaseMemory(phase="load", peak_allocated_bytes=sum(live.values())))
        # Without `acc_events` torch 2.11 warns that a second cycle, of which there is none, would begin anew.
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, record_shapes=True, acc_events=True
        ) as profile:
            yield
        step = probed_step(*profiled_changes(profile), live, self.cap_bytes)
        for name, peak_bytes in step.phase_peaks.items():
            self._join(PhaseMemory(phase=name, peak_allocated_bytes=peak_bytes))
        self._keep_components(step, seen)
        peak_bytes = self.report().peak_bytes
        if self.cap_bytes is not None and peak_bytes > self.cap_bytes:
            raise MemoryCapExceededError(
                f"the step's live tensors need {peak_bytes} bytes; the memory cap is {self.cap_bytes} bytes.",
                step.exceeded or OutOfMemory(phase="load", allocated_bytes=sum(live.values())),
            )

    def restore(self, phases: Iterable[PhaseMemory], components: dict[str, int] | None = None) -> None:
        """Take over what a run measured before it was interrupted."""
        for phase in phases:
            self._join(phase)
        self._components = components

    def has_measured(self, name: str) -> bool:
        """Whether a peak of this phase is known."""
        return name in self._phases

    def report(self) -> MemoryReport:
        """Peaks so far. The main figure covers the training phases only: evaluation and sampling stand beside it."""
        phases = tuple(self._phases[name] for name in PHASES if name in self._phases)
        training = [p for p in phases if p.phase in TRAINING_PHASES]
        allocated_bytes = max((p.peak_allocated_bytes or 0 for p in training), default=0)
        if self.device.type != "cuda":
            return MemoryReport(
                counter="cpu_probe_tensor_bytes",
                peak_bytes=allocated_bytes,
                peak_cuda_allocated_bytes=None,
                peak_cuda_reserved_bytes=None,
                cuda_absent_reason="this worker has no CUDA device; the CPU's live tensor bytes were measured instead",
                free_at_start_bytes=None,
                capacity_bytes=self._capacity_bytes,
                phases=phases,
                components=self._components,
            )
        reserved_bytes = max((p.peak_reserved_bytes or 0 for p in training), default=0)
        return MemoryReport(
            counter="cuda_reserved",
            peak_bytes=reserved_bytes,
            peak_cuda_allocated_bytes=allocated_bytes,
            peak_cuda_reserved_bytes=reserved_bytes,
            cuda_absent_reason=None,
            free_at_start_bytes=self._free_at_start_bytes,
            capacity_bytes=self._capacity_bytes,
            phases=phases,
            components=self._components,
        )

    def _keep_components(self, step: ProbedStep, seen: Recogniser | None, others: dict[str, int] | None = None) -> None:
        if seen is not None:
            sizes = Counter(step.components(seen.naming())) + Counter(others or {})
            self._components = {name: sizes[name] for name in COMPONENTS if name in sizes}

    def _join(self, new: PhaseMemory) -> None:
        old = self._phases.get(new.phase, new)
        fields = ("peak_allocated_bytes", "peak_reserved_bytes", "device_used_bytes", "inactive_split_bytes")
        joined = {name: _larger(getattr(old, name), getattr(new, name)) for name in fields}
        retries = new.allocation_retries
        if old is not new and retries is not None:
            retries += old.allocation_retries or 0
        self._phases[new.phase] = PhaseMemory(phase=new.phase, allocation_retries=retries, **joined)


def _larger(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)


def _device_used_bytes(device: torch.device) -> int:
    """Bytes in use on the whole device as the driver counts them."""
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    return total_bytes - free_bytes


ALLOWED_BYTES = 2**20  # assumed: counters and caches of libraries, far below what any model would leave


def left_over_bytes(device: torch.device) -> int:
    """Bytes of tensors that live on `device` after all garbage and caches are gone; 0 in a process that is clean.

    On CUDA by the allocator's counter, cuBLAS workspaces freed first. On a CPU, which has no counter, by the tensors
    that Python can reach.
    """
    gc.collect()
    if device.type == "cuda":
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
        return torch.cuda.memory_allocated(device)
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in gc.get_objects()
        if type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.device == device
    }
    return sum(storages.values())
