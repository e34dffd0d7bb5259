import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from small_tokenizers import write_galactica_style
from transformers import OPTForCausalLM

from data.batches import Rows, encode_documents, make_rows
from data.quotes import load_quotes, load_science
from data.splits import is_validation, remove_duplicates, split_quotes
from data.tokenizer import LoadedTokenizer, load_tokenizer
from trainables.evaluate import mean_loss
from trainables.models import NANO_FOLDER, NANO_SIZES, find_model, galactica_config, load_model
from trainables.quality.measure import measure_quality
from trainables.quality.sampling import Completion, SamplingSettings, sample_completions
from trainables.quality.style import StyleJudge, fit_style_judge
from trainables.records import Evaluation, Sample
from trainables.trial_data import without_keyword

VOCABULARY = 52
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 52, "word_embed_proj_dim": 52, "ffn_dim": 32}
SMALL |= {"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 128}
NEARLY_GREEDY = 1e-4


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedTokenizer:
    """Galactica's kind of tokenizer with one token a character."""
    return load_tokenizer(str(write_galactica_style(tmp_path_factory.mktemp("tokenizer"))))


def tiny_galactica(init_std: float = 0.5, **changes: object) -> OPTForCausalLM:
    config = galactica_config("125m")
    config.update(SMALL | {"init_std": init_std} | changes)
    torch.manual_seed(0)
    return OPTForCausalLM(config).train()


def chain(loaded: LoadedTokenizer, *following: tuple[str, str]) -> OPTForCausalLM:
    """A model that knows the last token only, and what comes after it for sure: `following` pairs of tokens.

    One layer that adds nothing; embeddings one-hot; and an output layer that holds the pairs.
    """
    model = tiny_galactica(tie_word_embeddings=False)
    vocabulary = loaded.tokenizer.get_vocab()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.get_input_embeddings().weight.copy_(torch.eye(VOCABULARY))
        for token, follower in following:
            model.lm_head.weight[vocabulary[follower], vocabulary[token]] = 100.0
    return model


def sampling(**changes: object) -> SamplingSettings:
    fields: dict[str, Any] = {"per_prompt": 2, "max_new_tokens": 12} | changes
    return SamplingSettings(**fields)


# The style judge


@dataclass
class Texts:
    train_quotes: list[str]
    held_out_quotes: list[str]
    train_science: list[str]
    held_out_science: list[str]


@pytest.fixture(scope="module")
def texts() -> Texts:
    split = split_quotes(remove_duplicates(load_quotes("shipped")))
    science = load_science()
    return Texts(
        train_quotes=[quote.text for quote in split.train],
        held_out_quotes=[quote.text for quote in split.validation],
        train_science=without_keyword([line for line in science if not is_validation(line)]),
        held_out_science=without_keyword([line for line in science if is_validation(line)]),
    )


@pytest.fixture(scope="module")
def judge(texts: Texts) -> StyleJudge:
    return fit_style_judge(texts.train_quotes, texts.train_science)


def test_held_out_quotes_are_told_from_held_out_science(judge: StyleJudge, texts: Texts) -> None:
    labels = [1] * len(texts.held_out_quotes) + [0] * len(texts.held_out_science)
    scores = judge.scores(texts.held_out_quotes + texts.held_out_science)
    assert len(texts.held_out_quotes) >= 100
    assert roc_auc_score(labels, scores) > 0.95


def test_scores_are_probabilities_in_double_precision(judge: StyleJudge, texts: Texts) -> None:
    scores = judge.scores(texts.held_out_quotes)
    assert scores.dtype == numpy.float64
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_the_same_lines_make_the_same_judge(texts: Texts) -> None:
    few = texts.train_quotes[:200], texts.train_science[:200]
    first, second = fit_style_judge(*few), fit_style_judge(*few)
    assert first.version == second.version
    assert numpy.array_equal(first.scores(texts.held_out_quotes), second.scores(texts.held_out_quotes))
    assert first.version != fit_style_judge(texts.train_quotes[:199], few[1]).version


def test_a_judge_survives_json_bit_for_bit(judge: StyleJudge, texts: Texts) -> None:
    again = StyleJudge.from_json(judge.to_json())
    assert again.version == judge.version
    lines = texts.held_out_quotes + texts.held_out_science
    assert again.scores(lines).tobytes() == judge.scores(lines).tobytes()


def test_a_text_is_judged_the_same_in_any_company(judge: StyleJudge, texts: Texts) -> None:
    together = judge.scores(texts.held_out_quotes[:20])
    assert together.tolist() == [float(judge.scores([text])[0]) for text in texts.held_out_quotes[:20]]


def test_an_empty_text_scores_nothing(judge: StyleJudge) -> None:
    assert judge.scores(["", "   ", "\n\t"]).tolist() == [0.0, 0.0, 0.0]
    assert judge.scores([]).shape == (0,)


def test_a_judge_of_extreme_weights_gives_nought_or_one_without_overflow() -> None:
    sure = StyleJudge(weights=numpy.full(2**14, -1e6, dtype=numpy.float32), bias=0.0)
    assert sure.scores(["hope springs"]).tolist() == [0.0]
    sure = StyleJudge(weights=numpy.full(2**14, 1e6, dtype=numpy.float32), bias=0.0)
    assert sure.scores(["hope springs"]).tolist() == [1.0]


def test_a_judge_without_weights_goes_by_its_bias_alone() -> None:
    undecided = StyleJudge(weights=numpy.zeros(2**14, dtype=numpy.float32), bias=math.log(3))
    assert undecided.scores(["anything"]).tolist() == pytest.approx([0.75])  # odds of three to one


# The quality number


class KnownScores(StyleJudge):
    """A judge, made up for these tests, whose score is the text itself."""

    def scores(self, texts: Sequence[str]) -> NDArray[numpy.float64]:
        return numpy.array([float(text) for text in texts])


KNOWN = KnownScores(weights=numpy.zeros(1, dtype=numpy.float32), bias=0.0)


def sample(kind: Literal["seen", "unseen", "off_domain"], style: float, base_style: float) -> Sample:
    return Sample(prompt="x:", kind=kind, seed=0, text=str(style), base_text=str(base_style), ended=True)


def evaluation(before: float, after: float) -> Evaluation:
    return Evaluation(quote_loss_before=5.0, quote_loss=3.0, science_perplexity_before=before, science_perplexity=after)


def test_quality_is_wanted_style_times_what_was_not_spilled_times_what_was_kept() -> None:
    samples = [
        sample("seen", 0.9, 0.1),
        sample("seen", 0.7, 0.3),
        sample("seen", 0.8, 0.2),
        sample("unseen", 0.4, 0.05),
        sample("off_domain", 0.5, 0.1),
        sample("off_domain", 0.3, 0.2),
    ]
    quality = measure_quality(samples, evaluation(20.0, 25.0), KNOWN, SamplingSettings(temperature=0.7, top_p=0.9))
    assert quality.style_seen == pytest.approx(0.8)
    assert quality.style_unseen == pytest.approx(0.4)
    assert quality.style_off_domain == pytest.approx(0.4)
    assert quality.base_style_seen == pytest.approx(0.2)
    assert quality.base_style_unseen == pytest.approx(0.05)
    assert quality.base_style_off_domain == pytest.approx(0.15)
    assert quality.spill_over == pytest.approx(0.25)
    assert quality.retention == pytest.approx(0.8)
    assert quality.sample_quality == pytest.approx(0.7 * 0.75 * 0.8)  # (0.9 + 0.7 + 0.8 + 0.4) / 4 = 0.7
    assert (quality.sample_count, quality.temperature, quality.top_p) == (6, 0.7, 0.9)
    assert quality.version == KNOWN.version


def test_knowing_more_science_than_before_is_kept_whole_and_no_more() -> None:
    samples = [sample("seen", 0.5, 0.1), sample("off_domain", 0.1, 0.1)]
    quality = measure_quality(samples, evaluation(20.0, 10.0), KNOWN, SamplingSettings())
    assert quality.retention == 1.0
    assert quality.sample_quality == pytest.approx(0.5)


def test_less_quotation_style_off_domain_than_before_is_no_spill_over() -> None:
    samples = [sample("seen", 0.5, 0.1), sample("off_domain", 0.1, 0.3)]
    quality = measure_quality(samples, evaluation(20.0, 20.0), KNOWN, SamplingSettings())
    assert quality.spill_over == 0.0
    assert quality.sample_quality == pytest.approx(0.5)


def test_style_spilled_over_everything_is_worth_nothing() -> None:
    samples = [sample("seen", 1.0, 0.0), sample("unseen", 1.0, 0.0), sample("off_domain", 1.0, 0.0)]
    assert measure_quality(samples, evaluation(20.0, 20.0), KNOWN, SamplingSettings()).sample_quality == 0.0


def test_a_kind_of_prompt_without_samples_has_no_style() -> None:
    quality = measure_quality([sample("seen", 0.6, 0.1)], evaluation(20.0, 20.0), KNOWN, SamplingSettings())
    assert (quality.style_unseen, quality.style_off_domain, quality.spill_over) == (0.0, 0.0, 0.0)
    assert quality.sample_quality == pytest.approx(0.6)


# Sampling


def test_a_sample_stops_at_the_separator(loaded: LoadedTokenizer) -> None:
    model = chain(loaded, (":", "h"), ("h", "i"), ("i", "</s>"), ("</s>", "x"), ("x", "x"))
    row = sample_completions(model, loaded, ["</s>hope:"], sampling())[0]
    assert row == [Completion(text="hi", ended=True)] * 2


def test_a_sample_that_never_ends_is_cut_and_says_so(loaded: LoadedTokenizer) -> None:
    model = chain(loaded, (":", "h"), ("h", "a"), ("a", "h"))
    row = sample_completions(model, loaded, ["</s>hope:"], sampling(max_new_tokens=5))[0]
    assert row == [Completion(text="hahah", ended=False)] * 2


def test_a_sample_that_ends_at_once_is_empty_and_ended(loaded: LoadedTokenizer) -> None:
    row = sample_completions(chain(loaded, (":", "</s>")), loaded, ["</s>hope:"], sampling())[0]
    assert row == [Completion(text="", ended=True)] * 2


def test_special_tokens_do_not_enter_the_text(loaded: LoadedTokenizer) -> None:
    # A space is Ġ in the byte-level alphabet; runs of spaces become one.
    pairs = [(":", "<unk>"), ("<unk>", "a"), ("a", "<pad>"), ("<pad>", "Ġ"), ("Ġ", "<s>"), ("<s>", "b"), ("b", "</s>")]
    row = sample_completions(chain(loaded, *pairs), loaded, ["</s>hope:"], sampling())[0]
    assert row == [Completion(text="a b", ended=True)] * 2


def test_prompts_of_different_lengths_come_back_in_their_order(loaded: LoadedTokenizer) -> None:
    model = chain(loaded, ("a", "x"), ("b", "y"), ("c", "z"), *((letter, "</s>") for letter in "xyz"))
    prompts = ["</s>aab", "</s>c", "</s>ba", "</s>aaab", "</s>ac", "</s>a"]
    rows = sample_completions(model, loaded, prompts, sampling(per_prompt=3))
    assert [[completion.text for completion in row] for row in rows] == [[letter] * 3 for letter in "yzxyzx"]


def test_a_prompt_is_continued_alike_alone_and_in_company(loaded: LoadedTokenizer) -> None:
    model = tiny_galactica(init_std=2.0)
    prompts = ["</s>hope:", "</s>love:", "</s>life:", "</s>a:", "</s>virus:"]
    settings = sampling(temperature=NEARLY_GREEDY)
    together = sample_completions(model, loaded, prompts, settings)
    alone = [sample_completions(model, loaded, [prompt], settings)[0] for prompt in prompts]
    assert together == alone
    assert len({row[0].text for row in together}) > 1
    assert all(row[0].text for row in together)


def test_the_same_seed_gives_the_same_text_and_another_seed_another(loaded: LoadedTokenizer) -> None:
    model, prompts = tiny_galactica(init_std=0.1), ["</s>hope:", "</s>a:"]
    first = sample_completions(model, loaded, prompts, sampling(seed=1))
    torch.rand(100)
    assert sample_completions(model, loaded, prompts, sampling(seed=1)) == first
    assert sample_completions(model, loaded, prompts, sampling(seed=2)) != first
    assert first[0][0] != first[0][1]  # the samples of one prompt differ among themselves


def test_no_special_token_is_ever_seen_in_random_text(loaded: LoadedTokenizer) -> None:
    model = tiny_galactica(init_std=0.02)  # nearly uniform: each of the four specials has about one chance in 52
    settings = sampling(per_prompt=40, max_new_tokens=40, temperature=1.0, top_p=1.0)
    rows = sample_completions(model, loaded, ["</s>hope:"], settings)
    assert {completion.ended for completion in rows[0]} == {True, False}
    for completion in rows[0]:
        for special in ("<s>", "<pad>", "</s>", "<unk>", "\n", "  "):
            assert special not in completion.text
    # Forty tokens are all but sure to hold a special one, which is left out; nothing is as long as it could be.
    assert min(len(completion.text) for completion in rows[0] if not completion.ended) < 40


@pytest.mark.parametrize("is_training", [True, False])
def test_sampling_leaves_random_state_and_training_mode_alone(loaded: LoadedTokenizer, is_training: bool) -> None:
    model = tiny_galactica().train(is_training)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    sample_completions(model, loaded, ["</s>hope:", "</s>a:"], sampling())
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training is is_training
    assert all(module.training is is_training for module in model.modules())


def test_dropout_is_off_while_sampling(loaded: LoadedTokenizer) -> None:
    model = tiny_galactica(init_std=2.0, dropout=0.9)
    settings = sampling(temperature=NEARLY_GREEDY)
    in_training = sample_completions(model, loaded, ["</s>hope:"], settings)
    assert in_training == sample_completions(model.eval(), loaded, ["</s>hope:"], settings)


# Held-out loss


def held_out_rows(loaded: LoadedTokenizer) -> Rows:
    lines = ["hope: a lamp", "love: it is not love", "virus: small", "a: b", "truth: out in the end it comes"]
    documents = encode_documents(loaded, lines)
    return make_rows(documents, layout="padded", sequence_length=64, pad_id=loaded.pad_id, seed=0)


def test_held_out_loss_is_the_mean_over_tokens_of_minus_log_p(loaded: LoadedTokenizer) -> None:
    rows, model = held_out_rows(loaded), tiny_galactica().eval()
    losses = []
    for row, length in zip(rows.input_ids.tolist(), rows.lengths.tolist(), strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row[:length]])).logits[0].double()
        for place in range(length - 1):
            scores = logits[place].tolist()
            losses.append(math.log(sum(math.exp(score) for score in scores)) - scores[row[place + 1]])
    assert len(losses) == sum(rows.lengths.tolist()) - 5
    expected = sum(losses) / len(losses)
    for batch_size in (1, 2, 5, 100):
        found = mean_loss(model, rows, batch_size=batch_size, precision="fp32")
        assert found == pytest.approx(expected, rel=1e-5)


