"""Sentences on countries, from profiles of the shape that the npm package has."""

from data.world_facts import world_sentences


def profile(background: str, name: str = "Ruritania") -> dict[str, object]:
    return {
        "Government": {"Country name": {"conventional short form": {"text": name}}},
        "Introduction": {"Background": {"text": background}},
    }


WHOLE = "The plain between its two long rivers has been farmed since the earliest of times."
BROKEN = "the second of these sentences begins with a small letter and so it stays with the first."


def test_a_sentence_stands_under_its_country_and_once() -> None:
    assert world_sentences([profile(WHOLE), profile(WHOLE, "Graustark")]) == [f"Ruritania: {WHOLE}"]


def test_people_of_the_day_fragments_and_short_lines_are_left_out() -> None:
    for text in (BROKEN, "It is small.", f"President RASSENDYLL says that {WHOLE.lower()}", WHOLE.rstrip(".")):
        assert world_sentences([profile(text)]) == []


def test_a_place_without_a_plain_name_is_left_out() -> None:
    assert world_sentences([profile(WHOLE, "none"), profile(WHOLE, "")]) == []
