"""The shipped nano models load offline and know science the better the larger they are."""

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.splits import is_validation

DATA = Path(__file__).resolve().parents[2] / "data"
NANO = DATA / "nano"

# Vocabulary 2,048 and 512 + 2 positions of width d; a layer has 4 d**2 of attention and 2 * 4 d**2 of feed-forward
# weights; no biases, no layer-norm weights, and the head is the embedding.
#   32 * (2048 + 514) + 2 * 12 * 32**2  =   81,984 +    24,576
#   64 * (2048 + 514) + 3 * 12 * 64**2  =  163,968 +   147,456
#   96 * (2048 + 514) + 4 * 12 * 96**2  =  245,952 +   442,368
#  128 * (2048 + 514) + 4 * 12 * 128**2 =  327,936 +   786,432
#  192 * (2048 + 514) + 4 * 12 * 192**2 =  491,904 + 1,769,472
#  256 * (2048 + 514) + 4 * 12 * 256**2 =  655,872 + 3,145,728
PARAMETERS = {
    "nano-0.1m": 106_560,
    "nano-0.3m": 311_424,
    "nano-0.6m": 688_320,
    "nano-1m": 1_114_368,
    "nano-2m": 2_261_376,
    "nano-4m": 3_801_600,
}

# Galactica's ids, from its published tokenizer.
GALACTICA_IDS = {
    "<s>": 0,
    "<pad>": 1,
    "</s>": 2,
    "<unk>": 3,
    "[START_REF]": 4,
    "[END_REF]": 5,
    "[IMAGE]": 6,
    "<fragments>": 7,
    "</fragments>": 8,
    "<work>": 9,
    "</work>": 10,
    "[START_SUP]": 11,
    "[END_SUP]": 12,
    "[START_SUB]": 13,
    "[END_SUB]": 14,
    "[START_DNA]": 15,
    "[END_DNA]": 16,
    "[START_AMINO]": 17,
    "[END_AMINO]": 18,
    "[START_SMILES]": 19,
    "[END_SMILES]": 20,
    "[START_I_SMILES]": 21,
    "[END_I_SMILES]": 22,
}


@pytest.fixture(scope="module", params=PARAMETERS)
def size(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def models() -> dict[str, torch.nn.Module]:
    return {name: AutoModelForCausalLM.from_pretrained(NANO / name, dtype=torch.float32).eval() for name in PARAMETERS}


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(NANO / "nano-1m")


@pytest.fixture(scope="module")
def perplexities(models, tokenizer) -> dict[str, float]:
    lines = [line for line in (DATA / "corpora" / "science.txt").read_text().splitlines() if is_validation(line)][:300]
    assert len(lines) == 300
    return {name: mean_perplexity(model, tokenizer, lines) for name, model in models.items()}


@torch.no_grad()
def mean_perplexity(model, tokenizer, lines: list[str]) -> float:
    # One line at a time and from log-probabilities: nothing shared with the script that printed the card's figures.
    total, tokens = 0.0, 0
    for line in lines:
        ids = torch.tensor([[2, *tokenizer(line).input_ids, 2]])
        log_probabilities = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        total -= log_probabilities.gather(1, ids[0, 1:, None]).sum().item()
        tokens += ids.shape[1] - 1
    return math.exp(total / tokens)


def test_parameter_counts_are_those_worked_out_by_hand(models):
    assert {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()} == PARAMETERS


def test_the_architecture_is_galacticas(models, size):
    config = models[size].config
    assert config.model_type == "opt"
    assert config.activation_function == "gelu"
    assert config.tie_word_embeddings
    assert config.do_layer_norm_before
    assert not config.enable_bias
    assert not config.layer_norm_elementwise_affine
    assert (config.dropout, config.attention_dropout) == (0.1, 0.1)
    assert config.ffn_dim == 4 * config.hidden_size
    assert (config.vocab_size, config.max_position_embeddings) == (2048, 512)
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (1, 0, 2)


def test_weights_are_stored_as_fp16(size):
    assert json.loads((NANO / size / "config.json").read_text())["dtype"] == "float16"
    header_bytes = int.from_bytes((NANO / size / "model.safetensors").read_bytes()[:8], "little")
    header = json.loads((NANO / size / "model.safetensors").read_bytes()[8 : 8 + header_bytes])
    assert {tensor["dtype"] for name, tensor in header.items() if name != "__metadata__"} == {"F16"}


def test_special_tokens_have_galacticas_ids(size):
    tokenizer = AutoTokenizer.from_pretrained(NANO / size)
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in GALACTICA_IDS} == GALACTICA_IDS
    assert (tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token) == (
        "<pad>",
        "<s>",
        "</s>",
        "<unk>",
    )
    assert len(tokenizer) == 2048


