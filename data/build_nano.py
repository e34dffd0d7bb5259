"""Rebuild the nano models: Galactica's architecture and tokenizer construction, small enough for a laptop.

    python data/build_nano.py --size nano-1m

Needs Debian's package `dict-wn` for the text (see data/build_corpora.py). Each model goes to data/nano/<size>/ as
fp16 safetensors with its tokenizer, one size after the other, so that a run that was cut off goes on with the sizes
that are missing; `python data/nano_card.py` then writes data/nano/MODEL_CARD.md from what ships.
nano-9m does not ship: whoever checks the size ladder on it builds it.
"""

import hashlib
import json
import math
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GenerationConfig, OPTConfig, OPTForCausalLM, PreTrainedTokenizerFast
from tyro.conf import arg

from data.command_line import command, parse
from data.errors import UserError
from data.science_text import heldout_lines, pretraining_lines

NANO = Path(__file__).resolve().parent / "nano"
VOCABULARY = 2048
POSITIONS = 512
ROW_TOKENS = 128
ROWS_PER_STEP = 16
SEED = 20221115

# Galactica's special tokens, in the order of their ids 0 to 22.
SPECIAL_TOKENS = [
    *("<s>", "<pad>", "</s>", "<unk>", "[START_REF]", "[END_REF]", "[IMAGE]"),
    *("<fragments>", "</fragments>", "<work>", "</work>"),
    *(f"[{side}_{kind}]" for kind in ("SUP", "SUB", "DNA", "AMINO", "SMILES", "I_SMILES") for side in ("START", "END")),
]
PAD, END = 1, 2
# Brackets stand alone; a run of one punctuation mark stands together.
PUNCTUATION = r"[\(\)\[\]\{\}]|([!\"\#\$%\&'\*\+,\-\./:;<=>\?\\\^_`\|\~])\1*"


@dataclass(frozen=True, kw_only=True)
class NanoSize:
    """Shape and recipe of one nano model."""

    width: int
    layers: int
    heads: int
    learning_rate: float
    tokens: int = 5_000_000  # real tokens seen in pretraining, padding not counted
    ships: bool = True


# The rates of 0.3m, 1m and 4m were chosen; the others lie on their slope, rate ~ parameters**-0.48.
SIZES = {
    "nano-0.1m": NanoSize(width=32, layers=2, heads=2, learning_rate=8.4e-3),
    "nano-0.3m": NanoSize(width=64, layers=3, heads=4, learning_rate=5e-3),
    "nano-0.6m": NanoSize(width=96, layers=4, heads=4, learning_rate=3.4e-3),
    "nano-1m": NanoSize(width=128, layers=4, heads=4, learning_rate=3e-3),
    "nano-2m": NanoSize(width=192, layers=4, heads=6, learning_rate=1.9e-3),
    "nano-4m": NanoSize(width=256, layers=4, heads=8, learning_rate=1.5e-3),
    "nano-9m": NanoSize(width=384, layers=5, heads=6, learning_rate=9.5e-4, ships=False),
}


def train_tokenizer(lines: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer built the way Galactica's is, with 2,048 entries, from `lines`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split(Regex(PUNCTUATION), behavior="isolated"),
            pre_tokenizers.Split("\n", behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=SPECIAL_TOKENS[4:],
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def new_model(size: NanoSize) -> OPTForCausalLM:
    """An untrained OPT model with Galactica's switches: gelu, no biases, no affine layer norms, dropout 0.1."""
    config = OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=size.width,
        word_embed_proj_dim=size.width,
        ffn_dim=4 * size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        max_position_embeddings=POSITIONS,
        activation_function="gelu",
        dropout=0.1,
        attention_dropout=0.1,
        do_layer_norm_before=True,
        enable_bias=False,
        layer_norm_elementwise_affine=False,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=0,
        eos_token_id=END,
    )
    return OPTForCausalLM(config)


def pack_rows(documents: list[list[int]], order: random.Random) -> torch.Tensor:
    """Whole documents, shuffled, in rows `</s>line</s>line</s>` of 128 tokens with padding at the end.

    Returns: int64 ids of shape [rows, 128]. A document that is longer than a row is cut.
    """
    rows, row = [], [END]
    for document in order.sample(documents, len(documents)):
        if len(row) > 1 and len(row) + len(document) + 1 > ROW_TOKENS:
            rows.append(row)
            row = [END]
        row += [*document[: ROW_TOKENS - 2], END]
    rows.append(row)
    return torch.tensor([row + [PAD] * (ROW_TOKENS - len(row)) for row in rows])


@torch.no_grad()
def heldout_perplexity(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, lines: list[str]) -> float:
    """Perplexity per token of `lines`, each a document `</s>line</s>` of its own; the closing `</s>` counts."""
    model.eval()
    documents = sorted((tokenizer(line).input_ids for line in lines), key=len)
    loss_sum, tokens = 0.0, 0
    for start in range(0, len(documents), 64):
        batch = [torch.tensor([END, *document, END]) for document in documents[start : start + 64]]
        ids_BT = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True, padding_value=PAD)
        logits_BTV = model(input_ids=ids_BT).logits.float()
        targets = ids_BT[:, 1:].flatten()
        loss = torch.nn.functional.cross_entropy(
            logits_BTV[:, :-1].flatten(0, 1), targets, ignore_index=PAD, reduction="sum"
        )
        loss_sum += loss.item()
        tokens += int((targets != PAD).sum())
    return math.exp(loss_sum / tokens)


