from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from data.prompts import PROMPTS, SEEN_PROMPTS, Prompt, prompt_text, prompts_for
from data.quotes import load_quotes
from data.splits import remove_duplicates, split_quotes
from data.tokenizer import load_tokenizer
from tests.support.small_tokenizers import write_galactica_style, write_gpt2_style


def words(prompts: tuple[Prompt, ...], kind: str) -> list[str]:
    return [prompt.keyword for prompt in prompts if prompt.kind == kind]


def test_there_are_eight_prompts_of_each_kind_and_none_twice() -> None:
    assert Counter(prompt.kind for prompt in PROMPTS) == {"seen": 8, "unseen": 8, "off_domain": 8}
    assert len({prompt.keyword for prompt in PROMPTS}) == 24


def test_the_four_words_of_the_mission_are_asked() -> None:
    assert {"hope", "inspiration"} <= set(words(PROMPTS, "seen"))
    assert {"virus", "phosphorylation"} <= set(words(PROMPTS, "off_domain"))


def test_seen_prompts_are_trained_on_and_the_others_are_no_shipped_keyword() -> None:
    quotes = remove_duplicates(load_quotes("shipped"))
    assert set(words(PROMPTS, "seen")) <= {quote.keyword for quote in split_quotes(quotes).train}
    keywords = {quote.keyword for quote in quotes}
    assert keywords.isdisjoint(words(PROMPTS, "unseen"))
    assert keywords.isdisjoint(words(PROMPTS, "off_domain"))


def test_shipped_keywords_give_the_fixed_prompts() -> None:
    assert prompts_for([quote.keyword for quote in load_quotes("shipped")]) == PROMPTS


def test_own_keywords_fill_up_by_frequency() -> None:
    own = ["rain"] * 3 + ["wind"] * 5 + ["snow"] * 5 + ["hope"]
    assert words(prompts_for(own), "seen") == ["hope", "snow", "wind", "rain"]


def test_at_most_eight_seen_prompts() -> None:
    own = [f"word{number}" for number in range(20) for _ in range(number + 1)] + ["time", "love"]
    expected = ["love", "time", "word19", "word18", "word17", "word16", "word15", "word14"]
    assert words(prompts_for(own), "seen") == expected


def test_own_keywords_are_neither_unseen_nor_off_domain() -> None:
    prompts = prompts_for(["solitude", "Virus", "love"])
    assert words(prompts, "seen") == ["love", "Virus", "solitude"]
    assert "solitude" not in words(prompts, "unseen")
    assert "virus" not in words(prompts, "off_domain")
    assert len(words(prompts, "unseen")) == len(words(prompts, "off_domain")) == 7


def test_commoner_spelling_is_asked_once() -> None:
    assert words(prompts_for(["Hope", "hope", "Hope"]), "seen") == ["Hope"]


@given(st.lists(st.sampled_from(["hope", "Hope", "virus", "solitude", "rain", "snow"]) | st.text(max_size=3)))
def test_no_word_is_asked_twice(own: list[str]) -> None:
    prompts = prompts_for(own)
    folded = [prompt.keyword.casefold() for prompt in prompts]
    assert len(folded) == len(set(folded))
    assert set(words(prompts, "seen")) <= set(own)
    assert len(words(prompts, "seen")) <= SEEN_PROMPTS


def test_prompt_is_the_beginning_of_a_document(tmp_path: Path) -> None:
    galactica = load_tokenizer(str(write_galactica_style(tmp_path / "galactica")))
    assert prompt_text(galactica, "hope") == "</s>hope:"
    # </s>, the 8th, 15th, 16th and 5th letter from id 4, colon
    assert galactica.tokenizer(prompt_text(galactica, "hope"))["input_ids"] == [2, 11, 18, 19, 8, 30]
    gpt2 = load_tokenizer(str(write_gpt2_style(tmp_path / "gpt2")))
    assert prompt_text(gpt2, "hope") == "<|endoftext|>hope:"
