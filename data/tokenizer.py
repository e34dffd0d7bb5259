"""The tokenizer that the files describe, with one separator that really is one token.

A row is `separator + keyword: quote + separator` and a prompt is `separator + keyword:`. Everything rests on the
separator: if it falls into pieces, a model learns no end of text; if its id lies past the embedding, no step succeeds.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from data.errors import UserError, one_line
from data.hub import asking_the_hub, hub_trouble

END_OF_TEXT = "<|endoftext|>"
ROLES = {
    "eos_token": ("</s>", END_OF_TEXT),
    "bos_token": ("<s>",),
    "unk_token": ("<unk>",),
    "pad_token": ("<pad>", "<|padding|>", "<|pad|>", "[PAD]", "<|extratoken_1|>"),
}
"""Names under which each role is looked for when a tokenizer does not declare it. Galactica's are `</s>`, `<s>`,
`<unk>` and `<pad>`; GPT-J has no pad, but `<|extratoken_1|>`, which no text uses."""

VOCABULARY_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "spiece.model", "vocab.txt")
PROBE = "Hope 1984 (it's «new» -- ½ off)\n\tCO2, naïve; hope."
"""Digits, punctuation, a line end and a sign that NFKC takes apart: where tokenizers of one vocabulary differ."""


class TokenizerError(UserError):
    """No tokenizer, or one that would spoil training; the message is one line that says how, and how to mend it."""


class ContractError(TokenizerError):
    """A tokenizer that is there, and would spoil training."""


@dataclass(frozen=True, kw_only=True)
class LoadedTokenizer:
    """A tokenizer that has been checked, and the ids that rows are made of.

    `vocabulary_size` is the largest id plus one. `repairs` says in words what had to be set. `file` is the
    tokenizer.json that describes it, where there is one.
    `pad_id` may equal `separator_id` where a tokenizer has no token to spare (GPT-2): padding is therefore always told
    by its position, never by its id.
    """

    tokenizer: PreTrainedTokenizerBase
    separator: str
    separator_id: int
    pad_id: int
    vocabulary_size: int
    repairs: tuple[str, ...]
    file: Path | None = None

    @property
    def identity(self) -> str:
        """A digest of all that text is split by: tokenizers of one identity make the same documents of it."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        rules = self.tokenizer.name_or_path if backend is None else backend.to_str()
        return hashlib.blake2b(f"{self.separator}\n{rules}".encode(), digest_size=16).hexdigest()


def load_tokenizer(name_or_path: str) -> LoadedTokenizer:
    """The tokenizer of a folder or of a model on the hub, with missing special tokens set to those that it has.

    Raises: TokenizerError if there is none; ContractError if its separator is not one token that comes back as it went
    in. `data.contract` checks the rest.
    """
    tokenizer, repairs, file = _open(name_or_path)
    repairs += _declare_special_tokens(tokenizer)
    separator, separator_id = _check_separator(tokenizer, name_or_path)
    repairs += _stand_in(tokenizer, separator, separator_id)
    pad_id = tokenizer.pad_token_id
    assert isinstance(pad_id, int)
    return LoadedTokenizer(
        tokenizer=tokenizer,
        separator=separator,
        separator_id=separator_id,
        pad_id=pad_id,
        vocabulary_size=max(tokenizer.get_vocab().values()) + 1,
        repairs=tuple(repairs),
        file=file,
    )


def check_embedding(loaded: LoadedTokenizer, embedding_rows: int) -> None:
    """Passes when every id of the tokenizer has a row in the model's embedding.

    Raises: ContractError naming the tokens that have none.
    """
    if loaded.vocabulary_size <= embedding_rows:
        return
    vocabulary = loaded.tokenizer.get_vocab()
    outside = sorted((index, token) for token, index in vocabulary.items() if index >= embedding_rows)
    named = ", ".join(f"{token} (id {index})" for index, token in outside[:3])
    raise ContractError(
        f"{len(outside)} tokens, such as {named}, lie past the model's {embedding_rows} embedding rows and would stop "
        f"training with an IndexError; use the tokenizer that came with the model, without added tokens."
    )


Opened = tuple[PreTrainedTokenizerBase, list[str], Path | None]
"""A tokenizer, what had to be set for it, and its tokenizer.json."""


def _open(name_or_path: str) -> Opened:
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        if not any((folder / name).is_file() for name in VOCABULARY_FILES):
            # AutoTokenizer would make an empty GPT-2 tokenizer out of a config.json alone.
            raise TokenizerError(f"{name_or_path}: no tokenizer.json in this folder; copy the model's own into it.")
        if (folder / "tokenizer.json").is_file():
            _check_file(folder / "tokenizer.json")
        if not (folder / "tokenizer_config.json").is_file() and (folder / "tokenizer.json").is_file():
            # AutoTokenizer would go by config.json, and for an OPT model (Galactica) takes GPT-2's rules and specials.
            file = folder / "tokenizer.json"
            return PreTrainedTokenizerFast(tokenizer_file=os.fspath(file)), [], file
        return _open_by_name(os.fspath(folder), folder / "tokenizer.json")
    if folder.exists() or folder.is_absolute() or name_or_path.startswith((".", "~")):
        raise TokenizerError(f"{name_or_path}: no such folder; give the folder of a tokenizer or a model's hub name.")
    return _open_by_name(name_or_path, None)


