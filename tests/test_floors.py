"""The house rules that show in the code itself: imports point down, without circles; light modules are light."""

from __future__ import annotations

import functools
import importlib.metadata
from pathlib import Path

import pytest

from tests.support.house_rules import (
    FLOORS,
    TRAINABLES_ROOMS,
    WITHOUT_RAY,
    House,
    arrows_up,
    circles,
    heavy_in_contract,
    more_than_standard,
    path_edits,
    ray_in_light_modules,
    read_house,
    room_arrows_up,
    room_circles,
    search_below_sweeps,
    shadows,
    unsafe_loading,
    working_folders,
)

ROOT = Path(__file__).resolve().parent.parent


@functools.cache
def our_house() -> House:
    return read_house(ROOT)


def test_every_floor_is_read() -> None:
    assert {name.split(".")[0] for name in our_house()} == set(FLOORS)
    assert "sweeps.run.launch" in our_house()
    assert "trainables.memory.predict" in our_house()["sweeps.planning.placement"].imports
    assert "ray.tune" in our_house()["sweeps.run.tuning"].imports  # it stands inside a function


def test_imports_point_down() -> None:
    assert arrows_up(our_house()) == []


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert circles(our_house()) == []


def test_rooms_of_a_floor_do_not_depend_on_one_another_in_a_circle() -> None:
    assert {"sweeps.planning", "sweeps.run", "analysis.reporting"} <= {name.rpartition(".")[0] for name in our_house()}
    assert room_circles(our_house()) == []


def test_checker_sees_rooms_in_a_circle(made) -> None:
    house = made(
        sweeps__a__one="from sweeps.b.two import x",
        sweeps__b__two="",
        sweeps__b__more="import sweeps.a.other",
        sweeps__a__other="",
    )
    assert circles(house) == []
    assert room_circles(house) == ["sweeps.a <- sweeps.b <- sweeps.a"] or room_circles(house) == [
        "sweeps.b <- sweeps.a <- sweeps.b"
    ]


def test_search_stays_on_the_top_floor() -> None:
    assert search_below_sweeps(our_house()) == []


def test_memory_and_step_load_without_ray() -> None:
    for name in WITHOUT_RAY:
        assert name in our_house()
    assert ray_in_light_modules(our_house()) == []


def test_settings_and_record_need_only_the_standard_library() -> None:
    records = ("trainables.records.settings", "trainables.records.record")
    assert [found for name in records for found in more_than_standard(our_house(), name, beside=records)] == []


def test_the_contract_loads_neither_torch_nor_ray_nor_transformers() -> None:
    assert heavy_in_contract(our_house()) == []


def test_rooms_of_trainables_import_only_those_below() -> None:
    assert set(TRAINABLES_ROOMS) == {name.split(".")[1] for name in our_house() if name.startswith("trainables.")}
    assert room_arrows_up(our_house()) == []


def test_no_script_folder_hides_another_module() -> None:
    assert shadows(our_house(), importlib.metadata.packages_distributions()) == []


def test_nobody_edits_the_path_or_sets_a_working_folder() -> None:
    assert path_edits(our_house()) == []
    assert working_folders(our_house()) == []


def test_nothing_is_loaded_that_can_run_code() -> None:
    assert unsafe_loading(our_house()) == []


@pytest.fixture
def made(tmp_path: Path):
    """Builds a house of a few files, and reads it."""

    def make(**files: str) -> House:
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return read_house(tmp_path)

    return make


@pytest.mark.parametrize(
    "line",
    [
        "import sweeps.plan",
        "from sweeps import plan",
        "from sweeps.plan import make_plan",
        "def f():\n    from sweeps.plan import make_plan",
        "if TYPE_CHECKING:\n    import sweeps.plan as p",
        "import importlib\nimportlib.import_module('sweeps.plan')",
        "import made_up_records",
    ],
)
def test_checker_sees_an_arrow_up(made, line: str) -> None:
    house = made(trainables__a=line, sweeps__plan="", tests__made_up_records="", sweeps__b="import trainables.a")
    assert len(arrows_up(house)) >= 1
    assert all(complaint.startswith("trainables.a imports ") for complaint in arrows_up(house))
    assert circles(house) == []