def test_all_sizes_share_one_tokenizer():
    assert len({(NANO / name / "tokenizer.json").read_bytes() for name in PARAMETERS}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "virus: a 12-nm agent (DNA or RNA)!!",
        'hope: it\'s "quoted"\nand a new line',
        "  two  spaces ",
        "naïve café, 東京",
    ],
)
def test_text_comes_back_as_it_went_in(tokenizer, text):
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_digits_are_single_tokens_and_no_special_token_is_added(tokenizer):
    assert tokenizer.tokenize("1997") == ["1", "9", "9", "7"]
    assert tokenizer("1997").input_ids == tokenizer.convert_tokens_to_ids(["1", "9", "9", "7"])


def test_a_row_closes_with_the_end_token(tokenizer):
    ids = tokenizer("</s>hope: x</s>").input_ids
    assert (ids[0], ids[-1]) == (2, 2)


def test_science_words_are_cheaper_than_the_quotations_keywords(tokenizer):
    assert len(tokenizer.tokenize("a genus of plants")) == 4
    assert len(tokenizer.tokenize("love")) > 1
    assert len(tokenizer.tokenize("hope")) > 1


def test_perplexity_on_heldout_science_falls_with_size_and_is_far_below_a_uniform_guess(perplexities):
    for smaller, larger in itertools.pairwise(PARAMETERS):
        assert perplexities[larger] < 0.95 * perplexities[smaller]
    assert perplexities["nano-0.1m"] < 2048 / 10


def test_sampling_stops_at_the_end_token(models, tokenizer):
    generation = models["nano-4m"].generation_config
    assert (generation.eos_token_id, generation.pad_token_id) == (2, 1)
    torch.manual_seed(0)
    ids_BT = torch.tensor([tokenizer("</s>virus:").input_ids] * 16)
    written_BT = models["nano-4m"].generate(
        ids_BT, attention_mask=torch.ones_like(ids_BT), do_sample=True, top_k=50, max_new_tokens=100
    )
    assert (written_BT[:, ids_BT.shape[1] :] == 2).any(dim=1).float().mean() > 0.5


def test_all_that_ships_together_is_at_most_18_mb():
    # 2 bytes a parameter: 16.5 MB of weights for the six sizes; five had at most 15 MB before nano-2m joined them.
    files = [NANO / "MODEL_CARD.md", *(file for size in PARAMETERS for file in (NANO / size).iterdir())]
    assert sum(file.stat().st_size for file in files) <= 18_000_000


def test_weights_are_safetensors_and_nothing_is_pickled():
    suffixes = {path.suffix for path in NANO.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors", ".md"}


def test_no_file_names_a_path_of_the_machine_that_made_it():
    for path in NANO.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert "_name_or_path" not in text
        if path.name != "tokenizer.json":
            assert "/" not in text.replace("</s>", "").replace("</fragments>", "").replace("</work>", "")


def test_the_card_names_every_size_and_its_heldout_perplexity():
    card = (NANO / "MODEL_CARD.md").read_text(encoding="utf-8")
    for name, count in PARAMETERS.items():
        assert f"| {name} | {count:,} |" in card
    for prompt in ("hope:", "virus:", "phosphorylation:"):
        assert card.count(f"\n- {prompt}") == 3 * len(PARAMETERS)
