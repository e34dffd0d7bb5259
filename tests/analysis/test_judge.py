"""The judge's page over real HTTP: what it gives away, what it takes, and whom it lets in."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.judge import main
from analysis.serve.local_page import LONGEST_SHOWN, visible
from analysis.sweep_table.load import load_sweep
from tests.support.record_factory import make_record, make_samples, write_sweep
from tests.support.waiting import PATIENCE_SECONDS

SCRIPT = Path(__file__).resolve().parents[2] / "analysis" / "judge.py"
ATTACK = "<script>alert(1)</script>\x07\u202e"


class Judge:
    """The program as a process of its own, and a client of it."""

    def __init__(self, folder: str, *flags: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), folder, *flags],
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)(/[\w-]+/)", self.process.stdout.readline())
        assert found is not None, self.process.communicate()
        self.port, self.path = int(found[1]), found[2]

    def ask(
        self, method: str, path: str, body: Any = None, root: str | None = None, **headers: str
    ) -> tuple[int, str, dict[str, str]]:
        """Status, body and headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        given = {"Content-Type": "application/json"} if body is not None else {}
        content = body if isinstance(body, str) or body is None else json.dumps(body)
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, (self.path if root is None else root) + path, content, given)
        answer = connection.getresponse()
        told = answer.status, answer.read().decode(), dict(answer.getheaders())
        connection.close()
        return told

    def view(self) -> dict[str, Any]:
        return json.loads(self.ask("GET", "pair")[1])

    def judge(self, pair: str, choice: str) -> dict[str, Any]:
        status, body, _ = self.ask("POST", "judgements", {"pair": pair, "choice": choice})
        assert status == 200, body
        return json.loads(body)

    def end(self, how: signal.Signals = signal.SIGINT) -> str:
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert err == ""
        return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = [
        make_record(0, quality=0.2, samples=make_samples(tuned=f"first {ATTACK}")),
        make_record(1, quality=0.8, samples=make_samples(tuned=f"second {ATTACK}")),
    ]
    return write_sweep(tmp_path_factory.mktemp("judged"), made)


@pytest.fixture(scope="module")
def judge(folder: str) -> Iterator[Judge]:
    running = Judge(folder)
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGKILL)


def test_page_may_reach_nothing_but_its_own_program(judge: Judge) -> None:
    status, body, headers = judge.ask("GET", "")
    assert status == 200
    policy = headers["Content-Security-Policy"]
    nonce = re.search(r"script-src 'nonce-([\w-]+)'", policy)
    assert nonce is not None
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert body.count(f'nonce="{nonce[1]}"') == 2  # its one style and its one script
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert re.findall(r"""(?:src|href)=["'](?!data:)""", body) == []
    assert judge.ask("GET", "")[2]["Content-Security-Policy"] != policy  # a nonce is used once


def test_page_says_nothing_of_whose_a_text_is(judge: Judge) -> None:
    shown = judge.ask("GET", "pair")[1] + judge.ask("GET", "")[1]
    assert "c0ffee" not in shown
    assert set(judge.view()["pair"]) == {"id", "prompt", "question", "left", "right"}


def test_model_text_is_text_and_signs_that_do_not_show_are_written_out(judge: Judge) -> None:
    texts = judge.view()["pair"]["left"] + judge.view()["pair"]["right"]
    assert "\x07" not in texts
    assert "\u202e" not in texts
    assert visible(ATTACK) == "<script>alert(1)</script>␇⟨U+202E⟩"
    assert visible("a\x00\n\x7f\ud800é—½") == "a␀␊⟨U+007F⟩⟨U+D800⟩é—½"
    assert visible("a" * (LONGEST_SHOWN + 1_234)).endswith("a … (1,234 more characters)")
    page = judge.ask("GET", "")[1]
    assert "innerHTML" not in page
    assert "textContent = pair.left" in page


@pytest.mark.parametrize("root", ["/", "/wrong/", "/%ff/", "//"])
def test_without_the_token_there_is_nothing(judge: Judge, root: str) -> None:
    for path in ("", "pair", "agreement"):
        status, body, headers = judge.ask("GET", path, root=root)
        assert (status, "pair" in body) == (404, False)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content_Type": "text/plain"}, 415),
    ],
)
def test_foreign_pages_are_turned_away(judge: Judge, headers: dict[str, str], status: int) -> None:
    pair = judge.view()["pair"]["id"]
    assert judge.ask("POST", "judgements", {"pair": pair, "choice": "left"}, **headers)[0] == status
    assert judge.view()["done"] == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("not JSON", 400),
        ([], 400),
        ({"pair": 1, "choice": "left"}, 400),
        ({"pair": "nobody", "choice": "left"}, 400),
        ({"choice": "left"}, 400),
        ({"pair": "", "choice": "better"}, 400),
        ("x" * 5_000, 413),
    ],
)
def test_what_is_no_judgement_is_refused(judge: Judge, body: Any, status: int) -> None:
    assert judge.ask("POST", "judgements", body)[0] == status
    assert judge.view()["done"] == 0


def test_only_this_machine_can_connect(judge: Judge) -> None:
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    hexadecimal = f"{judge.port:04X}"
    places = {line.split()[1].split(":")[0] for line in listening.splitlines() if f":{hexadecimal} " in line[:40]}
    assert places == {"0100007F"}


def test_deck_is_judged_to_its_end_and_judgements_survive_being_killed(folder: str) -> None:
    first = Judge(folder)
    view = first.view()
    total = view["all"]  # three prompts of two trials against base, and hope: of the two trials
    assert total == 7
    seen = []
    for _ in range(3):
        seen.append(view["pair"]["id"])
        view = first.judge(seen[-1], "left")
    assert view["done"] == 3
    assert view["canGoBack"]
    back = json.loads(first.ask("POST", "back", {})[1])
    assert back["pair"]["id"] == seen[-1]
    assert first.judge(seen[-1], "tie")["done"] == 3
    first.end(signal.SIGKILL)

    second = Judge(folder)
    view = second.view()
    assert (view["done"], view["canGoBack"]) == (3, False)
    while view["pair"] is not None:
        assert view["pair"]["id"] not in seen
        seen.append(view["pair"]["id"])
        view = second.judge(seen[-1], "right")
    assert (view["done"], len(set(seen))) == (7, 7)
    assert json.loads(second.ask("GET", "agreement")[1])["lines"][0] == "7 pairs judged, 1 of them ties."
    assert "7 pairs judged, 1 of them ties." in second.end()


def test_agreement_alone_serves_nothing(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([folder, "--agreement"]) == 0
    out = capsys.readouterr().out
    assert "http" not in out
    assert "sample_quality agrees with the person on" in out


@pytest.mark.parametrize(
    ("case", "said"),
    [("nowhere", "does not exist"), ("empty", "holds no sweep"), ("no samples", "no two completions"), ("one", "two")],
)
def test_nothing_to_judge_is_one_line_and_exit_code_two(
    case: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, flags = tmp_path / case, []
    if case != "nowhere":
        place.mkdir()
    if case == "no samples":
        write_sweep(place, [make_record(0, samples=())])
    if case == "one":
        write_sweep(place, [make_record(0)])
        flags = ["--pairs", "trials"]
    assert main([str(place), *flags]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert said in err


def test_port_that_is_taken_is_one_line(judge: Judge, folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([folder, "--port", str(judge.port)]) == 2
    assert "--port" in capsys.readouterr().err


def test_judging_leaves_the_sweep_readable(folder: str) -> None:
    assert [record.number for record in load_sweep(folder).records] == [0, 1]
