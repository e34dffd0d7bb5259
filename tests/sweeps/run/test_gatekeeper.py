"""A gate opens where its conditions hold; a person may overrule what a prediction is worth, never memory or cost."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.ladder.climb import Climb
from analysis.ladder.frozen import RungPrediction
from analysis.ladder.gate import Condition
from sweeps.planning.options import LadderOptions
from sweeps.run.gatekeeper import Gatekeeper
from tests.support.record_factory import make_record
from tests.sweeps.search.test_ladder_search import ladder_plan
from trainables.records.layout import LAYOUT
from trainables.records.storage import open_storage


class FixedGate(Gatekeeper):
    """A gate whose conditions are given."""

    closed: tuple[str, ...] = ()

    def _conditions(self, climb: Climb, place: int, prediction: RungPrediction) -> list[Condition]:
        names = ("interval", "outcome", "memory", "cost", "gain")
        return [Condition(name=name, holds=name not in self.closed, says=f"{name} found") for name in names]


def ask(folder: Path, closed: tuple[str, ...], **options: Any) -> str | None:
    storage = open_storage(str(folder))
    prepared: Any = SimpleNamespace(storage=storage)
    unused: Any = None
    gate = FixedGate(prepared, LadderOptions(**options), unused, unused)
    gate.closed = closed
    climb = Climb(plan=ladder_plan(), records=(make_record(0, model="nano-0.3m"),))
    return gate.why_closed(climb, 1)


def test_a_gate_that_holds_waits_for_approval_and_freezes_its_prediction_once_it_has_it(tmp_path: Path) -> None:
    assert ask(tmp_path, ()) == "the gate before nano-1m holds and waits: go on with --approve"
    assert not (tmp_path / LAYOUT.rung_prediction(1)).exists()
    assert ask(tmp_path, (), approve=True) is None
    assert (tmp_path / LAYOUT.rung_prediction(1)).exists()


def test_evidence_is_overruled_by_name_and_the_gate_on_record_says_so(tmp_path: Path) -> None:
    closed = ask(tmp_path, ("gain",), approve=True)
    assert closed == "the gate before nano-1m is closed: gain found; --despite gain climbs all the same"
    assert ask(tmp_path, ("gain",), approve=True, despite=("gain",)) is None
    told = json.loads((tmp_path / LAYOUT.gate(1)).read_text())
    assert told[-1] == [False, "gain found; overruled by --despite gain"]
    assert ask(tmp_path, ("gain", "outcome"), approve=True, despite=("gain",)) is not None


@pytest.mark.parametrize("name", ["memory", "cost"])
def test_memory_and_cost_are_no_matter_of_opinion(tmp_path: Path, name: str) -> None:
    assert ask(tmp_path, (name,), approve=True, despite=("interval", "outcome", "gain")) == (
        f"the gate before nano-1m is closed: {name} found"
    )
