"""A sweep's own document, and documents of before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.record_factory import default_facts
from trainables.records.storage import open_storage
from trainables.records.sweep_folder import load_facts, store_facts


def test_a_sweep_reads_what_it_wrote(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    store_facts(storage, default_facts())
    assert load_facts(storage) == default_facts()


@pytest.mark.parametrize("said", [None, {}, {"git_sha": "0123456", "data_fingerprint": "sha256:5c1e"}])
def test_what_an_old_document_does_not_say_of_where_it_comes_from_is_unknown(
    tmp_path: Path, said: dict[str, str] | None
) -> None:
    storage = open_storage(str(tmp_path))
    store_facts(storage, default_facts())
    document = json.loads((tmp_path / "sweep.json").read_text())
    if said is None:
        del document["provenance"]
    else:
        document["provenance"] = said
    (tmp_path / "sweep.json").write_text(json.dumps(document))
    found = load_facts(storage).provenance
    said = said or {}
    assert found.git_sha == said.get("git_sha", "unknown")
    assert found.data_fingerprint == said.get("data_fingerprint", "unknown")
    assert (found.device, found.versions) == ("unknown", {})
