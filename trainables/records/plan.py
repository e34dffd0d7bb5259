"""The plan of a sweep: its options with every choice made, and the settings that a point of its space means."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from trainables.records.settings import SHARED, SharedSettings, TrialSettings

MicroBatch = int | Literal["auto"]
AUTO: MicroBatch = "auto"  # the largest micro-batch that is predicted to fit
CHOSEN = "micro_batch_size"  # what a proposal holds beside its point where it is automatic

# What a point of a space may say of a trial, and under which name a plan holds the values of it.
VALUES = {
    "model": "models",
    "batch_size": "batch_sizes",
    "micro_batch_size": "micro_batch_sizes",
    "learning_rate": "learning_rates",
    "epochs": "epochs",
    "replay_ratio": "replay_ratios",
}


@dataclass(frozen=True, kw_only=True)
class SweepPlan(SharedSettings):
    """Options with every choice made, checked against one another.

    `micro_batch_sizes` is ("auto",) where each trial takes the largest that is predicted to fit.
    `token_budget` is None where it follows from epochs; `epoch_tokens` then holds the tokens of one epoch by model and
    replay ratio, as `with_epoch_tokens` counted them. Where rows are padded `row_lengths` holds, in the same way, the
    tokens of the longest. `levers` are the settings that are searched too, with their values. The first
    `starting_points` trials are laid out evenly over the space, before the sampler proposes.
    A ladder has `rung_trials` (of the lowest rung, of each between, of the top) and `rung_parameters`, of each of its
    models; its learning rates and batch sizes are then the ends of ranges. `until` is its top, None for the last model.
    `language_model` names the one that reads samples too.
    In other sweeps `ranges` names what was given as one, of which the plan holds the values that it may take.
    """

    question: str
    trials: int
    models: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    micro_batch_sizes: tuple[MicroBatch, ...]
    learning_rates: tuple[float, ...]
    sequence_length: int
    token_budget: int | None
    epochs: tuple[float, ...]
    replay_ratios: tuple[float, ...]
    gpu: str
    capacity_bytes: int | None
    memory_cap_bytes: int | None
    on_cuda: bool
    objectives: tuple[str, ...]
    sampler: Literal["tpe", "nsga2", "gp", "random"] = "tpe"
    levers: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    warm_start: tuple[str, ...] = ()
    early_stopping: Literal["asha"] | None = None
    min_retention: float | None = None
    max_copied_share: float | None = None
    base_text: str = "science"
    samples_per_prompt: int = 20
    language_model: str | None = None
    starting_points: int = 12
    epoch_tokens: dict[str, dict[str, int]] = field(default_factory=dict)
    row_lengths: dict[str, dict[str, int]] = field(default_factory=dict)
    rung_trials: tuple[int, ...] = ()
    rung_parameters: tuple[int, ...] = ()
    until: str | None = None
    ranges: tuple[str, ...] = ()

    def settings(
        self,
        *,
        model: str,
        batch_size: int,
        micro_batch_size: int,
        learning_rate: float,
        epochs: float | None = None,
        replay_ratio: float = 0.0,
        **levers: Any,
    ) -> TrialSettings:
        """The settings of one trial, with the plan's own of those `levers` that are not searched.

        Raises: trainables.records.settings.SettingsError when they contradict one another.
        """
        budget = self.token_budget
        if budget is None and epochs is not None and self.epoch_tokens:
            budget = max(1, round(epochs * self.epoch_tokens[model][ratio_key(replay_ratio)]))
        return TrialSettings(
            model=model,
            batch_size=batch_size,
            micro_batch_size=micro_batch_size,
            learning_rate=learning_rate,
            sequence_length=self.sequence_length,
            token_budget=1 if budget is None else budget,
            samples_per_prompt=self.samples_per_prompt,
            memory_cap_bytes=self.memory_cap_bytes,
            replay_ratio=replay_ratio,
            epochs=epochs,
            **{name: getattr(self, name) for name in SHARED} | levers,
        )

    def as_laid_out(self, settings: TrialSettings) -> TrialSettings:
        """The settings with the length that the trial's rows have: padded ones end where the longest document does."""
        if not self.row_lengths:
            return settings
        length = self.row_lengths[settings.model][ratio_key(settings.replay_ratio)]
        return dataclasses.replace(settings, sequence_length=length)

    @property
    def has_automatic_micro_batch(self) -> bool:
        """Whether the micro-batch is no part of the space, but chosen for each trial."""
        return self.micro_batch_sizes == (AUTO,)

    @property
    def least_micro_batch_size(self) -> int:
        """The smallest micro-batch that a trial may have."""
        return min((size for size in self.micro_batch_sizes if isinstance(size, int)), default=1)

    @property
    def space(self) -> dict[str, tuple[Any, ...]]:
        """What is searched: the values that each part of a point may take, levers last."""
        asked = {name: getattr(self, values) for name, values in VALUES.items() if getattr(self, values)}
        if self.has_automatic_micro_batch:
            del asked[CHOSEN]
        return asked | {name: tuple(values) for name, values in self.levers.items()}

    @property
    def search_levers(self) -> bool:
        """Whether levers are searched."""
        return bool(self.levers)


RUNG_NUMBERS = 100  # a ladder's trials are numbered anew on each rung: 200 is the first of the third


def ratio_key(replay_ratio: float) -> str:
    """The name of a replay ratio in `SweepPlan.epoch_tokens`, as JSON has no numbers for names."""
    return repr(float(replay_ratio))
