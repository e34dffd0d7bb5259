"""The report is one page that loads nothing, shows all text as text, and says what there is to say."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from analysis.report import render, write_report
from analysis.reporting import figures
from analysis.reporting.figure_style import PALETTE, label
from analysis.sweep_table.load import Sweep
from tests.support.record_factory import default_facts, make_record, make_samples, write_sweep
from trainables.records.record import Outcome, TrialRecord

ATTACK = "<script>alert(1)</script>"
VOID = {"meta", "br", "link", "img", "input", "base", "hr"}


class Page(HTMLParser):
    """The page's elements, the text outside of scripts, and the content of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.pieces: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.scripts[-1] += data
            return
        if "style" not in self.open:
            self.pieces.append(data)
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())


def sweep_of(
    records: list[TrialRecord], name: str = "made-up", *, unreadable: tuple[str, ...] = (), **facts: Any
) -> Sweep:
    return Sweep(facts=default_facts(name, **facts), records=tuple(records), unreadable=unreadable)


def some_records() -> list[TrialRecord]:
    return [
        make_record(0, quality=0.40, peak_mib=90, model="nano-0.3m", rate=3e-4),
        make_record(1, quality=0.71, peak_mib=212, speed=14_300.0, batch_size=32, micro_batch_size=8, rate=3e-3),
        make_record(2, quality=0.55, peak_mib=150, speed=900.0),
        make_record(
            3,
            outcome=Outcome.OUT_OF_MEMORY,
            error="412 MiB asked, the cap is 300 MiB",
            memory_explanation="Needs 350 MiB; the fused loss would save 90 MiB.",
        ),
        make_record(4, outcome=Outcome.PREDICTED_NOT_TO_FIT, capacity_mib=300, predicted_mib=500),
    ]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(sweep_of(some_records(), unreadable=("trials/x/record.json: broken",))))


def test_the_answer_is_one_sentence_with_the_best_trial(page: Page) -> None:
    sentence = (
        "Use nano-1m with batch 32 (micro-batch 8) and learning rate 3e-3: sample quality 0.710,"
        " a measured peak of 212 MiB and 14,300 tokens/s (trial 1)."
    )
    assert sentence in page.text
    assert "5 trials: 3 finished, 1 out of memory, 1 predicted not to fit." in page.text


def test_every_trial_is_in_the_table(page: Page) -> None:
    trials = next(table for table in page.tables if table[0][1] == "Trial")
    ids = [row[1].split()[0] for row in trials[1:]]
    assert ids == [f"000{number}-c0ffee" for number in range(5)]


def test_sortable_columns_are_buttons_under_aria_sort(page: Page) -> None:
    heads = [attributes for tag, attributes in page.elements if tag == "th" and "aria-sort" in attributes]
    assert heads
    assert {attributes["aria-sort"] for attributes in heads} == {"none"}
    assert sum(tag == "button" for tag, _ in page.elements) == len(heads)


def test_failures_say_why(page: Page) -> None:
    assert "412 MiB asked, the cap is 300 MiB" in page.text
    assert page.text.count("Needs 350 MiB; the fused loss would save 90 MiB.") == 1
    assert "Predicted: 500 MiB allocated" in page.text
    assert "trials/x/record.json: broken" in page.text


def test_the_absence_of_cuda_is_said_once(page: Page) -> None:
    assert page.text.count("Peak CUDA memory was not measured: torch sees no CUDA device on this machine.") == 1


def test_cuda_figures_need_no_such_note() -> None:
    assert "was not measured" not in Page(render(sweep_of([make_record(cuda=True)]))).text


def test_samples_stand_side_by_side_without_javascript(page: Page) -> None:
    assert "Base model nano-1m, before tuning" in page.text
    assert "Best trial trial 1, quality 0.710" in page.text
    assert "Lowest quality trial 0, quality 0.400" in page.text
    for prompt in ("hope:", "virus:", "phosphorylation:"):
        assert prompt in page.text


def test_samples_to_choose_from_are_best_first() -> None:
    text = render(sweep_of(some_records()))
    found = re.search(r"id='sample-data'>(.*?)</script>", text, re.DOTALL)
    assert found
    trials = json.loads(found[1])
    assert [trial["label"].split(",")[0] for trial in trials] == ["trial 1", "trial 2", "trial 0"]
    assert trials[0]["samples"][0]["tuned"] == "Hope is the thing that keeps the lamp lit."


