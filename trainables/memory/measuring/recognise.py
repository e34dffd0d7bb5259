"""Which component each block of a real step is, told by address, size and who made it; the names are the prediction's.

A CPU's profile tells the operation and the shapes that it read. CUDA's history tells the Python function that asked,
and nothing of a backward pass: there the size alone decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from data.batches import Batch
from trainables.memory.measuring.probe import Block
from trainables.memory.tracing.timeline import CUDA_BLOCK_BYTES, round_up
from trainables.model.parallel import held
from trainables.records.settings import TrialSettings

MASK_BYTES = 1
PRODUCTS = ("mm", "bmm", "matmul")


@dataclass(kw_only=True)
class Recogniser:
    """What a step's blocks are recognised by. Sizes are in elements, of `element_sizes` bytes.

    `cast_weights` holds how many weights of a size autocast copies. A block is a multiple of `block_bytes`.
    `gradients` is filled while the step runs.
    """

    live: dict[str, list[Tensor]]
    logits: int
    vocabulary: int
    scores: int
    rows: int
    length: int
    width: int
    is_eager: bool
    element_sizes: tuple[int, ...]
    cast_weights: Counter[int]
    block_bytes: int = 1
    gradients: set[int] = field(default_factory=set)

    @property
    def live_tensors(self) -> list[Tensor]:
        """Everything that lives when the step begins."""
        return [tensor for tensors in self.live.values() for tensor in tensors]

    def naming(self) -> Callable[[int, Block, bool], str]:
        """The component of a block, by its address, what is known of it, and whether the optimizer still found it."""
        known = {address(t): name for name, tensors in self.live.items() for t in tensors}
        weights = {address(t) for t in self.live["weights"]}
        casts = Counter({self._sizes(elements, (2,)).pop(): n for elements, n in self.cast_weights.items()})

        def name_of(place: int, block: Block, lives_until_the_optimizer: bool) -> str:
            if not block.phase:
                return known[place]
            if lives_until_the_optimizer and place in self.gradients:
                return "gradients"
            if block.phase == "optimizer":
                return "temporaries"
            if self._is_loss(block):
                return "loss"
            if self._is_attention(block):
                return "attention_matrices"
            if block.phase == "forward" and self._is_cast(block, weights, casts):
                return "autocast_copies"
            return "activations" if block.phase == "forward" or block.is_forward else "temporaries"

        return name_of

    def watch(self, optimizer: Optimizer) -> Callable[[], None]:
        """Note where gradients lie when the optimizer steps. Returns: what ends the watch."""

        def note(*_: object) -> None:
            parameters = (p for group in optimizer.param_groups for p in group["params"])
            self.gradients.update(address(held(p.grad)) for p in parameters if p.grad is not None)

        return optimizer.register_step_pre_hook(note).remove

    def _is_loss(self, block: Block) -> bool:
        """By size, and where it is known by what was read: rows of the vocabulary, or a product that makes some."""
        if block.size_bytes not in self._sizes(self.logits, self.element_sizes) or "attention" in (
            block.operation or ""
        ):
            return False
        if self.block_bytes > 1:
            return True
        if block.operation in PRODUCTS:
            return block.shapes[1][-1] == self.vocabulary
        return any(shape and shape[-1] == self.vocabulary for shape in block.shapes)

    def _is_attention(self, block: Block) -> bool:
        """By size, and where the operation is known by what it read: a matrix [length, length] or the sides of one."""
        operation, length = block.operation or "", self.length
        if "attention" in operation and block.size_bytes in self._sizes(self.rows, (4,)):
            return True
        if block.size_bytes not in self._sizes(self.scores, (MASK_BYTES, *self.element_sizes)):
            return False
        if self.block_bytes > 1:
            return self.is_eager and (not operation or "attention" in operation)
        if operation in PRODUCTS:
            return len(block.shapes[0]) > 2 and (block.shapes[0][-2], block.shapes[1][-1]) == (length, length)
        sides = 3 if length == self.width else 2
        return any(len(shape) > sides and shape[-2:] == (length, length) for shape in block.shapes)

    def _is_cast(self, block: Block, weights: set[int], left: Counter[int]) -> bool:
        """By what was copied; CUDA's history does not say, and there it is the size, as often as there are weights."""
        if self.block_bytes == 1:
            return block.operation == "_to_copy" and block.source in weights
        left[block.size_bytes] -= 1
        return left[block.size_bytes] >= 0

    def _sizes(self, elements: int, element_sizes: Sequence[int]) -> set[int]:
        return {round_up(elements * size, self.block_bytes) for size in element_sizes} if elements else set()


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
        vocabulary=model.config.vocab_size,
        scores=sequences * heads * length**2,
        rows=sequences * heads * length,
        length=length,
        width=model.config.hidden_size,
        is_eager=settings.attention == "eager",
        element_sizes=(4,) if settings.precision == "fp32" else (2, 4),
        cast_weights=Counter(p.numel() for p in model.parameters() if p.dim() == 2)
        if settings.precision.endswith("-amp")
        else Counter(),
        block_bytes=CUDA_BLOCK_BYTES if batches[0].input_ids_BT.is_cuda else 1,
    )


def address(tensor: Tensor) -> int:
    """Where a tensor's storage begins: views and tied weights share it."""
    return tensor.untyped_storage().data_ptr()


def _states(optimizer: Optimizer) -> Iterable[Tensor]:
    states = (value for state in optimizer.state.values() for value in state.values())
    return (held(value) for value in states if isinstance(value, Tensor))
