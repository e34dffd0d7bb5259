"""The tracer against real CPU steps, the formula and what is known of CUDA's kernels."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from transformers import AutoModelForCausalLM, OPTConfig, PretrainedConfig

from data.batches import Batch
from trainables.memory.measuring.meter import MemoryMeter
from trainables.memory.tracing.own_step import fake_model, trace_trial
from trainables.memory.tracing.recorder import Recorder, trace
from trainables.memory.tracing.timeline import MemoryTrace
from trainables.model.models import apply_levers, weight_type
from trainables.model.step import CausalLoss, make_optimizer, make_schedule, training_step
from trainables.records.settings import TrialSettings

RANDOM_STATE_BYTES = 5056  # torch.get_rng_state(): what checkpointing keeps of each layer, and no tracer sees
TINY = OPTConfig(
    vocab_size=1000,
    hidden_size=96,
    num_hidden_layers=2,
    ffn_dim=384,
    num_attention_heads=4,
    max_position_embeddings=512,
    activation_function="gelu",
    enable_bias=False,
    layer_norm_elementwise_affine=False,
)


def make_settings(**fields: object) -> TrialSettings:
    defaults = {"model": "tiny", "batch_size": 2, "micro_batch_size": 2, "sequence_length": 128, "weights": "random"}
    return TrialSettings(**(defaults | {"learning_rate": 1e-3, "token_budget": 1} | fields))  # pyright: ignore[reportArgumentType]


def measured_peak(settings: TrialSettings, config: PretrainedConfig) -> int:
    """Live tensor bytes at the peak of a real step, by torch's profiler."""
    model = AutoModelForCausalLM.from_config(
        config, dtype=weight_type(settings), attn_implementation=settings.attention
    )
    model.train()
    model.config.use_cache = False
    apply_levers(model, settings)
    loss_module = CausalLoss(model, settings.loss)
    optimizer = make_optimizer(model.parameters(), settings.learning_rate, settings.optimizer)
    schedule = make_schedule(optimizer, 10)
    meter = MemoryMeter(torch.device("cpu"))
    shape_BT = (settings.micro_batch_size, settings.sequence_length)
    batches = [
        Batch(input_ids_BT=torch.zeros(shape_BT, dtype=torch.long), labels_BT=torch.zeros(shape_BT, dtype=torch.long))
        for _ in range(settings.accumulation_steps)
    ]

    def step() -> None:
        training_step(
            loss_module,
            batches,
            optimizer,
            schedule,
            target_tokens=100,
            precision=settings.precision,
            phase=meter.phase,
        )

    step()
    states = [value for state in optimizer.state.values() for value in state.values()]
    inputs = [tensor for batch in batches for tensor in (batch.input_ids_BT, batch.labels_BT)]
    with meter.probe([*model.parameters(), *model.buffers(), *states, *inputs]):
        step()
    return meter.report().peak_bytes


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"attention": "eager"},
        {"loss": "fused"},
        {"gradient_checkpointing": True},
        {"attention": "eager", "loss": "fused", "gradient_checkpointing": True},
        {"batch_size": 4},
        {"optimizer": "sgd"},
        {"lora_rank": 4},
        {"lora_rank": 4, "lora_targets": "attention"},
        {"lora_rank": 4, "lora_targets": "all-linear", "loss": "fused"},
        {"micro_batch_size": 1, "batch_size": 1, "sequence_length": 512},
        {"loss": "fused", "precision": "bf16"},  # a CPU copies what it subtracts, and from what, to fp32
        {"loss": "fused", "precision": "bf16-amp"},
    ],
)
def test_on_a_cpu_the_trace_equals_the_profiler_to_a_thousandth(fields: dict[str, object]) -> None:
    settings = make_settings(**fields)
    traced = trace_trial(settings, TINY, device="cpu").peak().allocated_bytes
    assert traced == pytest.approx(measured_peak(settings, TINY), rel=1e-3, abs=3 * RANDOM_STATE_BYTES)


def test_weights_that_tying_drops_never_come_to_the_device() -> None:
    # The head's own 1,000 x 96 weights are made with the model, on the CPU, and dropped for the embedding's.
    traced = cuda_trace()
    loaded = [a.size_bytes for a in traced.allocations if a.phase == "load"]
    assert loaded.count(4 * 1000 * 96) == 1
    assert traced.events[: len(loaded)] == tuple(range(len(loaded)))


def cuda_trace(**fields: object) -> MemoryTrace:
    return trace_trial(make_settings(**fields), TINY)