def pretrain(
    model: OPTForCausalLM, documents: list[list[int]], size: NanoSize, tokens: int, bf16: bool = False
) -> None:
    """Train `model` in place on `tokens` tokens with AdamW; a short warm-up, then a cosine down to a tenth.

    `bf16` multiplies matrices in bfloat16 by autocast: half the time for nano-9m on a core that has AMX.
    """
    order = random.Random(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=size.learning_rate, betas=(0.9, 0.95), weight_decay=0.1)
    model.train()
    seen, step, started = 0, 0, time.monotonic()
    while seen < tokens:
        for ids_BT in pack_rows(documents, order).split(ROWS_PER_STEP):
            done = seen / tokens
            shape = min(1.0, 40 * done + 0.01) * (0.55 + 0.45 * math.cos(math.pi * done))
            for group in optimizer.param_groups:
                group["lr"] = size.learning_rate * shape
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                loss = model(input_ids=ids_BT, labels=ids_BT.masked_fill(ids_BT == PAD, -100)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            seen += int((ids_BT != PAD).sum())
            if step % 100 == 0:
                rate = seen / (time.monotonic() - started)
                print(f"step {step:5d}  tokens {seen:9,d}  loss {loss.item():.3f}  {rate:,.0f} tokens/s", flush=True)
            step += 1
            if seen >= tokens:
                break


def build(name: str, tokens: int, bf16: bool = False) -> None:
    """Train one size and save it, as fp16 safetensors with tokenizer, under data/nano/<name>/."""
    torch.manual_seed(SEED)
    size, lines, heldout = SIZES[name], pretraining_lines(), heldout_lines()
    tokenizer = train_tokenizer(lines)
    documents = tokenizer(lines).input_ids
    model = new_model(size)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{name}: {count:,} parameters, {len(lines):,} lines, {sum(map(len, documents)):,} tokens an epoch", flush=True
    )
    started = time.monotonic()
    pretrain(model, documents, size, tokens, bf16)
    seconds = time.monotonic() - started
    perplexity = heldout_perplexity(model, tokenizer, heldout)
    print(f"{name}: held-out perplexity {perplexity:.2f} on {len(heldout):,} lines after {seconds:,.0f} s", flush=True)
    save(model, tokenizer, NANO / name)
    facts: dict[str, float | str] = {"tokens": tokens, "epoch_tokens": sum(len(document) + 1 for document in documents)}
    facts |= {"lines": len(lines), "learning_rate": size.learning_rate, "seconds": round(seconds), "seed": SEED}
    facts |= {"precision": "bf16 autocast"} if bf16 else {}
    facts["lines_fingerprint"] = hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()
    (NANO / name / "pretraining.json").write_text(json.dumps(facts, indent=2) + "\n")


def save(model: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write fp16 safetensors, configs and tokenizer to `folder`, without any path of this machine."""
    model.generation_config = GenerationConfig(bos_token_id=0, pad_token_id=PAD, eos_token_id=END)
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name in ("config.json", "tokenizer_config.json"):
        settings = json.loads((folder / name).read_text())
        settings.pop("_name_or_path", None)
        if name == "tokenizer_config.json":
            settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        (folder / name).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which sizes are built, on how much."""

    size: Annotated[Literal[tuple(SIZES)] | None, arg(help_behavior_hint="")] = None  # pyright: ignore[reportInvalidTypeForm]
    """One size only. [all that ship]"""
    tokens: Annotated[int | None, arg(help_behavior_hint="")] = None
    """Tokens to see. [each size's own budget]"""
    bf16: bool = False
    """Multiply matrices in bfloat16, which is faster on a core that has units for it."""


@command
def main(arguments: Sequence[str]) -> int:
    """Build the size that is asked for (all that ship by default)."""
    options = parse(Options, arguments, "Rebuild the nano models from Debian's package dict-wn.")
    try:
        for name in [options.size] if options.size else [name for name, size in SIZES.items() if size.ships]:
            build(name, options.tokens or SIZES[name].tokens, options.bf16)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing; install Debian's package dict-wn.") from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