def test_provenance_is_told(page: Page) -> None:
    for words in ("0123456789abcdef", "sha256:5c1e", "torch 2.13.0", "cpu, 2 host CPUs", "Seeds7"):
        assert words in page.text


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    links = [attributes[name] for _, attributes in page.elements for name in ("src", "href") if name in attributes]
    assert links
    assert all(link and link.startswith("#") for link in links)
    assert not {"link", "iframe", "img", "object", "embed", "base"} & {tag for tag, _ in page.elements}
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert allowed["default-src"] == "'none'"
    assert (allowed["script-src"], allowed["style-src"], allowed["img-src"]) == (
        "'unsafe-inline'",
        "'unsafe-inline'",
        "data:",
    )
    template = files("analysis.reporting").joinpath("templates", "page.html").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|https?:|fetch\(|innerHTML", template)


def test_markup_from_records_stays_text() -> None:
    record = make_record(
        0, model=f"org/{ATTACK}", samples=make_samples(tuned=f"tuned {ATTACK}", prompt=f"prompt {ATTACK}")
    )
    failed = make_record(1, outcome=Outcome.FAILED, error=f"error {ATTACK} <!-- <b>")
    hostile = sweep_of([record, failed], name=f"name {ATTACK}", question=ATTACK, unreadable=(f"line {ATTACK}",))
    harmless = sweep_of([make_record(0, samples=make_samples(prompt="love")), failed], unreadable=("line",))
    page = Page(render(hostile))
    for where in ("name", "tuned", "error", "line"):
        assert f"{where} {ATTACK}" in page.text
    assert len(page.scripts) == len(Page(render(harmless)).scripts)
    data = [script for script, (_, a) in zip(page.scripts, scripts_of(page), strict=True) if a.get("type")]
    assert len(data) == 8  # memory, anatomy, style, Pareto, parts, rate, loss, samples: one trial draws no more
    assert not any("<" in script for script in data)
    assert any(f"prompt {ATTACK}:" in json.dumps(json.loads(script)) for script in data)


def scripts_of(page: Page) -> list[tuple[str, dict[str, str | None]]]:
    return [element for element in page.elements if element[0] == "script"]


def test_labels_of_figures_hold_no_markup() -> None:
    assert label("<a href='x'>b</a>\nc") == "&lt;a href='x'&gt;b&lt;/a&gt; c"
    assert len(label("x" * 500)) == 60


def test_an_empty_sweep_has_a_report() -> None:
    page = Page(render(sweep_of([])))
    assert "No trial is recorded yet." in page.text
    assert page.tables == []
    assert "Which settings mattered" in page.text


def test_only_failed_trials_have_a_report() -> None:
    page = Page(render(sweep_of([make_record(0, outcome=Outcome.FAILED, error="disk full")])))
    assert "No trial finished, so there is nothing to recommend." in page.text
    assert "disk full" in page.text
    assert "No trial wrote samples." in page.text


def test_random_weights_recommend_the_fastest_and_say_why() -> None:
    made = [make_record(0, quality=None, speed=10.0, samples=()), make_record(1, quality=None, speed=20.0, samples=())]
    page = Page(render(sweep_of(made)))
    assert "(trial 1). It is the fastest on the front; quality was not measured (the weights are random)." in page.text


def test_a_lone_surrogate_does_not_stop_the_report(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / "one", [])
    folder = tmp_path / "one" / "trials" / "0000-c0ffee"
    folder.mkdir(parents=True)
    document = json.dumps(dataclasses.asdict(make_record(0, samples=make_samples(tuned="odd \ud800 end"))))
    (folder / "record.json").write_text(document)
    assert "odd ? end" in Path(write_report(uri)).read_text(encoding="utf-8")


def test_predicted_and_measured_are_never_one_trace() -> None:
    figure = figures.memory_against_batch(some_records())
    assert figure is not None
    drawn = [trace for trace in figure.to_dict()["data"] if trace["x"] != [None]]
    assert {trace["mode"] for trace in drawn} == {"markers"}
    predicted = [trace for trace in drawn if "predicted" in trace["name"]]
    assert predicted
    for trace in drawn:
        assert ("open" in trace["marker"]["symbol"]) == (trace in predicted)


def test_figures_of_nothing_are_none() -> None:
    for draw in (figures.memory_against_batch, figures.learning_rate, figures.loss_curves):
        assert draw([]) is None
    assert figures.pareto(sweep_of([])) is None


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_figure_colours_stand_out_on_both_grounds() -> None:
    template = files("analysis.reporting").joinpath("templates", "page.html").read_text(encoding="utf-8")
    grounds = re.findall(r"--ground: (#[0-9a-f]{6});", template)
    assert len(grounds) == 2
    for ground in grounds:
        for colour in PALETTE:
            low, high = sorted((luminance(ground), luminance(colour)))
            assert (high + 0.05) / (low + 0.05) >= 3, (ground, colour)
