"""Which component each block of a real step is, told by address, size and phase; the names are the prediction's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from data.batches import Batch
from trainables.memory.probe import Block
from trainables.parallel import held
from trainables.settings import TrialSettings

ELEMENT_SIZES = (2, 4)  # bytes
MASK_BYTES = 1
PRODUCTS = ("bmm", "matmul")


@dataclass(kw_only=True)
class Recogniser:
    """What a step's blocks are recognised by. Sizes are in elements; `gradients` is filled while the step runs."""

    live: dict[str, list[Tensor]]
    logits: int
    scores: int
    rows: int
    length: int
    cast_weights: frozenset[int]
    gradients: set[int] = field(default_factory=set)

    @property
    def live_tensors(self) -> list[Tensor]:
        """Everything that lives when the step begins."""
        return [tensor for tensors in self.live.values() for tensor in tensors]

    def naming(self) -> Callable[[int, Block, bool], str]:
        """The component of a block, by its address, what is known of it, and whether the optimizer still found it."""
        known = {address(t): name for name, tensors in self.live.items() for t in tensors}
        weights = {address(t) for t in self.live["weights"]}

        def name_of(place: int, block: Block, lives_until_the_optimizer: bool) -> str:
            if not block.phase:
                return known[place]
            if lives_until_the_optimizer and place in self.gradients:
                return "gradients"
            if block.phase == "optimizer":
                return "temporaries"
            if block.size_bytes in _sizes(self.logits, ELEMENT_SIZES):
                return "loss"
            if self._is_attention(block):
                return "attention_matrices"
            if block.phase == "forward" and self._is_cast(block, weights):
                return "autocast_copies"
            return "activations" if block.phase == "forward" or block.is_forward else "temporaries"

        return name_of

    def watch(self, optimizer: Optimizer) -> Callable[[], None]:
        """Note where gradients lie when the optimizer steps. Returns: what ends the watch."""

        def note(*_: object) -> None:
            parameters = (p for group in optimizer.param_groups for p in group["params"])
            self.gradients.update(address(held(p.grad)) for p in parameters if p.grad is not None)

        return optimizer.register_step_pre_hook(note).remove

    def _is_attention(self, block: Block) -> bool:
        """By size, and where the operation is known by what it read: a matrix [length, length] or the sides of one."""
        operation, length = block.operation or "", self.length
        if "attention" in operation and block.size_bytes == 4 * self.rows:
            return True
        if block.size_bytes not in _sizes(self.scores, (MASK_BYTES, *ELEMENT_SIZES)):
            return False
        if not block.shapes:
            return True
        if operation in PRODUCTS:
            return (block.shapes[0][-2], block.shapes[1][-1]) == (length, length)
        return any(len(shape) > 2 and shape[-2:] == (length, length) for shape in block.shapes)

    def _is_cast(self, block: Block, weights: set[int]) -> bool:
        """By what was copied; CUDA's history does not tell, and there it is the size."""
        if block.source is not None:
            return block.operation == "_to_copy" and block.source in weights
        return block.operation is None and block.size_bytes in {2 * elements for elements in self.cast_weights}


def recogniser(
    model: PreTrainedModel, settings: TrialSettings, optimizer: Optimizer, batches: Sequence[Batch]
) -> Recogniser:
    """The recogniser for a step of `model` on `batches`, micro-batches of one shape."""
    sequences, length = batches[0].input_ids_BT.shape
    heads = model.config.num_attention_heads
    return Recogniser(
        live={
            "weights": [held(tensor) for tensor in (*model.parameters(), *model.buffers())],
            "optimizer_states": list(_states(optimizer)),
            "inputs": [tensor for batch in batches for tensor in (batch.input_ids_BT, batch.labels_BT)],
        },
        logits=sequences * length * model.config.vocab_size,
        scores=sequences * heads * length**2,
        rows=sequences * heads * length,
        length=length,
        cast_weights=frozenset(p.numel() for p in model.parameters() if p.dim() == 2)
        if settings.precision.endswith("-amp")
        else frozenset(),
    )


def address(tensor: Tensor) -> int:
    """Where a tensor's storage begins: views and tied weights share it."""
    return tensor.untyped_storage().data_ptr()


def _states(optimizer: Optimizer) -> Iterable[Tensor]:
    states = (value for state in optimizer.state.values() for value in state.values())
    return (held(value) for value in states if isinstance(value, Tensor))


def _sizes(elements: int, element_sizes: Sequence[int]) -> set[int]:
    return {elements * size for size in element_sizes} if elements else set()