def test_components_sum_to_what_is_allocated_and_the_weights_are_counted_once() -> None:
    peak = cuda_trace().peak()
    assert sum(peak.components.values()) == peak.allocated_bytes
    parameters = 1000 * 96 + (512 + 2) * 96 + 2 * (4 * 96 * 96 + 2 * 96 * 384)  # the head is the embedding
    assert peak.components["weights"] == pytest.approx(4 * parameters, abs=512 * 20)
    assert peak.components["optimizer_states"] == pytest.approx(8 * parameters, abs=512 * 60)


def test_transformers_loss_holds_three_fp32_copies_of_the_logits() -> None:
    peak = cuda_trace().peak()
    assert (peak.phase, peak.operation) == ("backward", "_log_softmax_backward_data")
    assert peak.components["loss"] == 12 * 2 * 128 * 1000


def test_cuda_dropout_keeps_one_byte_for_each_element() -> None:
    masks = [a.size_bytes for a in cuda_trace().allocations if a.operation == "native_dropout"]
    assert 2 * 128 * 96 in masks  # a byte each
    assert not [
        a for a in trace_trial(make_settings(), TINY, device="cpu").allocations if a.operation == "native_dropout"
    ]


def test_cuda_dropout_makes_its_mask_before_its_result() -> None:
    made = [a.size_bytes for a in cuda_trace().allocations if a.operation == "native_dropout"]
    assert made[:2] == [2 * 128 * 96, 4 * 2 * 128 * 96]


def test_memory_efficient_backward_in_fp32_multiplies_output_and_gradient_outside_the_kernel() -> None:
    name = "_scaled_dot_product_efficient_attention_backward"
    made = [a.size_bytes for a in cuda_trace().allocations if a.operation == name]
    queries, rows = 4 * 2 * 128 * 96, 4 * 2 * 4 * 128
    assert made[:6] == [queries] * 4 + [rows] * 2  # three gradients, then the product, its sums, and these in order


@pytest.mark.parametrize(
    ("precision", "operation"),
    [
        ("fp32", "_scaled_dot_product_efficient_attention"),
        ("bf16-amp", "_scaled_dot_product_flash_attention"),
        ("fp16-amp", "_scaled_dot_product_flash_attention"),
        ("bf16", "_scaled_dot_product_flash_attention"),
    ],
)
def test_cuda_takes_flash_attention_in_half_precision(precision: str, operation: str) -> None:
    assert operation in {a.operation for a in cuda_trace(precision=precision).allocations}


def test_cuda_autocast_runs_layer_norms_in_fp32_and_keeps_its_weight_copies() -> None:
    trace = cuda_trace(precision="bf16-amp")
    norms = {a.size_bytes for a in trace.allocations if a.operation == "native_layer_norm"}
    assert 4 * 2 * 128 * 96 in norms
    matrices = 2 * (4 * 96 * 96 + 2 * 96 * 384) + 1000 * 96
    assert trace.peak().components["autocast_copies"] == 2 * matrices


def test_eight_bit_states_take_two_bytes_and_two_scales_for_256_weights() -> None:
    trace = cuda_trace(optimizer="adamw-8bit")
    states = sum(a.size_bytes for a in trace.allocations if a.component == "optimizer_states")
    parameters = 1000 * 96 + 514 * 96 + 2 * (4 * 96 * 96 + 2 * 96 * 384)
    assert states == pytest.approx(parameters * (2 + 8 / 256), rel=1e-3)


def test_adapters_leave_no_gradient_of_the_frozen_weights() -> None:
    trace = cuda_trace(lora_rank=4)
    gradients = [a.size_bytes for a in trace.allocations if a.component == "gradients"]
    assert gradients
    assert max(gradients) == 4 * 4 * 96


def test_any_step_of_any_model_can_be_traced() -> None:
    def two_layers(recorder: Recorder) -> None:
        model = fake_model(llama_config(), dtype=torch.float32, attention="eager")
        with recorder.phase("load"):
            recorder.place(model)
        with recorder.phase("forward"):
            outputs = model(input_ids=torch.zeros(1, 8, dtype=torch.long), labels=torch.zeros(1, 8, dtype=torch.long))
        with recorder.phase("backward"):
            outputs.loss.backward()

    peak = trace(two_layers, device="cuda").peak()
    assert peak.components["weights"] > 0
    assert peak.components["gradients"] > 0


def llama_config() -> PretrainedConfig:
    from transformers import LlamaConfig

    return LlamaConfig(vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)


def test_settings_that_do_not_touch_memory_leave_the_trace_alone() -> None:
    settings = make_settings()
    other = dataclasses.replace(settings, learning_rate=0.5, seed=3, token_budget=77)
    assert trace_trial(settings, TINY) == trace_trial(other, TINY)
