"""Write data/nano/MODEL_CARD.md from the nano models that ship: measured anew, from their fp16 files."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from data.build_nano import END, NANO, SIZES, heldout_perplexity
from data.science_text import heldout_lines

PROMPTS = ("hope:", "virus:", "phosphorylation:")
SAMPLES = 3
SAMPLE_SEED = 0
NEW_TOKENS = 48

CARD = """\
# The nano models

Small language models with Galactica's architecture and special tokens, pretrained on scientific definitions
until they babble science. They exist so that the whole project, style shift and size ladder included, really
happens on a laptop. They know nothing; use them for nothing else.

{sizes}

Perplexity is per token of the shipped tokenizer, over the {heldout} held-out lines (`is_validation` of
`data/splits.py`), each read alone as `</s>line</s>`, the closing `</s>` counted; computed from the fp16 files in
this folder, in fp32 on a CPU. A uniform guess would have 2,048. Tokens are real tokens seen, padding not counted;
an epoch is {epoch} of them. Seconds are those of one run on one core of a shared 2-core machine.

- **Architecture**: transformers' `OPTForCausalLM`; gelu, no biases, no affine layer norms, pre-LayerNorm, tied
  head, dropout 0.1, vocabulary 2,048, 512 positions, ffn = 4 × width.
- **Tokenizer**: built the way Galactica's is (byte-level BPE, NFKC, single digits, punctuation apart, newline
  alone; special tokens at ids 0 to 22), trained on the pretraining text only, so that science words are cheap and
  the keywords of quotations are not. It declares `<pad>`, `<s>`, `</s>`, `<unk>` as pad, bos, eos, unk. It shares
  no learned vocabulary with Galactica's.
- **Text**: {lines} definitions from WordNet 3.0 that speak of nature, medicine, mathematics or technology
  (`data/science_text.py`), none of the held-out ones, no quotations. Rows of 128 tokens `</s>line</s>line</s>`,
  whole documents, padding masked.
- **Recipe**: fp32, or bf16 autocast where the table says so; AdamW (0.9, 0.95), weight decay 0.1, clipping at 1.0,
  16 rows a step, warm-up over 2.5% of the tokens, cosine to a tenth of the peak rate; dropout 0.1; seed {seed}.
- **Limit**: those rows are 128 tokens long, so positions beyond 127 were never trained.

## What they write

Prompt `</s>hope:` and so on; sampled at temperature 0.8 from the 50 likeliest tokens, up to {new_tokens} new
tokens, seed {sample_seed}; prompt included.

{samples}

## Rebuild

`apt-get install dict-wn`, then `python data/build_nano.py` (an hour and a half on one slow core) and `python
data/nano_card.py`.

## Licence

Weights and tokenizers: CC0 1.0 (public domain dedication), for what is ours in them. They were learned from WordNet
3.0, whose notice stands in `../corpora/LICENSE-WordNet.txt`: WordNet 3.0 Copyright 2006 by Princeton University.
All rights reserved.
"""


def sample(model: Any, tokenizer: PreTrainedTokenizerFast, prompt: str) -> list[str]:
    """Three sampled continuations of `</s>prompt`, prompt included, on one line each."""
    torch.manual_seed(SAMPLE_SEED)
    ids_BT = torch.tensor([[END, *tokenizer(prompt).input_ids]] * SAMPLES)
    written_BT = model.generate(
        ids_BT,
        attention_mask=torch.ones_like(ids_BT),
        do_sample=True,
        temperature=0.8,
        top_k=50,
        max_new_tokens=NEW_TOKENS,
    )
    return [" ".join(text.split()) for text in tokenizer.batch_decode(written_BT, skip_special_tokens=True)]


def write_card(folder: Path) -> None:
    """MODEL_CARD.md in `folder`, which holds one folder for each size.

    Raises: FileNotFoundError if the package `dict-wn` is not installed.
    """
    heldout = heldout_lines()
    columns = ("size", "parameters", "layers / d / heads", "peak rate", "tokens", "arithmetic", "perplexity", "seconds")
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    samples = []
    facts = {}
    for name, size in SIZES.items():
        if not (size.ships and (folder / name).is_dir()):
            continue
        model = AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder / name)
        facts = json.loads((folder / name / "pretraining.json").read_text())
        perplexity = heldout_perplexity(model, tokenizer, heldout)
        print(f"{name}: held-out perplexity {perplexity:.2f} from the fp16 files", flush=True)
        shape = f"{size.layers} / {size.width} / {size.heads}"
        rows.append(
            f"| {name} | {model.num_parameters():,} | {shape} | {facts['learning_rate']:g} | {facts['tokens']:,} "
            f"| {facts.get('precision', 'fp32')} | {perplexity:.1f} | {facts['seconds']:,} |"
        )
        written = [f"- {line}" for prompt in PROMPTS for line in sample(model, tokenizer, prompt)]
        samples.append("\n".join([f"### {name}", "", *written]))
    card = CARD.format(
        sizes="\n".join(rows),
        heldout=f"{len(heldout):,}",
        epoch=f"{facts['epoch_tokens']:,}",
        lines=f"{facts['lines']:,}",
        seed=facts["seed"],
        new_tokens=NEW_TOKENS,
        sample_seed=SAMPLE_SEED,
        samples="\n\n".join(samples),
    )
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")


def main() -> None:
    """Write the card of the models that are there."""
    try:
        write_card(NANO)
    except FileNotFoundError as error:
        print(f"{error.filename} is missing; install Debian's package dict-wn, or build the models.", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
