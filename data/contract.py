"""What a tokenizer must keep before a second is spent on training with it; each failure is one line that says the harm.

`data.tokenizer` opens a tokenizer, repairs what its own files allow and refuses a separator that is none. Here the
opened tokenizer is held against everything that it is used with: its declared special tokens, the rows and labels made
with it, the model's embedding, the file that describes it, and the text of the data set.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import torch

from data.batches import IGNORED_LABEL, Batch, Layout, collate, make_rows
from data.documents import encode_documents
from data.tokenizer import ContractError, LoadedTokenizer, check_embedding, tokenizer_of_file

T = TypeVar("T")
State = Literal["passed", "noted", "failed"]
LINES_BEFORE_A_TRIAL = 2_000
"""Lines that are looked at before a trial (assumed: under a second of time, and enough to meet a common fault)."""

LOST_SHARE = 0.01
"""Share of lines that may come back otherwise than they went in (assumed: a stray sign is noted, a script refused)."""

CHUNK = 1_000
EXAMPLE_LINES = ("hope: a", "hope: Hope 1984, it is new.", "hope: b b b b")
SHOWN_CHARACTERS = 24


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check saw, in one line. noted: no harm, but worth knowing, or not to be checked."""

    check: str
    state: State
    line: str


def examine(loaded: LoadedTokenizer, lines: Sequence[str] = (), embedding_rows: int | None = None) -> list[Finding]:
    """Every finding about a tokenizer, the text `lines` and a model's `embedding_rows` (None: not known).

    With broken special tokens no row can be made, so that failure is then the last finding.
    Raises: DataError if a line has the separator in it.
    """
    separator = Finding(
        check="separator",
        state="passed",
        line=f"{loaded.separator} is one token (id {loaded.separator_id}) and comes back as it went in.",
    )
    specials = _specials(loaded)
    if specials.state == "failed":
        return [separator, specials]
    return [
        separator,
        specials,
        _roles(loaded),
        _labels(loaded, lines),
        _embedding(loaded, embedding_rows),
        _file(loaded, lines),
        _text(loaded, lines),
    ]


