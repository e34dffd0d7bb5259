"""Real tokenizers, small enough to work out their ids by hand.

Galactica: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, a–z 4–29, `:` 30, space 31, 0–9 32–41, `19` 42, `.,()-<|>/` 43–51.
GPT-2: a–z 0–25, `:` 26, space 27, 0–9 28–37, `19` 38, `.,()-<|>/` 39–47, `<|endoftext|>` 48.
"""

import json
import string
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

SPACE = "Ġ"  # how the byte-level alphabet writes a space
CHARACTERS = [*string.ascii_lowercase, ":", SPACE, *string.digits, "19", *".,()-<|>/"]
GALACTICA_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")


def write_galactica_style(folder: Path, specials: tuple[str, ...] = GALACTICA_SPECIALS) -> Path:
    """A folder with a tokenizer.json alone, as Galactica's: digits apart, punctuation apart, no role declared."""
    tokenizer = _character_level([*GALACTICA_SPECIALS, *CHARACTERS])
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split(Regex(r"[:.,()\-<>|/]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(special, normalized=False, special=True) for special in specials])
    return _save(tokenizer, folder)


def write_gpt2_style(folder: Path, extra_tokens: int = 0) -> Path:
    """A folder with a tokenizer.json whose one special is `<|endoftext|>`; GPT-J's has `<|extratoken_…|>` besides."""
    extras = [f"<|extratoken_{number}|>" for number in range(1, extra_tokens + 1)]
    tokenizer = _character_level([*CHARACTERS, "<|endoftext|>"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    tokenizer.add_tokens(extras)
    return _save(tokenizer, folder)


def write_json(file: Path, content: dict) -> None:
    """Writes `content` to `file`."""
    file.write_text(json.dumps(content), encoding="utf-8")


def _character_level(vocabulary: list[str]) -> Tokenizer:
    model = models.BPE(vocab={token: index for index, token in enumerate(vocabulary)}, merges=[("1", "9")])
    tokenizer = Tokenizer(model)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _save(tokenizer: Tokenizer, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
