"""Lists on a command line as people write them: values that commas part are told, a text with a comma is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from tyro.conf import UseAppendAction, arg

from data.command_line import parse
from data.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Options:
    """A list, one that is named otherwise, a pair, one that is given once for each value, and a single value."""

    rates: tuple[float, ...] = ()
    taken: Annotated[tuple[str, ...], arg(name="import")] = ()
    compare: tuple[str, str] | None = None
    frame: UseAppendAction[tuple[str, ...]] = ()
    layers: str = ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rates", "1,2"], "--rates 1,2: separate values by spaces, as in --rates 1 2"),
        (["--rates", "1", "2,3"], "as in --rates 2 3"),
        (["--rates=(1, 2,3)"], "as in --rates 1 2 3"),
        (["--import", "a.json,b.json"], "as in --import a.json b.json"),
        (["--compare", "a,b"], "as in --compare a b"),
        (["--rates", "1", "--layers", "q", "--rates=2"], "--rates is given twice"),
    ],
)
def test_values_that_commas_part_and_a_list_given_twice_are_told(arguments: Sequence[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(Options, arguments, "")
    assert said in str(caught.value)


def test_a_comma_in_a_single_value_a_text_an_address_or_a_file_is_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").touch()
    places = ["a,b", "s3://bucket/a,b", "the sea, at night"]
    given = ["--import", *places, "--layers", "q,k", "--frame", "x,y", "--frame", "z"]
    options = parse(Options, given, "")
    assert (options.taken, options.layers, options.frame) == (tuple(places), "q,k", ("x,y", "z"))
