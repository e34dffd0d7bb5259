import contextlib
import copy
import math
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from transformers import OPTForCausalLM

from data.batches import Batch, Rows, collate, make_rows
from trainables.memory.measuring.meter import MemoryMeter
from trainables.model.models import galactica_config
from trainables.model.step import CausalLoss, make_optimizer, make_schedule, training_step
from trainables.records.settings import TrialSettings
from trainables.training.loop import DivergedError, TrainingLoop

Loss = Literal["hf", "fused"]
SEPARATOR, PAD, VOCABULARY = 2, 1, 52
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 32}
SMALL |= {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}


def tiny_galactica(init_std: float = 0.02) -> OPTForCausalLM:
    """Galactica's architecture, small, without dropout, its weights drawn from a fixed seed."""
    config = galactica_config("125m")
    config.update(SMALL | NO_DROPOUT | {"init_std": init_std})
    torch.manual_seed(0)
    return OPTForCausalLM(config).train()


def padded_rows(inner_lengths: list[int], seed: int = 0) -> Rows:
    """One document a row: the separator, as many random tokens as told, the separator."""
    generator = torch.Generator().manual_seed(seed)
    documents = [
        [SEPARATOR, *torch.randint(4, VOCABULARY, (length,), generator=generator).tolist(), SEPARATOR]
        for length in inner_lengths
    ]
    return make_rows(documents, layout="padded", sequence_length=64, pad_id=PAD, seed=0)


def whole(rows: Rows) -> Batch:
    return collate(rows, torch.arange(len(rows.lengths)))


def no_phase(_: str) -> contextlib.AbstractContextManager[object]:
    return contextlib.nullcontext()


class Trainer:
    """A model with all that its steps need; `gradients` are those that the last optimizer step was made with."""

    def __init__(self, model: OPTForCausalLM, loss: Loss, rate: float = 1e-3, precision: str = "fp32") -> None:
        self.model, self.precision = model, precision
        self.loss_module = CausalLoss(model, loss)
        self.optimizer = make_optimizer(model.parameters(), rate)
        self.schedule = make_schedule(self.optimizer, total_steps=10)  # one step of warm-up: the first has the peak
        self.gradients: list[Tensor] = []
        self.optimizer.register_step_pre_hook(self._keep_gradients)

    def step(self, rows: Rows, micro_batch_size: int) -> float:
        order = torch.arange(len(rows.lengths))
        loss = training_step(
            self.loss_module,
            [collate(rows, chosen) for chosen in order.split(micro_batch_size)],
            self.optimizer,
            self.schedule,
            target_tokens=float((rows.lengths - 1).sum()),
            precision=self.precision,
            phase=no_phase,
        )
        return float(loss)

    def _keep_gradients(self, *_: Any) -> None:
        self.gradients = [p.grad.clone() for p in self.model.parameters() if p.grad is not None]


@pytest.mark.parametrize("loss", ["hf", "fused"])
@pytest.mark.parametrize("micro_batch_size", [4, 1])
def test_accumulation_changes_neither_gradient_nor_weights(loss: Loss, micro_batch_size: int) -> None:
    rows = padded_rows([3, 11, 5, 20, 1, 8, 13, 2])
    at_once, in_parts = Trainer(tiny_galactica(), loss), Trainer(tiny_galactica(), loss)
    assert at_once.step(rows, 8) == pytest.approx(in_parts.step(rows, micro_batch_size), rel=1e-6)
    assert len(at_once.gradients) == len(list(at_once.model.parameters()))
    for in_part, whole in zip(in_parts.gradients, at_once.gradients, strict=True):
        # An element near zero is a sum of large ones: up to eight micro-batches, each rounded when it is summed and
        # when it is added, by 2**-24 of the tensor's largest. In the embedding, 0.09 at most, that is 9e-8.
        resolution = 2 * 8 * 2**-24 * float(whole.abs().max())
        torch.testing.assert_close(in_part, whole, rtol=1e-4, atol=resolution)
    # Adam's first step turns a gradient near zero into a sign, so that rounding can show up to a part of the rate.
    torch.testing.assert_close(list(in_parts.model.parameters()), list(at_once.model.parameters()), rtol=0, atol=1e-5)


def loss_by_hand(model: OPTForCausalLM, rows: Rows) -> Tensor:
    """Mean of -log p(token | tokens before it), document by document, with no padding anywhere."""
    losses = []
    for row, length in zip(rows.input_ids, rows.lengths.tolist(), strict=True):
        document = row[:length]
        log_p = torch.log_softmax(model(input_ids=document[None]).logits[0], dim=-1)
        losses += [-log_p[place, document[place + 1]] for place in range(length - 1)]
    return torch.stack(losses).mean()


