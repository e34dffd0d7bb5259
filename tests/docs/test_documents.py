"""What documents say is so: links lead somewhere, commands are programs with such flags, the drawing is the house."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("trainables/**/*.md")])
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
PROGRAM = re.compile(r"(?:\.venv/bin/)?python ((?:sweeps|analysis|data|tests|docs)/\S+\.py)(.*)")
FLAG = re.compile(r"(?<!\S)--[a-z][a-z0-9-]*")


def commands() -> list[tuple[str, str, str]]:
    """Page, program and the rest of each command of ours that a document shows, in a block or between backticks."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown = [line for block in FENCE.findall(text) for line in block.splitlines()]
        shown += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
        for line in shown:
            if match := PROGRAM.search(line):
                found.append((str(page.relative_to(ROOT)), match[1], match[2].partition("  #")[0]))
    return found


def drawing_module():
    spec = importlib.util.spec_from_file_location("draw_house", ROOT / "docs" / "draw_house.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_drawing_is_what_the_imports_say() -> None:
    draw_house = drawing_module()
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert page == draw_house.with_drawing(page, draw_house.drawn(draw_house.rooms())), "run python docs/draw_house.py"


def test_the_drawing_leaves_out_what_follows(tmp_path: Path) -> None:
    draw_house = drawing_module()
    files = {
        "sweeps/run/a.py": "from analysis.b import x\nimport data.c",
        "analysis/b.py": "def f():\n    import data.c",
        "data/c.py": "import json",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = draw_house.rooms(tmp_path)
    assert found == {"sweeps/run": {"analysis", "data"}, "analysis": {"data"}, "data": set()}
    arrows = [line.strip() for line in draw_house.drawn(found).splitlines() if "-->" in line]
    assert arrows == ["analysis --> data", "sweeps_run --> analysis"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    missing = [one for one in targets if "://" not in one and not (page.parent / one).exists()]
    if page.name != "CHANGELOG.md":  # which speaks of files as they were
        named = re.findall(r"`((?:sweeps|analysis|trainables|data|tests|docs)/[A-Za-z0-9_./-]+)`", FENCE.sub("", text))
        missing += [one for one in named if not (ROOT / one).exists() and not _is_made_up(one)]
    assert missing == []


def _is_made_up(name: str) -> bool:
    return "my_" in name


@pytest.mark.parametrize("program", sorted({program for _, program, _ in commands() if not _is_made_up(program)}))
def test_programs_that_documents_show_know_their_flags(program: str) -> None:
    """One `--help` for each program, and every flag that any document gives it."""
    assert (ROOT / program).is_file(), program
    shown = {flag for _, one, rest in commands() if one == program for flag in FLAG.findall(rest)}
    if not shown and program.startswith(("tests/", "docs/")):
        return  # a benchmark without flags has no help
    ended = subprocess.run(
        [sys.executable, str(ROOT / program), "--help"], capture_output=True, text=True, timeout=600, cwd=ROOT
    )
    assert ended.returncode == 0, ended.stderr
    known = set(FLAG.findall(re.sub(r"[│|,\[\]]", " ", ended.stdout)))
    assert shown <= known, (shown - known, program)


def test_commands_that_documents_show_can_be_parsed_by_a_shell() -> None:
    for page, program, rest in commands():
        assert shlex.split(rest) is not None, (page, program)


@pytest.mark.parametrize("page", ["README.md"])
def test_the_first_page_stays_short(page: str) -> None:
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= 150


def test_make_targets_that_documents_name_exist() -> None:
    known = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    named = {target for text in texts for target in re.findall(r"`make ([a-z][a-z-]+)", text)}
    assert {"smoke", "test"} <= named
    assert named - known == set()
