"""What a traced step did to memory: allocations and frees in order, each with its phase, operation and component."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

CUDA_BLOCK_BYTES = 512  # Source: kMinBlockSize, c10/cuda/CUDACachingAllocator, torch 2.13
# Every name that a component may have, in the order in which a person reads them.
COMPONENTS = (
    "weights",
    "optimizer_states",
    "gradients",
    "gathered",
    "activations",
    "attention_matrices",
    "loss",
    "autocast_copies",
    "inputs",
    "workspaces",
    "temporaries",
)


# The operation of a block that grows with the chunk of the fused loss, and with nothing else.
CHUNKED = "linear_cross_entropy (a chunk)"


class Allocation(NamedTuple):
    """One block of device memory: bytes as asked for, and who asked."""

    size_bytes: int
    phase: str
    operation: str
    component: str


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The moment of most memory. `components` sums to `allocated_bytes`; blocks alive are counted, `operation` last."""

    allocated_bytes: int
    phase: str
    operation: str
    components: dict[str, int]
    event: int


@dataclass(frozen=True, kw_only=True)
class MemoryTrace:
    """Allocations and the order in which they came and went.

    `events` holds i where allocation i was made and ~i where it was freed. A block takes its size rounded up to
    `block_bytes`: 512 on CUDA, 1 on a CPU, whose profiler counts bytes as asked for.
    """

    allocations: tuple[Allocation, ...]
    events: tuple[int, ...]
    block_bytes: int

    def block_size(self, index: int) -> int:
        """Bytes that allocation `index` takes on the device."""
        return round_up(self.allocations[index].size_bytes, self.block_bytes)

    def levels(self) -> Iterator[int]:
        """Bytes allocated after each event."""
        sizes = [round_up(a.size_bytes, self.block_bytes) for a in self.allocations]
        level = 0
        for event in self.events:
            level += sizes[event] if event >= 0 else -sizes[~event]
            yield level

    def peak(self) -> Peak:
        """The first moment at which the most memory was allocated; raises ValueError for an empty trace."""
        position, allocated_bytes = max(enumerate(self.levels()), key=lambda pair: (pair[1], -pair[0]))
        components: dict[str, int] = dict.fromkeys(COMPONENTS, 0)
        for index in self.live_at(position):
            components[self.allocations[index].component] += self.block_size(index)
        cause = self.allocations[self.events[position]]
        return Peak(
            allocated_bytes=allocated_bytes,
            phase=cause.phase,
            operation=cause.operation,
            components={name: size for name, size in components.items() if size},
            event=position,
        )

    def phase_peaks(self) -> dict[str, int]:
        """The highest level at or between the first and last allocation of each phase, by allocation events."""
        peaks: dict[str, int] = {}
        for event, level in zip(self.events, self.levels(), strict=True):
            if event >= 0:
                phase = self.allocations[event].phase
                peaks[phase] = max(level, peaks.get(phase, 0))
        return peaks

    def live_at(self, position: int) -> set[int]:
        """Allocations alive after event number `position`."""
        live: set[int] = set()
        for event in self.events[: position + 1]:
            if event >= 0:
                live.add(event)
            else:
                live.discard(~event)
        return live


def round_up(size: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that holds `size`; `multiple` itself for a size of 0."""
    return max(1, -(-size // multiple)) * multiple


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """The sizes by which tensors are recognised; 0 where there is none to look for."""

    vocabulary: int = 0
    tokens: int = 0
    sequence_length: int = 0
    width: int = 0


def component_of(shapes: Shapes, phase: str, operation: str, tensor: Tensor, position: int) -> str:
    """The component of a tensor that `operation` made as its output number `position` in `phase`.

    A forward pass repeated for checkpointing counts as forward. Gradients and optimizer states are recognised later,
    by what holds them.
    """
    if phase in ("load", "input"):
        return {"load": "weights", "input": "inputs"}[phase]
    shape = tensor.shape
    if phase in ("forward", "backward"):
        if shapes.vocabulary and len(shape) >= 2 and shape[-1] == shapes.vocabulary:
            return "loss"
        if _is_attention_matrix(shapes, shape, operation) or (
            "attention" in operation and phase == "forward" and position > 0
        ):
            return "attention_matrices"
    return "activations" if phase == "forward" else "temporaries"


def _is_attention_matrix(shapes: Shapes, shape: tuple[int, ...], operation: str) -> bool:
    length = shapes.sequence_length
    if length == 0 or len(shape) < 3 or shape[-1] != length or shape[-2] != length:
        return False
    return len(shape) > 3 or length != shapes.width or operation == "bmm"