class AdamWByHand:
    """Loshchilov and Hutter 2019, algorithm 2, with Galactica's constants (Taylor et al. 2022, section 4)."""

    def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
        self.parameters = parameters
        self.first = [torch.zeros_like(p) for p in parameters]
        self.second = [torch.zeros_like(p) for p in parameters]
        self.steps = 0

    @torch.no_grad()
    def step(self, gradients: list[Tensor], rate: float) -> None:
        self.steps += 1
        for weight, gradient, m, v in zip(self.parameters, gradients, self.first, self.second, strict=True):
            m.copy_(0.9 * m + 0.1 * gradient)
            v.copy_(0.95 * v + 0.05 * gradient**2)
            m_hat, v_hat = m / (1 - 0.9**self.steps), v / (1 - 0.95**self.steps)
            weight.copy_(weight - rate * 0.1 * weight - rate * m_hat / (v_hat.sqrt() + 1e-8))


@pytest.mark.parametrize(("init_std", "is_clipped"), [(0.02, False), (0.5, True)])
def test_steps_equal_loss_clipping_and_adamw_written_out(init_std: float, is_clipped: bool) -> None:
    # In double precision, so that Adam's signs of tiny gradients agree; the fused loss keeps to it, transformers' not.
    model = tiny_galactica(init_std).double()
    trainer, reference = Trainer(copy.deepcopy(model), "fused", rate=1e-2), model
    parameters = list(reference.parameters())
    adamw = AdamWByHand(parameters)
    for step in range(2):  # Adam's first step has no scale: only the second tells a clipped gradient from another
        rows = padded_rows([4, 9, 1, 16], seed=step)
        loss = loss_by_hand(reference, rows)
        gradients = list(torch.autograd.grad(loss, parameters))
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
        assert (norm > 1) == is_clipped
        adamw.step([g / max(1.0, norm) for g in gradients], rate=1e-2)  # both steps have the peak rate
        assert trainer.step(rows, 2) == pytest.approx(float(loss.detach()), rel=1e-6)
        torch.testing.assert_close(list(trainer.model.parameters()), parameters, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kernel", ["torch's kernel", "chunks"])
def test_the_fused_loss_and_its_gradients_equal_transformers_own(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kernel == "chunks":  # torch before 2.13 has no such function
        monkeypatch.delattr(functional, "linear_cross_entropy", raising=False)
    rows = padded_rows([(7 * index) % 37 + 1 for index in range(60)])
    batch = whole(rows)
    assert batch.input_ids_BT.numel() > 2 * 1024  # more than two chunks
    found = {}
    for kind in ("hf", "fused"):
        model = tiny_galactica(init_std=0.3)
        loss = CausalLoss(model, kind)(batch.input_ids_BT, batch.labels_BT, 1000.0)
        loss.backward()
        found[kind] = [loss.detach(), *(p.grad for p in model.parameters())]
    torch.testing.assert_close(found["fused"], found["hf"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", ["hf", "fused", "chunks"])
def test_the_closing_separator_is_learned_and_padding_is_not(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kernel == "chunks":
        monkeypatch.delattr(functional, "linear_cross_entropy", raising=False)
    rows, model = padded_rows([3, 6]), tiny_galactica()
    batch, hidden = whole(rows), []
    model.get_decoder().register_forward_hook(lambda _module, _inputs, output: hidden.append(output[0]))
    loss = CausalLoss(model, "hf" if kernel == "hf" else "fused")(batch.input_ids_BT, batch.labels_BT, 11.0)
    (gradient_BTD,) = torch.autograd.grad(loss, hidden)
    # </s> x x x </s> predicts from its first four places, and the longer row from its first seven.
    assert (gradient_BTD != 0).any(dim=-1).tolist() == [
        [True, True, True, True, False, False, False, False],
        [True, True, True, True, True, True, True, False],
    ]


def test_a_model_that_knows_nothing_has_the_loss_of_a_fair_guess() -> None:
    rows = padded_rows([3, 6, 1])
    for kind in ("hf", "fused"):
        model = tiny_galactica()
        torch.nn.init.zeros_(model.lm_head.weight)
        assert Trainer(model, kind).step(rows, 1) == pytest.approx(math.log(52), rel=1e-6)


@pytest.mark.parametrize("loss", ["hf", "fused"])
def test_bf16_autocast_trains_fp32_weights_on_a_cpu(loss: Loss) -> None:
    rows = padded_rows([3, 11, 5, 20])
    mixed, full = Trainer(tiny_galactica(0.3), loss, precision="bf16-amp"), Trainer(tiny_galactica(0.3), loss)
    before = [p.detach().clone() for p in mixed.model.parameters()]
    loss_mixed, loss_full = mixed.step(rows, 2), full.step(rows, 2)
    assert loss_mixed != loss_full  # bf16 was really used
    assert loss_mixed == pytest.approx(loss_full, rel=0.02)
    assert {p.dtype for p in mixed.model.parameters()} == {torch.float32}
    assert all(bool((a != b).any()) for a, b in zip(before, mixed.model.parameters(), strict=True))


def test_the_fused_loss_in_fp16_adds_up_more_than_fp16_can_hold() -> None:
    rows = padded_rows([62] * 300)
    model = tiny_galactica()
    torch.nn.init.zeros_(model.lm_head.weight)
    assert 300 * 63 * math.log(52) > torch.finfo(torch.float16).max
    assert Trainer(model, "fused", precision="fp16-amp").step(rows, 300) == pytest.approx(math.log(52), rel=1e-3)


def test_gradients_are_gone_after_a_step() -> None:
    trainer = Trainer(tiny_galactica(), "hf")
    trainer.step(padded_rows([3, 4]), 1)
    assert all(p.grad is None for p in trainer.model.parameters())


def test_weights_that_are_frozen_are_not_trained() -> None:
    model = tiny_galactica()
    model.model.decoder.embed_positions.weight.requires_grad_(False)
    frozen = model.model.decoder.embed_positions.weight.detach().clone()
    Trainer(model, "hf").step(padded_rows([3, 4]), 2)
    assert torch.equal(model.model.decoder.embed_positions.weight, frozen)


def rates_of(total_steps: int) -> list[float]:
    """The rates of all steps in units of the peak."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimizer, total_steps)
    rates = []
    for _ in range(total_steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return rates


def test_the_rate_warms_up_over_a_tenth_and_falls_as_a_cosine() -> None:
    rates = rates_of(20)  # two steps of warm-up, eighteen of the cosine
    assert rates[0] == pytest.approx(0.5)
    assert rates[1] == pytest.approx(1.0)
    assert rates[2] == pytest.approx(1.0)  # cos 0
    assert rates[8] == pytest.approx(0.75)  # 6/18 of half a turn: cos 60° = 0.5
    assert rates[11] == pytest.approx(0.5)  # 9/18: cos 90° = 0
    assert rates[14] == pytest.approx(0.25)  # 12/18: cos 120° = -0.5
    assert rates[19] == pytest.approx(0.00759612)  # 17/18: cos 170° = -0.98480775


def test_a_single_step_is_made_with_the_full_rate() -> None:
    assert rates_of(1) == [1.0]


@given(total_steps=st.integers(1, 300))
def test_no_step_has_a_rate_of_zero_and_the_peak_is_reached(total_steps: int) -> None:
    rates = rates_of(total_steps)
    assert min(rates) > 0
    assert max(rates) == pytest.approx(1.0)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def train_to_the_end(loop: TrainingLoop) -> None:
    while not loop.is_done:
        loop.step()


def test_a_rate_that_makes_no_number_of_the_loss_ends_as_diverged() -> None:
    settings = TrialSettings(
        model="tiny", batch_size=4, micro_batch_size=2, learning_rate=1e30, sequence_length=64, token_budget=5000
    )
    loop = TrainingLoop(tiny_galactica(), padded_rows([5, 9, 12, 3] * 4), settings, MemoryMeter(torch.device("cpu")))
    with pytest.raises(DivergedError, match=r"^the loss is \S+ nats at step \d+; try a lower learning rate\.$"):
        train_to_the_end(loop)
    assert 0 < loop.progress.step < loop.total_steps
    assert loop.progress.curve  # the first step, made before any weight had changed
    assert all(math.isfinite(point.loss) for point in loop.progress.curve)


def test_a_loss_twice_as_bad_as_knowing_nothing_ends_as_diverged() -> None:
    settings = TrialSettings(
        model="tiny", batch_size=2, micro_batch_size=2, learning_rate=1e-9, sequence_length=64, token_budget=5000
    )
    model = tiny_galactica(init_std=20.0)  # large logits that are wrong: a loss in the hundreds
    loop = TrainingLoop(model, padded_rows([30, 30]), settings, MemoryMeter(torch.device("cpu")))
    with pytest.raises(DivergedError, match="at step 1;"):
        loop.step()


def test_the_loop_trains_at_least_the_token_budget_and_less_than_a_step_more() -> None:
    settings = TrialSettings(
        model="tiny", batch_size=2, micro_batch_size=1, learning_rate=1e-3, sequence_length=64, token_budget=100
    )
    rows = padded_rows([8] * 6)  # ten tokens a row, twenty a step: five steps
    loop = TrainingLoop(tiny_galactica(), rows, settings, MemoryMeter(torch.device("cpu")))
    train_to_the_end(loop)
    assert loop.progress.step == 5
    assert loop.progress.tokens == 100
    assert [point.tokens for point in loop.progress.curve] == [20, 40, 60, 80, 100]
    # Five steps: a warm-up of max(1, round(0.5)) = 1 step, then cosines of 0, 45, 90 and 135 degrees.
    expected = [1e-3 * factor for factor in (1, 1, 0.853553, 0.5, 0.146447)]
    assert [point.learning_rate for point in loop.progress.curve] == pytest.approx(expected, rel=1e-5)
