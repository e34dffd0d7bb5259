"""The project's own training step under the tracer: the very functions that train, on a model without storage."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch

from data.batches import Batch
from trainables.memory.tracing.fake_world import fake_world
from trainables.memory.tracing.layers import FEW_LAYERS, FEW_SHARDED_LAYERS, LayersDifferError
from trainables.memory.tracing.recorder import CUBLAS_WORKSPACE_BYTES, Device, Recorder, trace
from trainables.memory.tracing.timeline import MemoryTrace, Shapes
from trainables.model.models import ModelError, apply_levers
from trainables.model.parallel import spread
from trainables.model.step import CausalLoss, make_optimizer, make_scaler, make_schedule, training_step
from trainables.records.settings import TrialSettings

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

STEPS = 2  # the first makes the optimizer's states, the second is like all that follow
MICRO_BATCHES = 2  # from the second on, gradients of the first are there: more add nothing
# Source: bitsandbytes, optimizer.py: blocks of 256 values share a scale; smaller tensors stay in fp32.
EIGHT_BIT_BLOCK = 256
EIGHT_BIT_MINIMUM = 4096


def trace_trial(settings: TrialSettings, config: PretrainedConfig, *, device: Device = "cuda") -> MemoryTrace:
    """The memory events of one worker's first two optimizer steps, model loading included.

    With `parallel` "fsdp" it is the first of `workers` that share the model, by torch's own FSDP2.
    Of many layers a few are traced and repeated, which gives the same events; where they differ, all are traced.
    Raises: trainables.model.models.ModelError for a LoRA rank above the width.
    """
    layers = config.num_hidden_layers
    few = FEW_SHARDED_LAYERS if settings.parallel == "fsdp" else FEW_LAYERS
    if layers > few:
        with contextlib.suppress(LayersDifferError):
            return trace_layers(settings, with_layers(config, few), device=device, layers=layers)
    return trace_layers(settings, config, device=device)


def trace_layers(
    settings: TrialSettings, config: PretrainedConfig, *, device: Device, layers: int | None = None
) -> MemoryTrace:
    """The same with every layer of `config` traced; with `layers`, for a model of so many in place of `config`'s.

    Raises: LayersDifferError where a middle layer does not stand for the others; ModelError as `trace_trial`.
    """
    shapes = Shapes(
        vocabulary=config.vocab_size,
        tokens=settings.micro_batch_size * settings.sequence_length,
        sequence_length=settings.sequence_length,
        width=config.hidden_size,
    )
    return trace(
        lambda recorder: _train(recorder, settings, config),
        device=device,
        shapes=shapes,
        workspace_bytes=CUBLAS_WORKSPACE_BYTES if device == "cuda" else 0,
        layers=layers,
    )


def with_layers(config: PretrainedConfig, layers: int) -> PretrainedConfig:
    """A config of the same model with so many layers; lists of one entry a layer are cut."""
    deep = config.num_hidden_layers
    shallow = copy.deepcopy(config)
    shallow.num_hidden_layers = layers
    for name in ("layer_types", "attention_layers", "mlp_layer_types"):
        kinds = getattr(config, name, None)
        if isinstance(kinds, list) and len(kinds) == deep:
            setattr(shallow, name, kinds[:layers])
    return shallow


def _train(recorder: Recorder, settings: TrialSettings, config: PretrainedConfig) -> None:
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    model = fake_model(config, dtype=dtype, attention=settings.attention)
    model.config.use_cache = False
    recorder.forget()  # the head's own weights among it, which tying dropped
    loss_module = CausalLoss(model, settings.loss)
    if settings.parallel == "fsdp":
        with fake_world(recorder, settings.workers):
            _place_shards(recorder, settings, loss_module, model)
            _train_steps(recorder, settings, loss_module, model)
        return
    recorder.watch(decoder_layers(model))
    with recorder.phase("load"), adapters_by_layer(recorder) if settings.lora_rank else contextlib.nullcontext():
        apply_levers(model, settings)
        recorder.place(model)
    _train_steps(recorder, settings, loss_module, model)


def _place_shards(recorder: Recorder, settings: TrialSettings, loss_module: CausalLoss, model: PreTrainedModel) -> None:
    """Count a worker's parts of the weights. On their way each unit is whole for a moment, as it is in each step."""
    layers = decoder_layers(model)
    with recorder.phase("load"):
        apply_levers(model, settings)
        spread(loss_module, model, "fsdp", torch.device("cpu"))
        recorder.forget()
        recorder.watch(layers)
        recorder.place(loss_module)