def _check_file(file: Path) -> None:
    # Said here because the tokenizers library answers a broken file with a bare Exception, which nobody should catch.
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{file}: cannot be read ({error}); copy the model's own tokenizer.json again.") from None
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or "vocab" not in model:
        raise TokenizerError(f"{file}: describes no tokenizer, it has no vocabulary; copy the model's own again.")


def _open_by_name(name: str, file: Path | None) -> Opened:
    try:
        with asking_the_hub() if file is None else contextlib.nullcontext():
            tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        reason = (hub_trouble(error) if file is None else one_line(error))[:200]
        raise TokenizerError(
            f"{name}: no tokenizer that can be loaded ({reason}); "
            f"download it where there is a network, or give a folder."
        ) from None
    if file is None:
        cached = try_to_load_from_cache(name, "tokenizer.json")
        file = Path(cached) if isinstance(cached, str) else None
    return _as_written(tokenizer, file) if file is not None and file.is_file() else (tokenizer, [], None)


def _as_written(tokenizer: PreTrainedTokenizerBase, file: Path) -> Opened:
    """`tokenizer` if it splits text as the tokenizer.json `file` says, else the one that the file describes."""
    written = tokenizer_of_file(file)
    if _encode(tokenizer, PROBE) == written.encode(PROBE, add_special_tokens=False).ids:
        return tokenizer, [], file
    vocabulary = written.get_vocab()
    declared = {role: getattr(tokenizer, role) for role in ROLES if getattr(tokenizer, role) in vocabulary}
    repair = (
        f"{type(tokenizer).__name__}, picked by AutoTokenizer, splits text otherwise than tokenizer.json says: "
        f"took tokenizer.json"
    )
    return PreTrainedTokenizerFast(tokenizer_file=os.fspath(file), **declared), [repair], file


def tokenizer_of_file(file: Path) -> Tokenizer:
    """The tokenizer that a tokenizer.json describes, without the truncation and padding that it may ask for."""
    written = Tokenizer.from_file(os.fspath(file))
    written.no_truncation()
    written.no_padding()
    return written


def _declare_special_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Gives each role that is not declared the token that the tokenizer already has for it; adds no token."""
    repairs = []
    special = _special_tokens(tokenizer)
    for role, names in ROLES.items():
        declared = getattr(tokenizer, role)
        if declared is not None and not (role == "pad_token" and declared == tokenizer.eos_token):
            continue
        token = next((name for name in names if name in special), None)
        if token is not None:
            setattr(tokenizer, role, token)
            repairs.append(f"{role} was {declared}: set to {token} (id {special[token]})")
    return repairs


def _stand_in(tokenizer: PreTrainedTokenizerBase, separator: str, separator_id: int) -> list[str]:
    """Lets the separator stand for a start and a padding that the tokenizer has no token for, as GPT-2's."""
    repairs = []
    for role, why in (
        ("bos_token", "it opens every row"),
        ("pad_token", "padding is masked by its position, never by its id, so the closing separator stays a label"),
    ):
        declared = getattr(tokenizer, role)
        if declared is None:
            setattr(tokenizer, role, separator)
        if declared is None or (role == "pad_token" and declared == separator):
            repairs.append(f"{role} was {declared}: the separator {separator} (id {separator_id}) stands in; {why}")
    return repairs


def _check_separator(tokenizer: PreTrainedTokenizerBase, name: str) -> tuple[str, int]:
    separator, separator_id = tokenizer.eos_token, tokenizer.eos_token_id
    vocabulary = tokenizer.get_vocab()
    if not isinstance(separator, str) or not isinstance(separator_id, int):
        known = ", ".join(ROLES["eos_token"])
        raise ContractError(
            f"{name}: no end-of-text token, so a model would never learn to stop; declare eos_token (known: {known})."
        )
    if separator == END_OF_TEXT and "</s>" in _special_tokens(tokenizer):
        raise ContractError(
            f"{name}: eos_token is {END_OF_TEXT} (id {separator_id}), which this model never saw: its documents end "
            f"with </s> (id {vocabulary['</s>']}); set eos_token to </s>."
        )
    pieces = _encode(tokenizer, separator)
    if pieces != [separator_id]:
        raise ContractError(
            f"{name}: the separator {separator} becomes {len(pieces)} tokens, so a model would learn to spell it "
            f"rather than to stop; use a tokenizer in which it is one special token."
        )
    row = _encode(tokenizer, f"{separator}hope: a{separator}")
    if len(row) < 3 or row[0] != separator_id or row[-1] != separator_id or row.count(separator_id) != 2:
        raise ContractError(
            f"{name}: a row {separator}hope: a{separator} becomes ids {row}, without the separator ({separator_id}) at "
            f"both ends and text between; use the tokenizer that came with the model."
        )
    decoded = tokenizer.decode([separator_id], skip_special_tokens=False)
    if decoded != separator:
        raise ContractError(
            f"{name}: the separator {separator} comes back as {decoded!r}, so the end of a sample would not be seen; "
            f"use the tokenizer that came with the model."
        )
    return separator, separator_id


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Tokens that no text is split into pieces of, whether a role is declared for them or not, with their ids."""
    return {str(token): index for index, token in tokenizer.added_tokens_decoder.items()}


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
