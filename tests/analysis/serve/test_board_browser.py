"""The board in a real browser: what a person sees, that text stays text, and that no request leaves the machine."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from analysis.sweep_table.front import standing_of
from tests.analysis.reporting.test_ladder_section import written_ladder
from tests.analysis.serve.test_board import ATTACK, TOKEN, Board
from tests.support.real_browser import NEEDS_CHROMIUM, keep_screenshot, requested_hosts, wait_for
from tests.support.record_factory import default_facts, make_record, make_samples, write_sweep
from trainables.records.documents import to_json
from trainables.records.record import TrialRecord
from trainables.records.storage import open_storage

pytestmark = NEEDS_CHROMIUM


def test_board_is_read_used_and_updated_without_reload(browser: Any, tmp_path: Path) -> None:
    made = [make_record(n, quality=0.1 * n, peak_mib=50 * n + 50, batch_size=8 * (n + 1)) for n in range(4)]
    made.append(make_record(4, model="nano-4m", quality=0.9, samples=make_samples(ATTACK, prompt=ATTACK)))
    board = Board(write_sweep(tmp_path, made, name=ATTACK))
    browser.get(f"http://127.0.0.1:{board.port}/")
    box = browser.find_element("id", "token")  # the log-in form
    box.send_keys(TOKEN)
    box.submit()
    wait_for(lambda: len(browser.find_elements("css selector", ".row")) == 5)
    assert "<script>alert(1)</script>" in browser.find_element("id", "name").text
    grid = browser.find_element("id", "table")
    grid.send_keys("\ue010")  # End
    grid.send_keys("\ue007")  # Enter
    wait_for(lambda: "<script>alert(1)</script>" in browser.find_element("id", "detail-body").text)
    choice = browser.find_element("css selector", "#filter-model option[value='nano-1m']")
    choice.click()
    wait_for(lambda: len(browser.find_elements("css selector", ".row")) == 4)
    open_storage(str(tmp_path)).write_text("trials/0005-c0ffee/record.json", to_json(make_record(5)))
    wait_for(lambda: len(browser.find_elements("css selector", ".row")) == 5)
    assert requested_hosts(browser) == {"127.0.0.1"}
    assert [
        entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE" and "401" not in entry["message"]
    ] == []
    assert board.end() == 0


def test_marks_in_the_browser_are_those_of_the_analysis(browser: Any, tmp_path: Path) -> None:
    draw = random.Random(3)
    made = [
        make_record(
            n,
            quality=draw.choice([None, round(draw.random(), 1)]),
            peak_mib=draw.randrange(50, 60),
            speed=float(draw.randrange(1, 9)),
            model=("nano-1m", "nano-4m")[n % 2],
        )
        for n in range(60)
    ]
    board = Board(write_sweep(tmp_path, made))
    browser.get(f"http://127.0.0.1:{board.port}/?token={TOKEN}")
    wait_for(lambda: "60 shown" in browser.find_element("id", "shown").text)

    def marked() -> dict[str, str]:
        """The number and mark of every row that has one; the table is made as high as all of its rows."""
        script = """
            document.getElementById("table").style.height = "4000px";
            dispatchEvent(new Event("resize"));
            const cells = [...document.querySelectorAll(".row > :first-child")].map((cell) => cell.textContent);
            return cells.filter((text) => text.includes(" "));
        """
        found = wait_for(lambda: browser.execute_script(script))
        return {text.split()[1]: text.split()[0] for text in found}

    def expected(records: list[TrialRecord]) -> dict[str, str]:
        standing = standing_of(records, default_facts().aims)
        return {str(int(t.split("-")[0])): "★" if t == standing.best else "◆" for t in standing.front}

    wait_for(lambda: marked() == expected(made))
    browser.find_element("css selector", "#filter-model option[value='nano-4m']").click()
    wait_for(lambda: "30 shown" in browser.find_element("id", "shown").text)
    wait_for(lambda: marked() == expected(made[1::2]))
    assert board.end() == 0


def test_board_of_another_question_shows_what_that_strives_for(browser: Any, tmp_path: Path) -> None:
    board = Board(write_sweep(tmp_path, [make_record(0)], objectives=("style", "spill_over")))
    browser.get(f"http://127.0.0.1:{board.port}/?token={TOKEN}")
    wait_for(lambda: browser.find_elements("css selector", ".row"))
    heads = [cell.text for cell in browser.find_elements("css selector", ".head > *")]
    assert heads[6:9] == ["Quality", "Style", "Spill-over"]
    # The factory's: style 0.9 on seen and 0.8 on unseen keywords, 0.1 of it spilled over.
    assert "0: style 0.850, spill-over 0.100" in browser.find_element("id", "figures").text
    assert board.end() == 0


def test_of_many_trials_only_those_in_sight_are_in_the_page(browser: Any, tmp_path: Path) -> None:
    board = Board(write_sweep(tmp_path, [make_record(n) for n in range(300)]))
    browser.get(f"http://127.0.0.1:{board.port}/?token={TOKEN}")
    wait_for(lambda: "300 shown" in browser.find_element("id", "shown").text)
    browser.execute_script("document.getElementById('table').scrollTop = 28 * 200")
    wait_for(lambda: browser.find_elements("id", "row-200"))
    assert len(browser.find_elements("css selector", ".row")) < 60
    assert board.end() == 0


def test_board_of_a_ladder_shows_rungs_predictions_and_gates(browser: Any, tmp_path: Path) -> None:
    uri = written_ladder(tmp_path)
    open_storage(uri).write_text("ladder/gate-1.json", json.dumps([[True, "fits the card"], [False, ATTACK]]))
    board = Board(uri)
    browser.get(f"http://127.0.0.1:{board.port}/?token={TOKEN}")
    wait_for(lambda: browser.find_element("id", "ladder").is_displayed())
    shown = browser.find_element("id", "ladder").text
    assert "nano-4m quote loss" in shown
    assert "extrapolated, not run" in shown
    assert "Gate before nano-1m" in shown
    assert "closed: <script>alert(1)</script>" in shown
    keep_screenshot(browser, "board-ladder")
    assert board.end() == 0
