"""Checks a tokenizer before anything is trained with it: special tokens, padding, labels, embedding, and your text.

    python data/check_tokenizer.py facebook/galactica-125m --data my-quotes.txt

Exit code 0 when the contract is kept, 1 when it is broken, 2 when there is no such tokenizer or data set.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from data.command_line import command, parse

if TYPE_CHECKING:
    from data.contract import Finding

NANO = Path(__file__).resolve().parent / "nano"
EXIT_CODES = "Exit code 0: the contract is kept. 1: it is broken. 2: there is no such tokenizer or data set."
WORDS = {"passed": "ok", "noted": "note", "failed": "FAILED"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which tokenizer is checked, on what."""

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """A folder, a model's hub name (facebook/galactica-125m), or a nano size such as nano-1m."""
    data: str = "shipped"
    """Quotes whose text must survive, as in a sweep."""
    columns: Annotated[str | None, arg(help_behavior_hint="")] = None
    """Columns of --data that go by other names: keyword=tag,quote=body."""
    json: bool = False
    """Print one JSON object in place of lines."""


@command
def main(arguments: Sequence[str]) -> int:
    """The command line. Returns: the exit code, as `EXIT_CODES` says."""
    options = parse(Options, arguments, f"Check a tokenizer's contract: what would spoil training. {EXIT_CODES}")
    document = check(options.name, options.data, options.columns or "")
    print(json.dumps(document, indent=1, ensure_ascii=False) if options.json else _lines(document))
    return 0 if document["kept"] else 1


def check(name: str, data: str, columns: str = "") -> dict[str, Any]:
    """All findings about the tokenizer `name` on the quotes `data`, ready for JSON; `columns` maps other names.

    Raises: TokenizerError or DataError where there is no such tokenizer or data set.
    """
    from data.contract import Finding, examine
    from data.quotes import read_quotes
    from data.tokenizer import ContractError, load_tokenizer

    read = read_quotes(data, columns)
    lines = [quote.line for quote in read.quotes]
    place = str(NANO / name) if "/" not in name and (NANO / name).is_dir() else name
    try:
        loaded = load_tokenizer(place)
    except ContractError as error:
        return _document(name, [Finding(check="separator", state="failed", line=str(error))], read_as=list(read.notes))
    rows = _embedding_rows(place)
    facts = {
        "separator": loaded.separator,
        "separator_id": loaded.separator_id,
        "pad_id": loaded.pad_id,
        "vocabulary_size": loaded.vocabulary_size,
        "embedding_rows": rows,
        "repairs": list(loaded.repairs),
        "read_as": list(read.notes),
    }
    return _document(name, examine(loaded, lines, rows), **facts)


def _document(name: str, findings: Sequence[Finding], **facts: Any) -> dict[str, Any]:
    kept = all(finding.state != "failed" for finding in findings)
    return {"tokenizer": name, "kept": kept, **facts, "findings": [dataclasses.asdict(finding) for finding in findings]}


def _embedding_rows(place: str) -> int | None:
    """The rows of the model's embedding as its config says; None where there is no config to be had."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(place, trust_remote_code=False).get_text_config().vocab_size
    except (OSError, ValueError, AttributeError):
        return None


def _lines(document: dict[str, Any]) -> str:
    repairs = [("repaired", "", repair) for repair in document.get("repairs", ())]
    repairs += [("note", "data", note) for note in document["read_as"]]
    found = [(WORDS[item["state"]], item["check"], item["line"]) for item in document["findings"]]
    verdict = "keeps the contract" if document["kept"] else "breaks the contract; nothing should be trained with it"
    shown = [f"{word:9}{check:10}{line}" for word, check, line in [*repairs, *found]]
    return "\n".join([*shown, f"{document['tokenizer']} {verdict}."])


if __name__ == "__main__":
    sys.exit(main())
