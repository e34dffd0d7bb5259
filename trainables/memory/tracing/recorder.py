"""Run any training step on fake tensors and record what it would do to memory.

Fake tensors have shapes and types but no storage, so a step of any size runs on any machine. Autograd, the optimizer
and the model are the real ones: only the kernels are absent. What a kernel allocates inside itself is not seen, save
what `kernel_temporaries` knows of.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode

from data.progress import Told, progress
from trainables.memory.tracing.cuda_rules import cuda_rules, fused_loss_on_cuda, kernel_temporaries
from trainables.memory.tracing.fake_tensors import counting_as_tensors
from trainables.memory.tracing.layers import UNKNOWN_OWNER, LayeredEvents, middle_of, repeat_layers
from trainables.memory.tracing.lone_gradient import holders, holders_of_a_lone_gradient
from trainables.memory.tracing.timeline import CHUNKED, CUDA_BLOCK_BYTES, Allocation, MemoryTrace, Shapes, component_of

Device = Literal["cpu", "cuda"]
# cuBLAS's workspace of a thread on cards before Hopper.
# Source: parseChosenWorkspaceSize, ATen/cuda/CublasHandlePool.cpp, torch 2.13.
CUBLAS_WORKSPACE_BYTES = 2 * 4096 * 1024 + 8 * 16 * 1024
TOLD_EVERY = 64  # tensors; one takes a millisecond, and much longer on a busy machine
DEVICE_OF = torch.ops.prim.device.default
MATRIX_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")


def trace(
    work: Callable[[Recorder], object],
    *,
    device: Device,
    shapes: Shapes | None = None,
    workspace_bytes: int = 0,
    layers: int | None = None,
) -> MemoryTrace:
    """The memory events of `work(recorder)`, run on fake tensors.

    `work` builds the model, marks phases with `recorder.phase(name)` and steps. All its tensors count as the device's:
    with "cuda", CPU fake tensors stand for CUDA's and operations choose what CUDA would choose. `shapes` helps to tell
    logits and attention matrices from other tensors. `workspace_bytes` is what the matrix library keeps for each thread
    that multiplies: one runs the forward pass, another the backward pass. With `layers`, the model that `work` builds
    has only a few and the trace is that of one with so many.
    Raises: LayersDifferError where a middle layer does not stand for the others.
    """
    rules = cuda_rules() if device == "cuda" else contextlib.nullcontext()
    recorder = Recorder(device, shapes or Shapes(), workspace_bytes)
    with rules, FakeTensorMode(allow_non_fake_inputs=True), counting_as_tensors(recorder.working_on):
        with progress("tracing the training step", "tensors", look_every=TOLD_EVERY) as recorder.told, recorder:
            work(recorder)
        return recorder.finish(layers)


class Recorder(TorchDispatchMode):
    """Sees every operation below autograd; a new storage is an allocation, its end is a free."""

    def __init__(self, device: Device, shapes: Shapes, workspace_bytes: int = 0) -> None:
        super().__init__()
        self.device: Device = device
        self._shapes = shapes
        self._workspace_bytes = workspace_bytes
        self._workspace_phases: set[str] = set()
        self._lone = holders_of_a_lone_gradient()
        self.told: Told | None = None  # hears how many tensors have been made
        self._phase = "load"
        self._chunk_tokens = 0  # of the fused loss, while it is at work
        self._counted_as: str | None = None  # the component of all that is made, where one is told
        self._layers: list[nn.Module] = []  # those watched
        self._layer: int | None = None  # the one at work
        self._seen = LayeredEvents()
        self._live: dict[int, tuple[int, weakref.ref[Any]]] = {}
        self._shared: dict[int, int] = {}
        self._labels: dict[int, str] = {}
        self._parameters: list[nn.Parameter] = []
        self._parameter_storages: set[int] = set()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Mark the enclosed work; what an optimizer phase leaves behind is optimizer state."""
        before, self._phase, self._layer = self._phase, name, None
        first = len(self._seen.allocations)
        try:
            yield
        finally:
            if name == "backward":
                self.label("gradients", (_held(p.grad) for p in self._parameters if p.grad is not None))
            if name == "optimizer":
                alive = (index for index, _ in self._live.values() if index >= first)
                self._labels.update((index, "optimizer_states") for index in alive if index not in self._labels)
            self._phase, self._layer = before, None

    @property
    def is_forward(self) -> bool:
        """Whether the forward phase is marked; a forward pass repeated for checkpointing is none."""
        return self._phase == "forward"

    def forget(self) -> None:
        """What was made so far was made elsewhere, as a model is on the CPU before `place` takes it to the device."""
        self._seen = LayeredEvents()
        for kept in (self._live, self._shared, self._labels):
            kept.clear()

    def watch(self, layers: Sequence[nn.Module]) -> None:
        """Note from now on which of a model's layers is at work, forwards and backwards."""
        self._layers = list(layers)
        for number, layer in enumerate(self._layers):
            begins = functools.partial(self._layer_begins, number)
            layer.register_forward_pre_hook(begins, with_kwargs=True, prepend=True)  # before FSDP's own
            layer.register_forward_hook(functools.partial(self._layer_ends, number))

    def _layer_begins(self, number: int, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._layer = number
        hidden = args[0] if args else kwargs.get("hidden_states")
        if number == 0 and isinstance(hidden, Tensor) and hidden.requires_grad and self._phase == "forward":
            hidden.register_hook(lambda _: self._at_work(None))

    def _layer_ends(self, number: int, _: nn.Module, args: Any, out: Any) -> None:
        hidden = out[0] if isinstance(out, (tuple, list)) else out
        if isinstance(hidden, Tensor) and hidden.requires_grad:
            hidden.register_hook(lambda _: self._at_work(number))
        if number == len(self._layers) - 1 and self._phase == "forward":
            self._layer = None

    @contextlib.contextmanager
    def working_on(self, part: nn.Module | int) -> Iterator[None]:
        """Count the enclosed work as that of a layer: of this number, or the one which a module is a part of.

        A negative number is no layer's.
        """
        before = self._layer
        if isinstance(part, int):
            self._layer = part if part >= 0 else None
        elif before is None:
            self._layer = next((i for i, a in enumerate(self._layers) if any(m is part for m in a.modules())), None)
        try:
            yield
        finally:
            self._layer = before

    def _at_work(self, layer: int | None) -> None:
        self._layer = layer

    def place(self, module: nn.Module) -> None:
        """Count a module's weights and buffers as moved to the device, in the order of `module.to(device)`."""
        outer = self._layer
        self._layer = next((i for i, layer in enumerate(self._layers) if layer is module), outer)
        for child in module.children():
            self.place(child)
        own = [_held(t) for t in (*module._parameters.values(), *module._buffers.values()) if t is not None]
        for tensor in own:
            self._see(tensor, "to", component="weights")
        self._parameters.extend(p for p in module._parameters.values() if p is not None)
        self._parameter_storages.update(t.untyped_storage()._cdata for t in own)
        self._layer = outer

    def label(self, component: str, tensors: Iterable[Tensor]) -> None:
        """Say what tensors are, where their making could not tell."""
        for tensor in tensors:
            entry = self._live.get(tensor.untyped_storage()._cdata)
            if entry is not None:
                self._labels[entry[0]] = component

    @contextlib.contextmanager
    def counting_as(self, component: str) -> Iterator[None]:
        """Count what the enclosed work makes as that component."""
        before, self._counted_as = self._counted_as, component
        try:
            yield
        finally:
            self._counted_as = before

    def resized(self, tensor: Tensor) -> None:
        """Count a storage that was given room, or had it taken away, without an operation."""
        storage = tensor.untyped_storage()
        entry = self._live.pop(storage._cdata, None)
        if entry is not None:
            self._note(~entry[0], self._layer)
        if storage.nbytes():
            self._watch(storage, self._allocate(storage.nbytes(), "resize", "gathered", self._layer))
            self._parameter_storages.add(storage._cdata)

    def forget_emptied(self) -> None:
        """Count storages as freed whose room was taken away by other code than calls `resized`."""
        for key, (index, reference) in list(self._live.items()):
            storage = reference()
            if storage is not None and storage.nbytes() == 0:
                del self._live[key]
                self._note(~index, self._layer)

    def finish(self, layers: int | None = None) -> MemoryTrace:
        """The trace so far. Frees with nothing between them are put in order: autocast's come by address.

        With `layers` it is the trace of a model with so many in place of those watched. Raises: LayersDifferError.
        """
        seen = self._seen
        for index, component in self._labels.items():
            seen.allocations[index] = seen.allocations[index]._replace(component=component)
        seen.name_owners()
        allocations, events = seen.allocations, seen.events
        if layers is not None:
            allocations, events = repeat_layers(seen, len(self._layers), layers)
        return MemoryTrace(
            allocations=tuple(allocations),
            events=tuple(_frees_in_order(events)),
            block_bytes=CUDA_BLOCK_BYTES if self.device == "cuda" else 1,
        )

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and the guard against it would run at each operation

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if DTensor in types:
            return NotImplemented  # it does the same to its part, which is seen then
        if func is DEVICE_OF:
            return args[0].fake_device  # most of what is dispatched asks only this
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1  # a fake tensor has no value; optimizers ask for their step number
        name = func._schema.name.removeprefix("aten::")
        if name == "torch_nn::_linear_cross_entropy_batch_chunked":
            with self, mock.patch.object(self, "_chunk_tokens", args[8] if self.device == "cuda" else 0):
                return _fused_loss(self.device, args)
        if self._workspace_bytes and name in MATRIX_PRODUCTS and self._phase not in self._workspace_phases:
            self._workspace_phases.add(self._phase)
            self._allocate(self._workspace_bytes, name, "workspaces")
        reused = self._summed_in_place(func, args)
        out = func(*args, **(kwargs or {}))
        if reused is not None:
            self._shared[reused] = self._shared.get(reused, 0) + 1
            self._watch(out.untyped_storage(), reused)
            return out
        if name == "lift_fresh" and self.device == "cuda":
            return out  # made from a Python number: such a tensor stays on the CPU
        from_weight = name == "_to_copy" and args[0].untyped_storage()._cdata in self._parameter_storages
        component = "autocast_copies" if from_weight and self._phase == "forward" else self._counted_as
        if isinstance(out, Tensor):
            self._see(out, name, component, made_of=_first_of(args))
            if self._phase == "optimizer" and self._layers:
                self._note_growth(out, name, args[0] if args else None)
        elif isinstance(out, (tuple, list)):
            # CUDA's dropout makes its mask first. Source: dropout_cuda, ATen/native/cuda/Dropout.cu.
            order = reversed(range(len(out))) if name == "native_dropout" else range(len(out))
            for position in order:
                item, source = out[position], _first_of(args, position)
                for tensor in item if isinstance(item, (tuple, list)) else (item,):
                    if isinstance(tensor, Tensor):
                        self._see(tensor, name, component, position, source)
        inside = "attention_matrices" if "softmax" in name else "temporaries"
        temporaries = [self._allocate(size, name, inside) for size in kernel_temporaries(self.device, name, args)]
        for index in temporaries:
            self._note(~index, self._layer)
        return out

    def _see(
        self,
        tensor: Tensor,
        operation: str,
        component: str | None = None,
        position: int = 0,
        made_of: Tensor | None = None,
    ) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._live or not isinstance(tensor, FakeTensor):
            return
        size_bytes = storage.nbytes()
        if size_bytes == 0:
            return
        if component is None:
            recomputed = self._phase == "backward" and torch.is_grad_enabled()
            phase = "forward" if recomputed else self._phase
            component = component_of(self._shapes, phase, operation, tensor, position)
        if self._chunk_tokens and tensor.dim() and tensor.shape[0] == self._chunk_tokens:
            operation = CHUNKED
        owner = self._layer
        if owner is None and self._phase == "optimizer":
            owner = UNKNOWN_OWNER if made_of is None else self._owner(made_of)
        index = self._allocate(size_bytes, operation, component, owner)
        self._watch(storage, index)

    def _owner(self, tensor: Tensor | None) -> int | None:
        """The layer that a tensor was made for: what an optimizer keeps of a weight belongs to the weight's."""
        entry = None if tensor is None else self._live.get(tensor.untyped_storage()._cdata)
        return None if entry is None else self._seen.owners[entry[0]]

    def _note_growth(self, out: Tensor, name: str, made_of: Any) -> None:
        """A stack of one number for each weight is longer where there are more layers, and so is what is made of it."""
        entry = self._live.get(out.untyped_storage()._cdata)
        if entry is None:
            return
        growth, size_bytes = self._seen.growth, out.untyped_storage().nbytes()
        if name in ("cat", "stack"):
            middle = middle_of(len(self._layers))
            of_a_layer = sum(self._owner(part) == middle for part in made_of)
            if of_a_layer:
                growth[entry[0]] = size_bytes // len(made_of) * of_a_layer
        elif isinstance(made_of, Tensor) and entry[0] not in growth:
            source = self._live.get(made_of.untyped_storage()._cdata)
            if source is not None and source[0] in growth and made_of.untyped_storage().nbytes() == size_bytes:
                growth[entry[0]] = growth[source[0]]

    def _watch(self, storage: torch.UntypedStorage, index: int) -> None:
        key = storage._cdata
        self._live[key] = (index, weakref.ref(storage, lambda _: self._free(key)))

    def _summed_in_place(self, func: Any, args: tuple[Any, ...]) -> int | None:
        """The allocation that autograd would add a second gradient into, where it alone holds the first.

        Under a dispatch mode autograd always makes a new tensor; without one it reuses the old one's storage when no
        other tensor has it. Source: can_accumulate_inplace, torch/csrc/autograd/input_buffer.cpp, torch 2.13; equal to
        real CPU runs, event by event.
        """
        if func is not torch.ops.aten.add.Tensor or self._phase != "backward" or torch.is_grad_enabled():
            return None
        old, new = args[0], args[1]
        if not isinstance(new, Tensor) or old.shape != new.shape or old.dtype != new.dtype:
            return None
        storage = old.untyped_storage()
        if holders(old) != self._lone or storage._cdata not in self._live:
            return None
        return self._live[storage._cdata][0]

    def _allocate(self, size_bytes: int, operation: str, component: str, owner: int | None = None) -> int:
        index = len(self._seen.allocations)
        self._seen.allocations.append(Allocation(size_bytes, self._phase, operation, component))
        self._seen.owners.append(self._layer if owner is None else owner)
        self._note(index, self._layer)
        if self.told:
            self.told(index)
        return index

    def _note(self, event: int, place: int | None) -> None:
        self._seen.events.append(event)
        self._seen.places.append(place)

    def _free(self, key: int) -> None:
        index = self._live.pop(key)[0]
        if self._shared.get(index, 0):
            self._shared[index] -= 1
        else:
            self._note(~index, self._layer)


def _frees_in_order(events: list[int]) -> Iterator[int]:
    for is_made, run in itertools.groupby(events, key=lambda event: event >= 0):
        together = list(run)
        yield from together if is_made else sorted(together, reverse=True)


def _held(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor, which of a sharded one is a part."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _first_of(args: tuple[Any, ...], position: int = 0) -> Tensor | None:
    """The tensor that output number `position` of an operation is made of: its first, or that of its first list."""
    first = args[0] if args else None
    if isinstance(first, (list, tuple)):
        first = first[position] if position < len(first) else None
    return first if isinstance(first, Tensor) else None


def _fused_loss(device: Device, args: tuple[Any, ...]) -> Any:
    """Look inside torch's fused loss, which to a tracer is one operation."""
    from torch.nn.modules import linear_cross_entropy as module

    # Argument 11 says whether the backward pass may run twice; the loop itself does not take it.
    loop_arguments = (*args[:11], *args[12:])
    if device == "cuda":
        return fused_loss_on_cuda(*loop_arguments)
    with torch.no_grad():
        return module._linear_cross_entropy_batch_chunked_accumulator(*loop_arguments)
