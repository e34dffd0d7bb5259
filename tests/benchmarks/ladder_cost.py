"""What does a size ladder save?

Question: processor seconds of training and evaluation until a search is as good at the top size as a ladder of the
sizes below it with three trials there; the direct search is Optuna's TPE at the top alone, in the same ranges.
Good is held-out quote loss, which is what a ladder fits. No Ray, no samples: start-up is apart. One thread.
Command: python tests/benchmarks/ladder_cost.py [--seeds 0 1 2 3 4] [--results ladder_cost.jsonl]
Every trial is a line of the results file as soon as it ends; a run that was cut off goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import optuna
import torch

from analysis.ladder.placement import LogRange, next_stage
from analysis.ladder.rungs import LadderTrial, Rung
from data.batches import make_rows
from data.documents import encode_documents
from data.tokenizer import LoadedTokenizer, load_tokenizer
from sweeps.scale_ladder import QUESTION
from sweeps.search.ladder_search import workable_batch
from trainables.memory.measuring.meter import MemoryMeter
from trainables.model.models import find_model, load_config, load_model, model_shape, weight_type
from trainables.quality.held_out import HeldOut
from trainables.records.settings import TrialSettings
from trainables.records.trial_data import TrialData, prepare_quotes, trial_data
from trainables.training.loop import DivergedError, TrainingLoop

SPACE = QUESTION.on_cpu
RATES = LogRange(low=SPACE.learning_rates[0], high=SPACE.learning_rates[-1])
BATCHES = LogRange(low=SPACE.batch_sizes[0], high=SPACE.batch_sizes[-1])
LOWEST, BETWEEN, AT_TOP = SPACE.rung_trials or (12, 8, 3)
DIRECT = 24  # trials of the search at the top, at most: it ends where it is as good
ARMS = ("ladder", "direct")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training: whose it is, where it stood, its held-out loss (null: diverged) and what it cost."""

    arm: str
    seed: int
    number: int
    model: str
    learning_rate: float
    batch_size: int
    loss: float | None
    core_seconds: float


class Bench:
    """Runs trials, or reads those that ran before."""

    def __init__(self, results: Path) -> None:
        self.results = results
        lines = results.read_text().splitlines() if results.exists() else []
        trials = [Trial(**json.loads(line)) for line in lines]
        self.known = {(trial.arm, trial.seed, trial.number): trial for trial in trials}

    def trial(self, arm: str, seed: int, number: int, model: str, rate: float, batch: float) -> Trial:
        """The trial of that number, run where it has not been. Raises: SystemExit where it ran with other settings."""
        size, rate = workable_batch(batch, 1), float(f"{rate:.3g}")
        if found := self.known.get((arm, seed, number)):
            if (found.model, found.learning_rate, found.batch_size) != (model, rate, size):
                raise SystemExit(
                    f"{self.results}: trial {number} of {arm}, seed {seed}, was placed by other code: begin anew"
                )
            return found
        began = time.process_time()
        loss = train(model, rate, size, seed)
        spent = time.process_time() - began
        made = Trial(
            arm=arm,
            seed=seed,
            number=number,
            model=model,
            learning_rate=rate,
            batch_size=size,
            loss=loss,
            core_seconds=round(spent, 3),
        )
        with self.results.open("a") as file:
            file.write(json.dumps(asdict(made)) + "\n")
        print(f"{arm} {seed} {number:3} {model} lr {rate:.2e} batch {size} loss {loss} {spent:.1f} s", flush=True)
        return made


@cache
def lines() -> TrialData:
    """The shipped quotes, split as a sweep splits them."""
    return trial_data(prepare_quotes("shipped").split)


@cache
def tokenizer(model: str) -> LoadedTokenizer:
    """The model's tokenizer."""
    return load_tokenizer(find_model(model).location)


