"""Base text, prompts and template of a person's own; each mistake is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.domain import (
    SHIPPED_TEXTS,
    Domain,
    checked_template,
    load_base_text,
    load_prompts,
    make_domain,
    shipped_domain,
)
from data.errors import DataError
from data.prompts import GENERAL_OFF_DOMAIN, OFF_DOMAIN, Prompt
from data.quote_rows import Quote
from data.splits import is_validation

PRODUCTS = [
    Quote(keyword=name, text=text)
    for name, text in (
        ("kettle", "Boils a litre of water in two minutes and switches itself off."),
        ("lamp", "Warm light for long evenings, dimmed with a touch."),
        ("chair", "Four oak legs and a seat that forgives."),
    )
]
STEPS = [f"Stir {count} spoons of flour into the cold milk and wait." for count in range(1, 61)]


def own(tmp_path: Path, lines: list[str], name: str = "cookbook.txt") -> str:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def made(base_text: str, prompts: list[Prompt] | None = None, template: str | None = None) -> Domain:
    return make_domain(base_text, prompts or [], template, PRODUCTS, PRODUCTS)


def test_a_cookbook_is_base_text_and_a_tenth_of_it_is_held_out(tmp_path: Path) -> None:
    domain = made(own(tmp_path, STEPS))
    assert domain.base_lines == tuple(STEPS)
    assert domain.base_validation == tuple(line for line in STEPS if is_validation(line))
    assert set(domain.base_train) | set(domain.base_validation) == set(STEPS)
    assert domain.base_texts == list(domain.base_train)
    assert [prompt.keyword for prompt in domain.prompts_for(["kettle"]) if prompt.kind == "off_domain"] == list(
        OFF_DOMAIN
    )


def test_shipped_general_text_is_asked_general_words() -> None:
    domain = made("general")
    words = [prompt.keyword for prompt in domain.prompts_for(["kettle"]) if prompt.kind == "off_domain"]
    assert words == list(GENERAL_OFF_DOMAIN)
    assert "general" in domain.to_json()
    assert domain.base_lines[0] not in domain.to_json()


def test_heads_of_the_base_text_are_its_prompts_and_no_part_of_its_style(tmp_path: Path) -> None:
    lines = [f"dish {count}: {line}" for count, line in enumerate(STEPS)]
    domain = made(own(tmp_path, lines))
    held_out = [line for line in lines if is_validation(line)]
    words = [prompt.keyword for prompt in domain.prompts_for(["kettle"]) if prompt.kind == "off_domain"]
    assert words == [line.split(":")[0] for line in held_out][:8]
    assert domain.base_texts[0].startswith("Stir")


def test_a_domain_comes_back_from_json_as_it_went_in(tmp_path: Path) -> None:
    prompts = [Prompt("kettle", "seen"), Prompt("Stir the", "off_domain")]
    whole = made(own(tmp_path, STEPS), prompts, "About {keyword}:\\n{text}")
    for domain in (whole, shipped_domain(), *map(made, SHIPPED_TEXTS)):
        assert Domain.from_json(domain.to_json()) == domain


def test_a_template_makes_lines_and_openings(tmp_path: Path) -> None:
    domain = made(own(tmp_path, STEPS), template="Sell the {keyword}.\\n{text}")
    assert domain.line(PRODUCTS[1]) == "Sell the lamp.\nWarm light for long evenings, dimmed with a touch."
    assert domain.opening("lamp") == "Sell the lamp.\n"
    assert shipped_domain().line(PRODUCTS[1]) == PRODUCTS[1].line
    assert shipped_domain().opening("lamp") == "lamp:"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("Sell the {keyword}.", "no place for the text"),
        ("{text} is what {keyword} says", "no place for the text at its end"),
        ("{name}: {text}", r"knows no \{name\}"),
        ("{keyword: {text}", "cannot be read"),
        ("</s>{keyword}: {text}", "adds separators itself"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused(template: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        checked_template(template)


def test_base_text_that_overlaps_the_quotes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 of its lines stand among the quotes, such as 'Four oak legs"):
        made(own(tmp_path, [*STEPS, "Four oak legs, and a seat that forgives!"]))
    with pytest.raises(DataError, match="1 of its lines stand among the quotes"):
        made(own(tmp_path, [*STEPS, PRODUCTS[0].line]))


def test_base_text_that_is_short_missing_or_has_separators_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="39 different lines, too few"):
        load_base_text(own(tmp_path, STEPS[:39] * 2))
    with pytest.raises(DataError, match="no such file"):
        load_base_text(str(tmp_path / "none.txt"))
    with pytest.raises(DataError, match=r"cookbook\.txt:2: has </s> in it"):
        load_base_text(own(tmp_path, [STEPS[0], "Serve.</s>"]))


def test_prompts_come_from_a_file_line_by_line(tmp_path: Path) -> None:
    path = own(tmp_path, ["seen: kettle", "", "off-domain: Stir the", "unseen: toaster", "seen: kettle"], "prompts.txt")
    assert load_prompts(path) == [
        Prompt("kettle", "seen"),
        Prompt("Stir the", "off_domain"),
        Prompt("toaster", "unseen"),
    ]
    with pytest.raises(DataError, match=r"prompts\.txt:1: no kind and prompt; write one of seen, unseen, off_domain"):
        load_prompts(own(tmp_path, ["known: kettle"], "prompts.txt"))
    with pytest.raises(DataError, match="no prompts in it"):
        load_prompts(own(tmp_path, [""], "prompts.txt"))


def test_prompts_that_are_all_keywords_test_nothing_and_are_refused(tmp_path: Path) -> None:
    base = own(tmp_path, STEPS)
    keywords = [Prompt(word, "off_domain") for word in ("Kettle", "lamp", "chair")]
    with pytest.raises(DataError, match="the off-domain prompt 'Kettle' is a keyword of the data"):
        made(base, keywords)
    with pytest.raises(DataError, match="the unseen prompt 'lamp' is a keyword"):
        made(base, [Prompt("lamp", "unseen")])
    with pytest.raises(DataError, match="the seen prompt 'sofa' is no keyword of the training lines"):
        made(base, [Prompt("sofa", "seen"), Prompt("Stir", "off_domain")])
    with pytest.raises(DataError, match="no off-domain prompt is left"):
        made(base, [Prompt("lamp", "seen")])