def test_checker_sees_a_circle_of_three_with_one_arrow_inside_a_function(made) -> None:
    house = made(
        data__a="from data.b import x", data__b="from . import c", data__c="def f():\n    from .a import y", data__d=""
    )
    (circle,) = circles(house)
    assert set(circle.split(" <- ")) == {"data.a", "data.b", "data.c"}
    assert arrows_up(house) == []


@pytest.mark.parametrize("line", ["import optuna", "from optuna import x", "from ray import tune", "import ray.tune"])
def test_checker_sees_search_below_sweeps(made, line: str) -> None:
    assert len(search_below_sweeps(made(analysis__a=line, sweeps__a=line))) >= 1
    assert search_below_sweeps(made(analysis__a="from ray import train", sweeps__a=line)) == []


def test_checker_sees_an_arrow_up_between_rooms(made) -> None:
    files = {"trainables__records__plan": "from trainables.memory.predict import x", "trainables__memory__predict": ""}
    assert room_arrows_up(made(**files)) == ["trainables.records.plan imports trainables.memory.predict, a room above"]
    assert (
        room_arrows_up(made(trainables__model__a="from trainables.records import plan", trainables__records__plan=""))
        == []
    )


def test_checker_sees_a_heavy_contract(made) -> None:
    files = {"trainables__records__plan": "from data.heavy import x", "data__heavy": "import torch"}
    assert heavy_in_contract(made(**files)) == ["trainables.records.plan loads data.heavy, which imports torch"]
    assert heavy_in_contract(made(**files | {"data__heavy": "def f():\n    import torch"})) == []


def test_checker_sees_ray_through_another_module(made) -> None:
    files = {"trainables__memory__meter": "from trainables.worker import x", "trainables__other": "import ray"}
    assert ray_in_light_modules(made(**files, trainables__worker="import arrays")) == []
    house = made(**files, trainables__worker="def f():\n    import ray.train")
    assert ray_in_light_modules(house) == ["trainables.memory.meter loads trainables.worker, which imports ray.train"]


def test_checker_sees_more_than_the_standard_library(made) -> None:
    house = made(trainables__records="import json, numpy\nfrom data.errors import UserError")
    assert more_than_standard(house, "trainables.records") == [
        "trainables.records imports data",
        "trainables.records imports numpy",
    ]


def test_checker_sees_names_that_hide_others(made) -> None:
    house = made(
        sweeps__signal="", sweeps__fine="", data__trainables="", analysis__wandb____init__="", trainables__json=""
    )
    assert shadows(house, {"wandb": ["wandb"]}) == [
        "analysis/wandb hides another module named wandb",
        "data/trainables hides another module named trainables",
        "sweeps/signal hides another module named signal",
    ]


@pytest.mark.parametrize("text", ["import sys\nsys.path.insert(0, 'x')", "from sys import path", "sys.path += ['x']"])
def test_checker_sees_path_edits(made, text: str) -> None:
    assert path_edits(made(data__a=text)) == ["data.a uses sys.path"]


@pytest.mark.parametrize("text", ["f(working_dir='.')", "env = {'working_dir': '.'}", "env['working_dir'] = '.'"])
def test_checker_sees_a_working_folder(made, text: str) -> None:
    assert working_folders(made(data__a=text)) == ["data.a sets working_dir"]


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import UnpicklingError, loads",
        "def f():\n    from cloudpickle import loads",
        "torch.load('x', weights_only=True)",
        "from torch import load",
        "f(trust_remote_code=True)",
        "f(trust_remote_code=flag)",
        "f(**{'trust_remote_code': True})",
    ],
)
def test_checker_sees_unsafe_loading(made, text: str) -> None:
    assert len(unsafe_loading(made(data__a=text))) >= 1
    allowed = "f(trust_remote_code=False)\nsafetensors.torch.load_file(x)\nfrom pickle import UnpicklingError"
    assert unsafe_loading(made(data__a=allowed, tests__b=text)) == []