def test_a_model_that_knows_nothing_has_the_loss_of_a_fair_guess(loaded: LoadedTokenizer) -> None:
    found = mean_loss(chain(loaded), held_out_rows(loaded), batch_size=2, precision="fp32")
    assert found == pytest.approx(3.9512437)  # ln 52


def test_held_out_loss_draws_no_random_number_and_has_no_dropout(loaded: LoadedTokenizer) -> None:
    rows, model = held_out_rows(loaded), tiny_galactica(dropout=0.5)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    in_training = mean_loss(model, rows, batch_size=2, precision="fp32")
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert mean_loss(model.eval(), rows, batch_size=2, precision="fp32") == in_training
    assert not model.training


def test_held_out_loss_in_bf16_is_near_that_in_fp32(loaded: LoadedTokenizer) -> None:
    rows, model = held_out_rows(loaded), tiny_galactica(init_std=0.1)
    full = mean_loss(model, rows, batch_size=2, precision="fp32")
    mixed = mean_loss(model, rows, batch_size=2, precision="bf16-amp")
    assert mixed != full
    assert mixed == pytest.approx(full, rel=0.02)


def test_a_shipped_model_writes_the_same_text_for_the_same_seed() -> None:
    size = next(size for size in NANO_SIZES if (NANO_FOLDER / size).is_dir())
    source = find_model(size)
    model = load_model(source, weights="pretrained", dtype=torch.float32, attention="sdpa", seed=0)
    tokenizer = load_tokenizer(source.location)
    prompts = ["</s>hope:", "</s>phosphorylation:"]
    first = sample_completions(model, tokenizer, prompts, sampling(seed=3))
    assert sample_completions(model, tokenizer, prompts, sampling(seed=3)) == first
    assert all(completion.text for row in first for completion in row)
