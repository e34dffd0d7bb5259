import math
import random
import statistics
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, OPTForCausalLM

from data.batches import Rows, make_rows
from data.documents import encode_documents
from data.tokenizer import LoadedTokenizer, load_tokenizer
from tests.support.small_tokenizers import write_galactica_style
from trainables.model.models import NANO_FOLDER, NANO_SIZES, find_model, galactica_config, load_model
from trainables.quality.held_out import MeanLoss, mean_loss
from trainables.quality.sampling import Completion, SamplingSettings, _draw, cache_bytes, sample_completions

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


def test_greedy_takes_the_likeliest_token_and_one_completion_a_prompt(loaded: LoadedTokenizer) -> None:
    model, prompts = tiny_galactica(init_std=2.0), ["</s>hope:", "</s>a:"]
    greedy = sample_completions(model, loaded, prompts, sampling(greedy=True, per_prompt=5))
    nearly = sample_completions(model, loaded, prompts, sampling(temperature=NEARLY_GREEDY, per_prompt=1))
    assert greedy == nearly
    assert [len(row) for row in greedy] == [1, 1]


def test_few_rows_at_once_still_give_every_completion(loaded: LoadedTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = tiny_galactica(init_std=0.1), ["</s>hope:", "</s>a:", "</s>love:"]
    monkeypatch.setattr("trainables.quality.sampling.CPU_CACHE_BYTES", 1)
    rows = sample_completions(model, loaded, prompts, sampling(per_prompt=3))
    assert [len(row) for row in rows] == [3, 3, 3]
    assert len({completion.text for row in rows for completion in row}) > 6  # each row with chances of its own


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


def test_a_row_is_drawn_alike_whatever_is_drawn_beside_it(
    loaded: LoadedTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rows end at different times and leave the batch, prompts differ in length, and none of it may show in a text.
    model, prompts = tiny_galactica(init_std=0.1), ["</s>hope:", "</s>a:", "</s>phosphorylation:"]
    settings = sampling(per_prompt=8, max_new_tokens=60, temperature=1.0, top_p=0.9)
    together = sample_completions(model, loaded, prompts, settings)
    assert 0 < sum(completion.ended for row in together for completion in row) < 24
    monkeypatch.setattr("trainables.quality.sampling.CPU_CACHE_BYTES", 1)  # one row at a time
    assert sample_completions(model, loaded, prompts, settings) == together


def test_a_chance_picks_its_token_among_the_likeliest_that_make_up_top_p() -> None:
    # Probabilities 0.1, 0.5, 0.15, 0.25. Top-p 0.7 keeps tokens 1 and 3, together 0.75: token 1 up to 0.5 / 0.75.
    logits_BV = torch.tensor([0.1, 0.5, 0.15, 0.25]).log().expand(1000, 4)
    chances_B = (torch.arange(1000) + 0.5) / 1000
    drawn = _draw(logits_BV, chances_B, sampling(temperature=1.0, top_p=0.7)).bincount(minlength=4).tolist()
    assert drawn == pytest.approx([0, 667, 0, 333], abs=1)
    drawn = _draw(logits_BV, chances_B, sampling(temperature=1.0, top_p=1.0)).bincount(minlength=4).tolist()
    assert drawn == pytest.approx([100, 500, 150, 250], abs=1)
    # At temperature 0.5 probabilities are squared: 0.01, 0.25, 0.0225, 0.0625, of 0.345 together.
    drawn = _draw(logits_BV, chances_B, sampling(temperature=0.5, top_p=1.0)).bincount(minlength=4).tolist()
    assert drawn == pytest.approx([29, 725, 65, 181], abs=1)
    assert _draw(logits_BV, chances_B, sampling(temperature=1.0, top_p=1e-9)).unique().tolist() == [1]


def test_a_nucleus_wider_than_the_likeliest_tokens_is_drawn_from_whole() -> None:
    # 1,000 equally likely tokens, top-p 0.5: the nucleus holds 500, far more than are sorted first. A chance just below
    # 1 takes its last token, and even chances take every token of it about equally often.
    vocabulary = 1_000
    logits_BV = torch.zeros(4_000, vocabulary)
    logits_BV[:, ::2] += 1e-3  # every other token a little likelier: these 500 hold just over half
    settings = sampling(temperature=1.0, top_p=0.5)
    chances_B = torch.linspace(0, 1 - 1e-6, 4_000)
    drawn = _draw(logits_BV, chances_B, settings)
    assert set(drawn.tolist()) == set(range(0, vocabulary, 2))


def test_keys_and_values_are_counted_by_the_key_heads() -> None:
    # SmolLM2-135M: 30 layers, 9 heads of which 3 have keys, 64 wide: 2 x 30 x 3 x 64 x 4 bytes a token in fp32.
    config = LlamaConfig(hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3)
    assert cache_bytes(config, 100, torch.float32) == 100 * 46_080
    # Galactica 6.7b: 32 layers, 32 heads of 128, all with keys: 2 x 32 x 4096 x 2 bytes a token in bf16.
    assert cache_bytes(galactica_config("6.7b"), 1, torch.bfloat16) == 524_288


def test_progress_is_told_of_every_row(loaded: LoadedTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.quality.sampling.CPU_CACHE_BYTES", 1)  # one row at a time
    heard: list[tuple[int, int]] = []
    settings = sampling(per_prompt=2)
    sample_completions(tiny_galactica(), loaded, ["</s>a:"], settings, on_progress=lambda *done: heard.append(done))
    assert heard == [(1, 2), (2, 2)]


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
    lines: list[list[float]] = []
    for row, length in zip(rows.input_ids.tolist(), rows.lengths.tolist(), strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row[:length]])).logits[0].double()
        lines.append([])
        for place in range(length - 1):
            scores = logits[place].tolist()
            lines[-1].append(math.log(sum(math.exp(score) for score in scores)) - scores[row[place + 1]])
    tokens = sum(map(len, lines))
    assert tokens == sum(rows.lengths.tolist()) - 5
    expected = sum(map(sum, lines)) / tokens
    # Each line's loss off what its tokens would have at the mean: 5 of them, 4 degrees of freedom.
    spread = sum((sum(line) - len(line) * expected) ** 2 for line in lines) / 4
    for batch_size in (1, 2, 5, 100):
        found = mean_loss(model, rows, batch_size=batch_size, precision="fp32")
        assert found.nats_per_token == pytest.approx(expected, rel=1e-5)
        assert found.standard_error == pytest.approx(math.sqrt(5 * spread) / tokens, rel=1e-3)


def test_the_error_of_a_held_out_loss_is_what_drawing_other_lines_does(loaded: LoadedTokenizer) -> None:
    model = tiny_galactica(init_std=0.5).eval()
    chance = random.Random(0)
    lines = ["".join(chance.choices("abcdefgh ", k=chance.randint(8, 40))) for _ in range(400)]

    def measured(drawn: list[str]) -> MeanLoss:
        documents = encode_documents(loaded, drawn)
        rows = make_rows(documents, layout="padded", sequence_length=64, pad_id=loaded.pad_id, seed=0)
        return mean_loss(model, rows, batch_size=100, precision="fp32")

    parts = [measured(lines[start : start + 20]) for start in range(0, 400, 20)]
    spread = statistics.stdev(part.nats_per_token for part in parts)  # of twenty means: right within a third or so
    assert statistics.mean(part.standard_error for part in parts) == pytest.approx(spread, rel=0.35)


def test_a_model_that_knows_nothing_has_the_loss_of_a_fair_guess(loaded: LoadedTokenizer) -> None:
    found = mean_loss(chain(loaded), held_out_rows(loaded), batch_size=2, precision="fp32")
    assert found.nats_per_token == pytest.approx(3.9512437)  # ln 52
    assert found.standard_error == pytest.approx(0, abs=1e-5)  # every line is as bad


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
    full = mean_loss(model, rows, batch_size=2, precision="fp32").nats_per_token
    mixed = mean_loss(model, rows, batch_size=2, precision="bf16-amp").nats_per_token
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
