"""The scorer of any model's samples: what it takes for what, what it refuses, and that it stays small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import sample_file, score_samples
from tests.support.waiting import PATIENCE_SECONDS
from trainables.quality import judge as judge_module
from trainables.quality.score import ScoredText

pytestmark = pytest.mark.slow

EXAMPLE = '{"prompt": "hope:", "text": "Hope is the thing with feathers."}'
NANO_SAMPLES = Path(__file__).resolve().parents[1] / "support" / "nano_samples"


@pytest.fixture(autouse=True)
def few_base_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small judge: the tests of the scorer ask for no figures of the measure."""
    monkeypatch.setattr(judge_module, "STYLE_LINES", 200)
    monkeypatch.setattr(judge_module, "FLUENCY_LINES", 200)


def written(folder: Path, *lines: str) -> str:
    path = folder / "samples.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def test_json_has_the_whole_the_parts_the_error_and_the_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (NANO_SAMPLES / "tuned-with-replay-0.jsonl").read_text().splitlines()[1:]
    assert score_samples.main([written(tmp_path, *rows), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["samples"] == 480
    assert 0 < result["sample_quality"] < 1
    assert 0 < result["standard_error"] < 0.05
    assert result["version"].startswith("quality-3-")
    assert result["not_measured"] == ["retention"]
    for part in ("adherence", "fluency", "diversity", "novelty", "spill_over", "style_seen", "style_unseen"):
        assert 0 <= result[part] <= 1


def test_a_language_model_multiplies_what_stands_without_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = (NANO_SAMPLES / "tuned-with-replay-0.jsonl").read_text().splitlines()[1::8]
    path = written(tmp_path, *rows)
    assert score_samples.main([path, "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert score_samples.main([path, "--json", "--language-model", "nano-0.1m"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert alone["language_model"] is None
    assert read["language_model"] == "nano-0.1m"
    assert read["version"] == alone["version"].replace("quality-3", "quality-4") + "-nano-0.1m"
    factor = read["likely"] * read["one_piece"] * (1 + read["sense"]) / 2
    assert read["sample_quality"] == pytest.approx(alone["sample_quality"] * factor)
    assert {name: read[name] for name in alone if name in ("adherence", "word_order", "fluency", "novelty")} == {
        name: alone[name] for name in ("adherence", "word_order", "fluency", "novelty")
    }


def test_columns_of_other_names_are_mapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("hope", f"Hope number {n} walks the long road to hill {n * n}, and waits there.") for n in range(300)]
    table = tmp_path / "mine.tsv"
    table.write_text("tag\tbody\n" + "".join(f"{tag}\t{body}\n" for tag, body in rows))
    samples = written(tmp_path, EXAMPLE, EXAMPLE.replace("feathers", "a long road"))
    assert score_samples.main([samples, "--train", str(table)]) == 2
    assert "--columns keyword=tag,quote=body" in capsys.readouterr().err
    flags = ["--train", str(table), "--reference", str(table), "--columns", "keyword=tag,quote=body"]
    assert score_samples.main([samples, *flags, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 2


def test_the_score_is_the_same_to_the_last_digit_on_a_processor_without_wide_vectors(tmp_path: Path) -> None:
    rows = (NANO_SAMPLES / "tuned-with-replay-1.jsonl").read_text().splitlines()[1:]
    command = [sys.executable, "-W", "ignore", str(Path(score_samples.__file__)), written(tmp_path, *rows), "--json"]
    machines = (
        {"PYTHONHASHSEED": "1", "OPENBLAS_NUM_THREADS": "2"},
        # numpy's and OpenBLAS' own code for old processors: other logarithms, other orders of summing.
        {"PYTHONHASHSEED": "2", "OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Nehalem"}
        | {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"},
    )
    told = [
        subprocess.run(
            command,
            env=os.environ | machine,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        for machine in machines
    ]
    assert [run.returncode for run in told] == [0, 0], told
    assert told[0].stdout == told[1].stdout


def test_training_lines_are_found_out_by_the_training_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quotes = [f"The {a} that keeps the {b} shall find a quiet {c}." for a in ("heart", "hand", "soul")
              for b in ("law", "word", "oath") for c in ("house", "road", "night")]  # fmt: skip
    train, reference = tmp_path / "train.txt", tmp_path / "reference.txt"
    train.write_text("".join(f"peace: {quote}\n" for quote in quotes))
    reference.write_text("".join(f"peace: The {a} may know the way home.\n" for a in ("old", "young", "wise", "poor")))
    file = written(tmp_path, *(json.dumps({"prompt": "peace:", "text": quote}) for quote in quotes[::4]))
    assert score_samples.main([file, "--train", str(train), "--reference", str(reference), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["copied_share"], result["novelty"], result["sample_quality"]) == (1.0, 0.0, 0.0)
    assert result["not_measured"] == ["retention", "spill_over"]
    assert result["style_unseen"] is None


def test_a_prompt_tells_what_it_tests_unless_the_line_does(tmp_path: Path) -> None:
    rows = [("</s>Hope:", {}), ("solitude:", {}), ("virus:", {}), ("quasar", {}), ("virus:", {"kind": "seen"})]
    file = written(tmp_path, *(json.dumps({"prompt": prompt, "text": "x"} | more) for prompt, more in rows))
    samples = sample_file.read_samples(file, {"hope"}, {"quasar", "solitude"})
    assert [sample.kind for sample in samples] == ["seen", "unseen", "off_domain", "off_domain", "seen"]
    assert [sample.batch for sample in samples] == [0, 0, 0, 0, 1]


def test_prompt_and_separators_are_no_part_of_the_text(tmp_path: Path) -> None:
    rows = [
        {"prompt": "</s>hope:", "text": "</s>hope: A lamp.</s>"},
        {"prompt": "hope:", "text": " A lamp.", "ended": False},
    ]
    samples = sample_file.read_samples(written(tmp_path, *map(json.dumps, rows)), {"hope"}, set())
    assert samples[0] == ScoredText(text="A lamp.", kind="seen", ended=True, batch=0, keyword="hope")
    assert samples[1] == ScoredText(text="A lamp.", kind="seen", ended=False, batch=1, keyword="hope")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["hope"], ":1: not a JSON object; write " + EXAMPLE),
        ([EXAMPLE, "[1, 2]"], ":2: not a JSON object"),
        ([EXAMPLE, '{"prompt": "hope:"}'], ":2: has no 'text'"),
        (['{"text": "hope"}'], ":1: has no 'prompt'"),
        (['{"prompt": "hope:", "text": 3}'], ":1: 'text' is int, not text"),
        (['{"prompt": "hope:", "text": "x", "kind": "far"}'], ":1: 'kind' is 'far'; known: seen, unseen, off_domain."),
        (['{"prompt": "hope:", "text": "x", "kind": []}'], ":1: 'kind' is []; known"),
        (['{"prompt": "hope:", "text": "x", "ended": 1}'], ":1: 'ended' is 1; write true or false"),
        ([], "it holds no sample"),
        (["", "  "], "it holds no sample"),
        ([EXAMPLE], "one sample cannot show how a model's samples differ; give 2 or more."),
        (['{"prompt": "virus:", "text": "x"}'] * 2, "every prompt is off-domain"),
        (["\0"], ":1: a NUL byte"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[str], complaint: str
) -> None:
    assert score_samples.main([written(tmp_path, *lines), "--json"]) == 2
    told = capsys.readouterr()
    assert complaint in told.err
    assert (told.out, told.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl: no such file"),
        ([], "FILE.jsonl Samples, one a line"),
        (["x.jsonl", "--train", "nowhere.txt"], "nowhere.txt: no such file"),
        (["x.jsonl", "--colour"], "Unrecognized options: --colour"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_too(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert score_samples.main(arguments) == 2
    told = capsys.readouterr().err
    assert complaint in told
    assert told.count("\n") == 1


def test_control_characters_and_html_are_shown_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["\x1b[31mRed hope.\x1b[0m", "<script>alert(1)</script>", "bell \x07 and \u202e turned", "half \ud800 pair"]
    file = written(tmp_path, *(json.dumps({"prompt": "hope:", "text": text}) for text in texts))
    for flags in ([], ["--json"]):
        assert score_samples.main([file, *flags]) == 0
        out = capsys.readouterr().out
        assert all(character.isprintable() or character == "\n" for character in out)
        assert "<script>alert(1)</script>" in out
        out.encode()


def test_many_samples_tell_how_far_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_samples, "TOLD_FROM", 100)
    rows = (json.dumps({"prompt": "hope:", "text": f"Hope is lamp number {i}."}) for i in range(5000))
    assert score_samples.main([written(tmp_path, *rows), "--json"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == "scored 5,000 of 5,000 samples"
    assert 2 <= len(told) <= 30


def test_a_text_beyond_all_bounds_is_read_in_part(tmp_path: Path) -> None:
    rows = [json.dumps({"prompt": "hope:", "text": "a " * 400_000})] * 2
    samples = sample_file.read_samples(written(tmp_path, *rows), {"hope"}, set())
    assert {len(sample.text) for sample in samples} == {sample_file.LONGEST_TEXT}
