"""What lies in a ladder's folder beside its records: predictions as they were frozen, gates as last evaluated."""

import json
from dataclasses import dataclass

from analysis.ladder.frozen import RungPrediction, frozen
from analysis.ladder.rungs import LadderTrial, Rung
from data.errors import UserError
from trainables.records.layout import LAYOUT
from trainables.records.plan import SweepPlan
from trainables.records.storage import Storage


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A rung's frozen prediction with its hash; None and the reason where it cannot be trusted."""

    prediction: RungPrediction | None
    sha256: str


@dataclass(frozen=True, kw_only=True)
class LadderFiles:
    """Frozen predictions and gates by place of the rung, and rungs of other sweeps that the fits begin from.

    A gate is its lines, each with whether it held.
    """

    predictions: dict[int, Frozen]
    gates: dict[int, tuple[tuple[bool, str], ...]]
    earlier: tuple[Rung, ...]


def load_ladder(storage: Storage, plan: SweepPlan) -> LadderFiles | None:
    """What lies in a ladder's folder; None for another kind of sweep. Raises: OSError."""
    if not plan.rung_trials:
        return None
    predictions: dict[int, Frozen] = {}
    gates: dict[int, tuple[tuple[bool, str], ...]] = {}
    for place in range(1, len(plan.models)):
        try:
            prediction, sha256 = frozen(storage, place)
            predictions[place] = Frozen(prediction=prediction, sha256=sha256)
        except FileNotFoundError:
            pass
        except UserError as error:
            predictions[place] = Frozen(prediction=None, sha256=str(error))
        if storage.exists(LAYOUT.gate(place)):
            lines = json.loads(storage.read_text(LAYOUT.gate(place)))
            gates[place] = tuple((bool(holds), str(says)) for holds, says in lines)
    return LadderFiles(predictions=predictions, gates=gates, earlier=load_rungs(storage))


def load_rungs(storage: Storage) -> tuple[Rung, ...]:
    """The rungs of other sweeps that a ladder begins from; none where it was given none."""
    try:
        found = json.loads(storage.read_text(LAYOUT.warm_start))
    except FileNotFoundError:
        return ()
    return tuple(Rung(**one | {"trials": tuple(LadderTrial(**trial) for trial in one["trials"])}) for one in found)
