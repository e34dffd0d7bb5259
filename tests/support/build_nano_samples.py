"""Write tests/support/nano_samples/: what nano-1m writes untuned, hardly tuned, and tuned without and with replay.

    python tests/support/build_nano_samples.py

Three seeds each, 480 samples a file, with the model's losses; about 8 minutes on one core. The tests of sample quality
read these files, so that they need not train.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import random
from pathlib import Path

import torch
from transformers import PreTrainedModel

from data.batches import Rows, StepPlan, collate, make_rows
from data.documents import encode_documents
from data.prompts import PROMPTS, prompt_text
from data.quotes import load_quotes, load_science
from data.splits import is_validation, remove_duplicates, split_quotes
from data.tokenizer import load_tokenizer
from trainables.model.models import find_model, load_model
from trainables.model.step import CausalLoss, make_optimizer, make_schedule
from trainables.quality.held_out import mean_loss
from trainables.quality.sampling import SamplingSettings, sample_completions

FOLDER = Path(__file__).resolve().parent / "nano_samples"
MODEL = "nano-1m"
SEEDS = (0, 1, 2)
ROW_TOKENS, ROWS_PER_STEP = 128, 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model came to be: passes over its lines, science lines for each quote, peak rate; how it was sampled."""

    name: str
    epochs: float = 0.0
    replay: float = 0.0
    learning_rate: float = 1e-3
    temperature: float = 0.8
    top_p: float = 0.95


RECIPES = (
    Recipe(name="untuned"),
    Recipe(name="hardly-tuned", epochs=0.1, learning_rate=3e-4),
    Recipe(name="tuned-without-replay", epochs=3.0, learning_rate=3e-3),
    Recipe(name="tuned-with-replay", epochs=3.0, replay=1.0, learning_rate=3e-3),
    Recipe(name="hot", epochs=3.0, replay=1.0, learning_rate=3e-3, temperature=1.5, top_p=1.0),
)


def build(recipe: Recipe, seed: int) -> None:
    """Tune, measure, sample, and write one file: a line of losses, then a line a sample."""
    loaded = load_tokenizer(find_model(MODEL).location)
    split, science = split_quotes(remove_duplicates(load_quotes("shipped"))), load_science()
    model = tuned(recipe.epochs, recipe.replay, recipe.learning_rate, seed)

    def perplexity(held_out: list[str]) -> float:
        documents = encode_documents(loaded, held_out[:200])
        padded = make_rows(documents, layout="padded", sequence_length=ROW_TOKENS, pad_id=loaded.pad_id, seed=0)
        return math.exp(mean_loss(model, padded, batch_size=ROWS_PER_STEP, precision="fp32").nats_per_token)

    facts = dataclasses.asdict(recipe) | {
        "quote_perplexity": perplexity([quote.line for quote in split.validation]),
        "science_perplexity": perplexity([line for line in science if is_validation(line)]),
    }
    settings = SamplingSettings(temperature=recipe.temperature, top_p=recipe.top_p, seed=seed)
    completions = sample_completions(model, loaded, [prompt_text(loaded, p.keyword) for p in PROMPTS], settings)
    samples = [
        {"prompt": f"{prompt.keyword}:", "kind": prompt.kind, "text": completion.text, "ended": completion.ended}
        for prompt, row in zip(PROMPTS, completions, strict=True)
        for completion in row
    ]
    FOLDER.mkdir(exist_ok=True)
    text = "".join(json.dumps(document) + "\n" for document in [facts, *samples])
    (FOLDER / f"{recipe.name}-{seed}.jsonl").write_text(text, encoding="utf-8")
    print(f"{recipe.name}, seed {seed}: science perplexity {facts['science_perplexity']:.1f}", flush=True)


@functools.lru_cache(maxsize=1)
def tuned(epochs: float, replay: float, learning_rate: float, seed: int) -> PreTrainedModel:
    """The model after so many passes; none leaves it as it is. The last one is kept: it may be sampled twice."""
    source = find_model(MODEL)
    model = load_model(source, weights="pretrained", dtype=torch.float32, attention="sdpa", seed=0)
    loaded = load_tokenizer(source.location)
    base_lines = [line for line in load_science() if not is_validation(line)]
    random.Random(seed).shuffle(base_lines)
    lines = [quote.line for quote in split_quotes(remove_duplicates(load_quotes("shipped"))).train]
    lines += base_lines[: int(replay * len(lines))]
    documents = encode_documents(loaded, lines)
    rows = make_rows(documents, layout="packed", sequence_length=ROW_TOKENS, pad_id=loaded.pad_id, seed=seed)
    tune(model, rows, epochs, learning_rate, seed)
    return model


def tune(model: PreTrainedModel, rows: Rows, epochs: float, learning_rate: float, seed: int) -> None:
    """Train for so many passes."""
    plan = StepPlan(rows.lengths, ROWS_PER_STEP, seed)
    steps = math.ceil(epochs * len(rows.lengths) / ROWS_PER_STEP)
    optimizer = make_optimizer(model.parameters(), learning_rate)
    schedule, loss_module = make_schedule(optimizer, max(1, steps)), CausalLoss(model, "hf")
    torch.manual_seed(seed)
    for step in range(steps):
        indices = plan.indices(step)
        batch = collate(rows, indices)
        loss = loss_module(batch.input_ids_BT, batch.labels_BT, int(rows.lengths[indices].sum()) - len(indices))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    for number in SEEDS:
        for chosen in RECIPES:
            build(chosen, number)