def train(model: str, rate: float, batch: int, seed: int) -> float | None:
    """Train one trial as a sweep's worker does. Returns: its held-out quote loss; None where it diverged."""
    micro = max(size for size in SPACE.micro_batch_sizes if isinstance(size, int) and batch % size == 0)
    settings = TrialSettings(
        model=model,
        batch_size=batch,
        micro_batch_size=micro,
        learning_rate=rate,
        sequence_length=SPACE.sequence_length,
        token_budget=SPACE.token_budget or 0,
        seed=seed,
    )
    data, loaded = lines(), tokenizer(model)
    dtype = weight_type(settings)
    net = load_model(find_model(model), weights="pretrained", dtype=dtype, attention=settings.attention, seed=seed)
    length = settings.sequence_length
    documents = encode_documents(loaded, data.training_lines(0.0, seed))
    rows = make_rows(documents, layout=settings.layout, sequence_length=length, pad_id=loaded.pad_id, seed=seed)
    loop = TrainingLoop(net, rows, settings, MemoryMeter(torch.device("cpu")))
    try:
        while not loop.is_done:
            loop.step()
    except DivergedError:
        return None
    return HeldOut(data, loaded, settings).losses(net)[0].nats_per_token


@cache
def parameters(model: str) -> int:
    """How many parameters a model has."""
    return model_shape(load_config(find_model(model), "pretrained")).parameters


def ladder(bench: Bench, seed: int) -> list[Trial]:
    """Climb all rungs, as `sweeps/scale_ladder.py` places its trials. Returns: every trial, in order."""
    told: list[Trial] = []
    below: tuple[Rung, ...] = ()
    for place, model in enumerate(SPACE.models):
        is_top = place == len(SPACE.models) - 1
        wanted = LOWEST if place == 0 else AT_TOP if is_top else BETWEEN
        rung = Rung(name=model, parameters=parameters(model))
        while len(rung.trials) < wanted:
            for point in next_stage(below, rung, (RATES, BATCHES), wanted, top=is_top):
                made = bench.trial("ladder", seed, len(told), model, point.learning_rate, point.batch_size)
                told.append(made)
                rung = replace(rung, trials=(*rung.trials, read(made)))
        below = (*below, rung)
    return told


def read(trial: Trial) -> LadderTrial:
    """A trial as the fits read it."""
    loss = float("inf") if trial.loss is None else trial.loss
    return LadderTrial(learning_rate=trial.learning_rate, batch_size=trial.batch_size, loss=loss)


def direct(bench: Bench, seed: int, reached: float) -> Iterator[Trial]:
    """Search at the top alone until it has a loss of `reached`."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    for number in range(DIRECT):
        asked = study.ask()
        rate = asked.suggest_float("learning_rate", RATES.low, RATES.high, log=True)
        batch = asked.suggest_float("batch_size", BATCHES.low, BATCHES.high, log=True)
        made = bench.trial("direct", seed, number, SPACE.models[-1], rate, batch)
        study.tell(asked, 100.0 if made.loss is None else made.loss)
        yield made
        if made.loss is not None and made.loss <= reached:
            return


def main() -> None:
    """Run what is missing, and print a line a seed and the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--results", type=Path, default=Path("ladder_cost.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    bench, ratios, top = Bench(options.results), [], SPACE.models[-1]
    for seed in options.seeds:
        climbed = ladder(bench, seed)
        spent = sum(trial.core_seconds for trial in climbed)
        reached = min(trial.loss for trial in climbed if trial.model == top and trial.loss is not None)
        searched = list(direct(bench, seed, reached))
        needed = sum(trial.core_seconds for trial in searched)
        best = min(trial.loss for trial in searched if trial.loss is not None)
        ratios.append(spent / needed)
        said = "as good" if best <= reached else f"only {best:.4f}"
        print(
            f"seed {seed}: ladder {spent:.0f} s to {reached:.4f}; direct {said} after {len(searched)} trials,"
            f" {needed:.0f} s; ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(f"median ratio over {len(ratios)} seeds: {statistics.median(ratios):.2f} (at most, where never as good)")


if __name__ == "__main__":
    main()
