"""Options of a sweep from a YAML file: ours, a shipped preset, or a sweep of W&B's where it means what ours does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from data.errors import one_line
from sweeps.planning.choices import PLAN_NAMES
from sweeps.planning.options import OptionsError, SweepOptions
from sweeps.planning.ranges import LISTS, RANGES
from trainables.records.objectives import OBJECTIVES
from trainables.records.plan import VALUES, SweepPlan

FLAG = "--config"
NOT_IN_FILES = ("config", "print_config", "dry_run", "resume", "smoke")  # what says how a sweep is started
ALTERNATIVES = LISTS | {listed: name for name, listed in LISTS.items()}
# Of a W&B sweep, which sampler a method is, and what says nothing of ours.
METHODS = {"random": "random", "bayes": "tpe"}
IDLE = ("program", "command", "description", "project", "entity", "method", "parameters", "metric", "run_cap")
LOG_UNIFORM = ("log_uniform_values",)


def with_file(arguments: Sequence[str], kind: type[SweepOptions]) -> list[str]:
    """The arguments with, in place of --config, what its file says and they do not. Raises: OptionsError."""
    place = next((place for place, one in enumerate(arguments) if one.partition("=")[0] == FLAG), None)
    if place is None:
        return list(arguments)
    _, has_value, name = arguments[place].partition("=")
    rest = [*arguments[:place], *arguments[place + (1 if has_value else 2) :]]
    if not has_value:
        name = "".join(arguments[place + 1 : place + 2])
    if not name or name.startswith("--"):
        raise OptionsError(f"{FLAG} needs a file, or one of {', '.join(presets())}.")
    told, given = _read(name), {one[2:].partition("=")[0].replace("-", "_") for one in rest if one.startswith("--")}
    fields = {one.name: one for one in dataclasses.fields(kind) if one.init}
    found: list[str] = []
    for key, value in told.items():
        option = str(key).replace("-", "_")
        if option not in fields or option in NOT_IN_FILES:
            known = ", ".join(known.replace("_", "-") for known in fields if known not in NOT_IN_FILES)
            raise OptionsError(f"{FLAG} {name}: {key!r} is no option of this sweep; known: {known}.")
        if option in given or ALTERNATIVES.get(option) in given:
            continue
        found += _arguments(name, option, value)
    return [*found, *rest]


def presets() -> list[str]:
    """The names of the files that ship."""
    folder = files("sweeps").joinpath("presets")
    return sorted(one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml"))


def config_text(options: SweepOptions, plan: SweepPlan) -> str:
    """What would run, as a file for --config: each option as given, or as it was chosen."""
    import yaml

    chosen: dict[str, Any] = {}
    skipped = {LISTS[name] for name in LISTS if getattr(options, name) is not None} | {*NOT_IN_FILES, "gpu"}
    if not plan.rung_trials:
        skipped |= {name for name in LISTS if getattr(options, name) is None}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value is None and field.init and field.name not in skipped:
            value = getattr(plan, PLAN_NAMES.get(field.name, field.name), None)
        if field.name in NOT_IN_FILES or value is None or value is False or value == ():
            continue
        chosen[field.name.replace("_", "-")] = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(chosen, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def _read(name: str) -> Mapping[Any, Any]:
    """What a file or preset says, by option. Raises: OptionsError."""
    import yaml

    try:
        if name in presets():
            text = files("sweeps").joinpath("presets", f"{name}.yaml").read_text(encoding="utf-8")
        else:
            text = Path(name).read_text(encoding="utf-8")
        told = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(presets())
        raise OptionsError(
            f"{FLAG} {name}: {one_line(error)}; give a YAML file, or one that ships: {shipped}."
        ) from None
    except yaml.YAMLError as error:
        raise OptionsError(
            f"{FLAG} {name}: this is no YAML ({one_line(error)}); write 'trials: 12' and so on."
        ) from None
    if not isinstance(told, dict):
        raise OptionsError(f"{FLAG} {name}: it holds no options; write one a line, such as 'trials: 12'.")
    return _of_wandb(name, told) if isinstance(told.get("parameters"), dict) else told


def _arguments(name: str, option: str, value: Any) -> list[str]:
    """A flag with its values as a person would type them. Raises: OptionsError for what no flag can be told."""
    flag = f"--{option.replace('_', '-')}"
    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    values = value if isinstance(value, list) else [value]
    if any(isinstance(one, (dict, list)) or one is None for one in values):
        raise OptionsError(f"{name}: {option.replace('_', '-')} is {value!r}; give a value, or a list of values.")
    return [flag, *map(str, values)]


def _of_wandb(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """A sweep of W&B's as our options. Raises: OptionsError for what would mean something else here.

    Source: sweep configuration structure, docs.wandb.ai.
    """
    method = told.get("method")
    if method not in METHODS:
        known = ", ".join(METHODS)
        raise OptionsError(f"{name}: method {method!r} is none of {known}; a sweep here tries no grid to its end.")
    other = [key for key in told if key not in IDLE and key != "name"]
    if other:
        raise OptionsError(f"{name}: {other[0]!r} of a W&B sweep has no like here; leave it out, and see --help.")
    options: dict[str, Any] = {"sampler": METHODS[method]}
    options |= {ours: told[theirs] for theirs, ours in {"name": "name", "run_cap": "trials"}.items() if theirs in told}
    metric = told.get("metric") or {}
    if metric:
        options["objectives"] = _objective(name, metric)
    for parameter, said in told["parameters"].items():
        option, value = _parameter(name, str(parameter).replace("-", "_"), said)
        options[option] = value
    return options


def _objective(name: str, metric: Mapping[str, Any]) -> list[str]:
    aim, goal = metric.get("name"), metric.get("goal", "minimize")
    objective = OBJECTIVES.get(str(aim))
    if objective is None or objective.direction != goal:
        known = ", ".join(f"{one} ({OBJECTIVES[one].direction})" for one in OBJECTIVES)
        raise OptionsError(f"{name}: metric {aim!r} to {goal} is no objective here; known: {known}.")
    return [str(aim)]


def _parameter(name: str, parameter: str, said: Any) -> tuple[str, Any]:
    """An option and its value, for a parameter of W&B's."""
    listed = {"model": "model_sizes", "model_size": "model_sizes"} | VALUES
    if not isinstance(said, dict):
        raise OptionsError(f"{name}: parameter {parameter!r} says nothing; give it values, a value, or min and max.")
    if "values" in said or "value" in said:
        values = said.get("values", [said.get("value")])
        if parameter in listed:
            return ("model_sizes" if parameter == "model" else listed[parameter]), values
        if len(values) > 1:
            raise OptionsError(f"{name}: of {parameter!r} a sweep takes one value; --search-levers tries several.")
        return parameter, values[0]
    is_range = {"min", "max"} <= said.keys() and said.get("distribution") in LOG_UNIFORM
    if is_range and parameter in RANGES:
        return RANGES[parameter], [said["min"], said["max"]]
    raise OptionsError(
        f"{name}: {parameter!r} is searched in a way that has no like here; give values, or min and max with"
        f" distribution log_uniform_values for {' or '.join(RANGES)}."
    )