def spread(lines: Sequence[T]) -> Sequence[T]:
    """`LINES_BEFORE_A_TRIAL` of `lines` at most, evenly from the first on."""
    return lines[:: max(1, -(-len(lines) // LINES_BEFORE_A_TRIAL))]


def require_contract(
    name: str, loaded: LoadedTokenizer, lines: Sequence[str] = (), embedding_rows: int | None = None
) -> list[str]:
    """Passes when the tokenizer of the model `name` keeps the contract on `lines`, of which a `spread` is enough.

    Returns: lines for a person: what had to be repaired, and what is noted.
    Raises: ContractError with the first failure.
    """
    findings = examine(loaded, spread(lines), embedding_rows)
    failed = [finding.line for finding in findings if finding.state == "failed"]
    if failed:
        raise ContractError(f"{name}: {failed[0]}")
    noted = [f"note, {finding.line}" for finding in findings if finding.state == "noted"]
    return [f"tokenizer of {name}: {line}" for line in [*(f"repaired, {repair}" for repair in loaded.repairs), *noted]]


def label_fault(batch: Batch, lengths: torch.Tensor, separator_id: int) -> str | None:
    """What is wrong with a batch's labels; None when nothing is.

    `lengths` [B] counts each row's real tokens. Right labels are the ids themselves up to the closing separator, which
    stays, and -100 on padding.
    """
    for row, (ids, labels, length) in enumerate(
        zip(batch.input_ids_BT, batch.labels_BT, lengths.tolist(), strict=True)
    ):
        closing = length - 1
        if ids[0] != separator_id or ids[closing] != separator_id:
            return f"row {row} does not begin and end with the separator, so a model would not learn where text ends"
        if labels[closing] == IGNORED_LABEL:
            return f"the closing separator of row {row} is masked, so a model would never learn to stop"
        if not torch.equal(labels[:length], ids[:length]):
            return f"labels of row {row} differ from its ids, so a model would not learn the text"
        if (labels[length:] != IGNORED_LABEL).any():
            return f"padding of row {row} is not masked, so a model would learn to write padding"
    return None


def _specials(loaded: LoadedTokenizer) -> Finding:
    tokenizer = loaded.tokenizer
    added = {str(token): index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    declared = added | {
        str(token): index
        for token, index in zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
        if index is not None
    }
    for token, index in sorted(declared.items(), key=lambda pair: pair[1]):
        pieces = tokenizer(token, add_special_tokens=False)["input_ids"]
        if pieces != [index]:
            return Finding(
                check="specials",
                state="failed",
                line=f"the special token {token} (id {index}) becomes {len(pieces)} tokens, so a model would learn to "
                f"spell it; declare it in tokenizer.json's added_tokens, or take it off the declared ones.",
            )
        back = tokenizer.decode([index], skip_special_tokens=False)
        if back != token:
            return Finding(
                check="specials",
                state="failed",
                line=f"the special token {token} (id {index}) comes back as {back!r}, so it would not be found in a "
                f"sample; use the tokenizer that came with the model.",
            )
    named = f"{len(declared)} declared special tokens are"
    return Finding(check="specials", state="passed", line=f"{named} one id each and come back as they went in.")


def _roles(loaded: LoadedTokenizer) -> Finding:
    tokenizer = loaded.tokenizer
    roles = ", ".join(
        f"{role} {getattr(tokenizer, f'{role}_token')} (id {getattr(tokenizer, f'{role}_token_id')})"
        for role in ("eos", "bos", "pad")
    )
    if loaded.pad_id != loaded.separator_id:
        return Finding(check="roles", state="passed", line=f"{roles}.")
    return Finding(
        check="roles",
        state="noted",
        line=f"{roles}: pad is the separator, for want of a token to spare. A collator that masks by id would hide "
        f"every separator from the loss; ours masks by position, so it is safe here and nowhere else.",
    )


def _labels(loaded: LoadedTokenizer, lines: Sequence[str]) -> Finding:
    documents = encode_documents(loaded, [*EXAMPLE_LINES, *lines[:CHUNK]])
    longest = max(len(document) for document in documents)
    for layout in get_args(Layout):
        rows = make_rows(documents, layout=layout, sequence_length=2 * longest, pad_id=loaded.pad_id, seed=0)
        fault = label_fault(collate(rows, torch.arange(len(rows.lengths))), rows.lengths, loaded.separator_id)
        if fault is not None:
            line = f"with {layout} rows, {fault}; this is a fault of the collator in data/batches.py."
            return Finding(check="labels", state="failed", line=line)
    line = f"the closing separator is a label and padding is none, in {' and in '.join(get_args(Layout))} rows."
    return Finding(check="labels", state="passed", line=line)


def _embedding(loaded: LoadedTokenizer, embedding_rows: int | None) -> Finding:
    largest = loaded.vocabulary_size - 1
    if embedding_rows is not None:
        try:
            check_embedding(loaded, embedding_rows)
        except ContractError as error:
            return Finding(check="embedding", state="failed", line=str(error))
        line = f"the largest id, {largest}, lies within the model's {embedding_rows} embedding rows."
        return Finding(check="embedding", state="passed", line=line)
    written = loaded.file and set(tokenizer_of_file(loaded.file).get_vocab(with_added_tokens=True))
    grown = sorted(set(loaded.tokenizer.get_vocab()) - written) if written else []
    if grown:
        index = loaded.tokenizer.convert_tokens_to_ids(grown[0])
        return Finding(
            check="embedding",
            state="failed",
            line=f"{grown[0]} (id {index}) is not in tokenizer.json and was added on loading, most likely past the "
            f"model's embedding, which stops training with an IndexError; take it out of tokenizer_config.json, or put "
            f"the model's config.json beside it.",
        )
    line = f"no config.json beside it: whether the embedding has a row for every id up to {largest} was not checked."
    return Finding(check="embedding", state="noted", line=line)


def _file(loaded: LoadedTokenizer, lines: Sequence[str]) -> Finding:
    picked = type(loaded.tokenizer).__name__
    if loaded.file is None:
        line = f"no tokenizer.json: {picked} made it from its own rules, and there is nothing to hold it against."
        return Finding(check="file", state="noted", line=line)
    written = tokenizer_of_file(loaded.file)
    texts = [*EXAMPLE_LINES, *lines]
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        ids_by_text = loaded.tokenizer(chunk, add_special_tokens=False, verbose=False)["input_ids"]
        encodings = written.encode_batch_fast(chunk, add_special_tokens=False)
        for text, ids, encoding in zip(chunk, ids_by_text, encodings, strict=True):
            if ids != encoding.ids:
                return Finding(
                    check="file",
                    state="failed",
                    line=f"{picked} splits {text[:60]!r} into {len(ids)} tokens and tokenizer.json into "
                    f"{len(encoding.ids)}, so the model would read pieces that it never saw; set tokenizer_class to "
                    f"PreTrainedTokenizerFast in tokenizer_config.json.",
                )
    return Finding(check="file", state="passed", line=f"{picked} splits text as tokenizer.json says.")


def _text(loaded: LoadedTokenizer, lines: Sequence[str]) -> Finding:
    if not lines:
        return Finding(check="text", state="noted", line="no data set was given, so no text was checked.")
    normalised, lost = [], []
    for line, back in _round_trips(loaded, lines):
        if back != line:
            (normalised if back == unicodedata.normalize("NFKC", line) else lost).append((line, back))
    notes = []
    if lost:
        notes.append(f"{len(lost)} of {len(lines)} lines do not come back as they went in ({_example(*lost[0])})")
    if normalised:
        notes.append(f"{len(normalised)} of {len(lines)} lines come back NFKC-normalised ({_example(*normalised[0])})")
    line = "; ".join(notes) or f"all {len(lines)} lines come back as they went in"
    if len(lost) > LOST_SHARE * len(lines):
        advice = "what is lost can never be learnt; use a tokenizer that has these signs, or take them out of the data"
        return Finding(check="text", state="failed", line=f"{line}: {advice}.")
    return Finding(check="text", state="noted" if notes else "passed", line=f"{line}.")


def _round_trips(loaded: LoadedTokenizer, lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each line and what is left of it after encoding and decoding, but for space around it."""
    for start in range(0, len(lines), CHUNK):
        chunk = list(lines[start : start + CHUNK])
        encoded = loaded.tokenizer(chunk, add_special_tokens=False, verbose=False)["input_ids"]
        for line, ids in zip(chunk, encoded, strict=True):
            back = loaded.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
            yield line.strip(), str(back).strip()


def _example(line: str, back: str) -> str:
    """The first place where two texts differ, and some of what follows."""
    pairs = enumerate(zip(line, back, strict=False))
    differs = next((place for place, (one, other) in pairs if one != other), min(len(line), len(back)))
    start = max(0, differs - SHOWN_CHARACTERS // 2)
    shown = slice(start, start + SHOWN_CHARACTERS)
    return f"such as {line[shown]!r} as {back[shown]!r}"
