"""Two stock ways to search over the nano trials of trial_overhead.py, as their documents show them.

`python tests/benchmarks/stock_searches.py train-in-tune|hugging-face TRIALS STEPS FILE`: each trial adds a line of JSON
to FILE when it ends, `{"ended_at": seconds since 1970, "train_seconds": …}`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROWS, SEQUENCE_LENGTH = 8, 128
NANO = Path(__file__).resolve().parent.parent.parent / "data" / "nano" / "nano-0.3m"


def train_in_tune(trials: int, file: str, steps: int) -> None:
    """Ray's user guide: a Tune function that makes a TorchTrainer and waits for it."""
    import ray.tune
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    with tempfile.TemporaryDirectory() as storage:

        def trial(config: dict) -> None:
            TorchTrainer(
                train_worker,
                train_loop_config=config | {"steps": steps, "file": file},
                scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
                run_config=RunConfig(
                    name=f"run-{time.time_ns()}", storage_path=storage, callbacks=[TuneReportCallback()]
                ),
            ).fit()

        ray.tune.Tuner(
            ray.tune.with_resources(trial, {"cpu": 0.5}),
            param_space={"learning_rate": ray.tune.loguniform(1e-4, 1e-2)},
            tune_config=ray.tune.TuneConfig(num_samples=trials, max_concurrent_trials=1, metric="loss", mode="min"),
            run_config=ray.tune.RunConfig(storage_path=storage, name="stock", verbose=0),
        ).fit()


def train_worker(config: dict) -> None:
    """A plain training loop on one worker."""
    import ray.train
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(NANO)).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["learning_rate"])
    tokens_BT = torch.randint(23, model.config.vocab_size, (ROWS, SEQUENCE_LENGTH))
    began, loss = time.perf_counter(), torch.tensor(float("nan"))
    for _ in range(config["steps"]):
        loss = model(input_ids=tokens_BT, labels=tokens_BT).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    tell_end(config["file"], time.perf_counter() - began)
    ray.train.report({"loss": float(loss)})


def hugging_face(trials: int, file: str, steps: int) -> None:
    """Transformers' own search with its Ray backend; the one evaluation that it insists on is counted as training."""
    import ray
    import torch
    from ray import tune
    from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: object, **__: object) -> None:
            self.began = time.perf_counter()

        def on_evaluate(self, *_: object, **__: object) -> None:
            tell_end(file, time.perf_counter() - self.began)

    ids_T = torch.randint(23, 2048, (SEQUENCE_LENGTH,))
    rows = [{"input_ids": ids_T, "labels": ids_T} for _ in range(ROWS * steps)]
    ray.init(num_cpus=2, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=ROWS,
            max_steps=steps,
            report_to=[],
            save_strategy="no",
            eval_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        Trainer(
            args=arguments,
            model_init=lambda: AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(NANO)).float(),
            train_dataset=rows,  # pyright: ignore[reportArgumentType]  # a list is a data set to torch
            eval_dataset=rows[:1],  # pyright: ignore[reportArgumentType]
            callbacks=[Clock()],
        ).hyperparameter_search(
            hp_space=lambda _: {"learning_rate": tune.loguniform(1e-4, 1e-2)},  # pyright: ignore[reportArgumentType]
            backend="ray",
            n_trials=trials,
            max_concurrent_trials=1,
            storage_path=folder,
            verbose=0,
        )


def tell_end(file: str, train_seconds: float) -> None:
    """Add a trial's line."""
    with open(file, "a") as lines:
        lines.write(json.dumps({"ended_at": time.time(), "train_seconds": train_seconds}) + "\n")


if __name__ == "__main__":
    import stock_searches  # so that workers find the functions by the module's name

    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    arms = {"train-in-tune": stock_searches.train_in_tune, "hugging-face": stock_searches.hugging_face}
    arms[sys.argv[1]](int(sys.argv[2]), sys.argv[4], int(sys.argv[3]))
