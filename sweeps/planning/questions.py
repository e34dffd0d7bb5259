"""A question that a sweep answers, as its file in sweeps/ declares it: what it searches, strives for and shows.

No sweep is imported here: a file is found by name where a program is told one, and what runs a trial reads the plan.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from analysis.sweep_table.table import rate_text
from sweeps.planning.options import STRIVE, LadderOptions, OptionsError, SpaceOptions, SweepOptions, said
from trainables.records.objectives import OBJECTIVES

SET_BY_RUNGS = ("trials", "batch_sizes", "learning_rates")  # a ladder has ranges and trials by rung in their place
FOLDER = Path(__file__).resolve().parents[1]
# The objectives that the micro-batch moves.
ASKS_OF_MICRO_BATCH = tuple(name for name, objective in OBJECTIVES.items() if objective.follows_micro_batch)


@dataclass(frozen=True, kw_only=True)
class Space:
    """What a sweep explores by default.

    Trials train on `token_budget` tokens each, or, without one, as often as `epochs` says on every document. `levers`
    are other settings that are searched, such as `{"lora_rank": (0, 8)}`: those with `tried` values in
    trainables/records/settings.py.
    A ladder has `rung_trials`, of its lowest rung, each between and its top, which is `until` or the last model; its
    batch sizes and learning rates are the ends of ranges.
    """

    trials: int = 12
    models: tuple[str, ...]
    batch_sizes: tuple[int, ...] = (8, 16, 32)
    micro_batch_sizes: tuple[int, ...] = (2, 4, 8)
    learning_rates: tuple[float, ...]
    sequence_length: int
    token_budget: int | None = None
    epochs: tuple[float, ...] = ()
    replay_ratios: tuple[float, ...] = ()
    levers: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    rung_trials: tuple[int, int, int] | None = None
    until: str | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question. `name` is its file's, `asks` stands in its --help, `objectives` are strived for.

    `columns` heads the table on the terminal. `starting_points` trials are laid out evenly over the space before the
    sampler proposes any.
    """

    name: str
    asks: str
    objectives: tuple[str, ...]
    columns: tuple[str, ...]
    on_cpu: Space
    on_gpu: Space
    smoke: Space
    starting_points: int = 12

    def space(self, *, on_cuda: bool, is_smoke: bool) -> Space:
        """What is explored on such a device."""
        return self.smoke if is_smoke else self.on_gpu if on_cuda else self.on_cpu

    @property
    def options(self) -> type[SweepOptions]:
        """The flags of this sweep: what it explores, each with its own default, and all that every sweep has."""
        hints = get_type_hints(SpaceOptions, include_extras=True)
        listed = [(name, *self._flag(name, hint.__origin__, hint.__metadata__[0].help)) for name, hint in hints.items()]
        strive = Annotated[tuple[str, ...] | None, said(f"{STRIVE} [{' '.join(self.objectives)}]")]
        listed.append(("objectives", strive, dataclasses.field(default=None)))
        kind = LadderOptions if self.is_ladder else SweepOptions
        return dataclasses.make_dataclass("Options", listed, bases=(kind,), frozen=True, kw_only=True)

    @property
    def is_ladder(self) -> bool:
        """Whether sizes are climbed as rungs, by values within ranges, instead of searched among others."""
        return self.on_cpu.rung_trials is not None

    def _flag(self, name: str, kind: Any, text: str) -> tuple[Any, Any]:
        """A flag's type and field; none where what it gives is no part of the question."""
        values = "models" if name == "model_sizes" else name
        shown = [_shown(name, getattr(space, values)) for space in (self.on_cpu, self.on_gpu)]
        if name == "micro_batch_sizes" and not set(self.objectives) & set(ASKS_OF_MICRO_BATCH):
            shown[1] = "auto"
        if not any(shown) or (self.is_ladder and name in SET_BY_RUNGS):
            return kind, dataclasses.field(default=None, init=False)
        usual = shown[0] if shown[0] == shown[1] else f"CPU: {shown[0]}; GPU: {shown[1]}"
        return Annotated[kind, said(f"{text} [{usual}]")], dataclasses.field(default=None)


def find_question(name: str) -> tuple[Question, Path]:
    """The question of a sweep that is called by its name or by its file, and that file.

    Raises: OptionsError for a name that no file in sweeps/ has, or a file that declares no question of its name.
    """
    file = Path(name) if name.endswith(".py") else FOLDER / f"{name}.py"
    if not file.is_file() or not _declares(file):
        known = ", ".join(known_questions())
        raise OptionsError(f"{name!r} is not a question; name one: {known}, or a file that declares its QUESTION.")
    spec = importlib.util.spec_from_file_location(f"{FOLDER.name}.{file.stem}", file)
    assert spec is not None, "a .py file can be loaded"
    assert spec.loader is not None, "a file of a package has a loader"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    question = module.QUESTION
    if not isinstance(question, Question) or question.name != file.stem:
        raise OptionsError(f"{file}: its QUESTION must be a Question with the file's name, name={file.stem!r}.")
    return question, file.resolve()


def script_of(name: str) -> str:
    """What answers the question of this name: its file in sweeps/, else the script that runs now."""
    return f"{FOLDER.name}/{name}.py" if (FOLDER / f"{name}.py").is_file() else os.path.abspath(sys.argv[0])


def known_questions() -> list[str]:
    """The names of the sweeps in this folder."""
    return [file.stem for file in sorted(FOLDER.glob("*.py")) if _declares(file)]


def _declares(file: Path) -> bool:
    return re.search(r"^QUESTION\b", file.read_text(encoding="utf-8"), re.MULTILINE) is not None


def _shown(name: str, values: Any) -> str:
    """The usual values of a flag as a person would type them; nothing where there are none."""
    if values is None or values == ():
        return ""
    texts = [
        rate_text(one) if name == "learning_rates" else f"{one:g}" if isinstance(one, float) else str(one)
        for one in (values if isinstance(values, tuple) else (values,))
    ]
    return " ".join(texts)