def _train_steps(recorder: Recorder, settings: TrialSettings, loss_module: CausalLoss, model: PreTrainedModel) -> None:
    optimizer = _make_optimizer(model, settings)
    schedule = make_schedule(optimizer, total_steps=10)
    scaler = make_scaler(settings.precision, torch.device("cpu"))
    shape_BT = (settings.micro_batch_size, settings.sequence_length)
    for _ in range(STEPS):
        with recorder.phase("input"):
            micro_batches = [_batch(shape_BT) for _ in range(min(settings.accumulation_steps, MICRO_BATCHES))]
        training_step(
            loss_module,
            micro_batches,
            optimizer,
            schedule,
            target_tokens=1.0,
            precision=settings.precision,
            phase=recorder.phase,
            scaler=scaler,
        )


def _batch(shape_BT: tuple[int, int]) -> Batch:
    return Batch(
        input_ids_BT=torch.zeros(shape_BT, dtype=torch.long), labels_BT=torch.zeros(shape_BT, dtype=torch.long)
    )


def _make_optimizer(model: torch.nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "adamw-8bit":
        return EightBitStates([p for p in model.parameters() if p.requires_grad], {"lr": settings.learning_rate})
    return make_optimizer(model.parameters(), settings.learning_rate, settings.optimizer)


class EightBitStates(torch.optim.Optimizer):
    """The states that bitsandbytes' AdamW8bit keeps, so that they can be traced where it is not installed."""

    # Without it the gradient scaler would ask a tensor that has no value whether to step, and get the answer no.
    _step_supports_amp_scaling = True

    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make the states of parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and not self.state[parameter]:
                    self.state[parameter] = _eight_bit_state(parameter)


def _eight_bit_state(parameter: torch.Tensor) -> dict[str, torch.Tensor]:
    size = parameter.numel()
    if size < EIGHT_BIT_MINIMUM:
        return {name: torch.zeros(size) for name in ("state1", "state2")}
    states = {name: torch.zeros(size, dtype=torch.uint8) for name in ("state1", "state2")}
    scales = {name: torch.zeros(-(-size // EIGHT_BIT_BLOCK)) for name in ("absmax1", "absmax2")}
    return states | scales


def fake_model(config: PretrainedConfig, *, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    """The model of a config in training mode; call under a fake tensor mode. Nothing is drawn or stored.

    Raises: ModelError when the config belongs to no causal language model, or the model has no such attention.
    """
    from transformers import AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    try:
        with no_init_weights():
            model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=dtype, attn_implementation=attention)
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"a model of type {config.model_type!r} with {attention} attention: {reason}") from None
    model.tie_weights()
    return model.train()


@contextlib.contextmanager
def adapters_by_layer(recorder: Recorder) -> Iterator[None]:
    """Let the recorder know for which layer peft makes each adapter."""
    from peft.tuners.lora import LoraModel

    make = LoraModel._create_and_replace

    def make_for_layer(
        tuner: Any, lora_config: Any, adapter_name: str, target: torch.nn.Module, *args: Any, **options: Any
    ) -> None:
        with recorder.working_on(target):
            make(tuner, lora_config, adapter_name, target, *args, **options)

    with mock.patch.object(LoraModel, "_create_and_replace", make_for_layer):
        yield


def decoder_layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    """A model's layers in order; none where it has not as many in one list as its config says."""
    config: Any = model.config
    count = config.num_hidden_layers
    lists = (m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count)
    return list(next(lists, ()))
