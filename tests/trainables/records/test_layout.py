"""The names in a sweep's folder: as sweeps of before have them, and written down in one place."""

from __future__ import annotations

import ast
from pathlib import Path

from trainables.records.layout import LAYOUT, TrialLayout

ROOT = Path(__file__).resolve().parents[3]


def test_names_are_those_of_sweeps_that_lie_about() -> None:
    trial = LAYOUT.trial("0007-c0ffee")
    assert LAYOUT.facts == "sweep.json"
    assert trial.proposal == "trials/0007-c0ffee/proposal.json"
    assert trial.record == "trials/0007-c0ffee/record.json"
    assert trial.report == "trials/0007-c0ffee/report.json"
    assert trial.checkpoint(40) == "trials/0007-c0ffee/checkpoints/00000040"
    assert LAYOUT.quotes("train") == "data/train.jsonl"
    assert LAYOUT.gate(1) == "ladder/gate-1.json"


def test_no_other_module_spells_a_file_of_a_sweep() -> None:
    trial = TrialLayout("")
    names = [name for name, kept in vars(TrialLayout).items() if isinstance(kept, property)]
    files = {Path(getattr(trial, name)).name for name in names if "." in getattr(trial, name)}
    files |= {LAYOUT.facts, LAYOUT.judge, LAYOUT.warm_start, LAYOUT.report}
    spelled = [
        f"{path.relative_to(ROOT)}: {node.value!r}"
        for floor in ("sweeps", "analysis", "trainables")
        for path in sorted((ROOT / floor).rglob("*.py"))
        if path.name not in ("layout.py", "checkpoints.py")  # a checkpoint has a progress.json of its own
        for node in code_constants(ast.parse(path.read_text(encoding="utf-8")))
        if any(name in str(node.value) for name in files)
    ]
    assert {"record.json", "progress.json"} < files
    assert not spelled


def code_constants(tree: ast.Module) -> list[ast.Constant]:
    """Strings that a program works with: no docstrings and help texts."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
    ]
