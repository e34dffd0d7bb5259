import itertools
import os
import threading
import time
from pathlib import Path

import pytest
from pyarrow import fs as arrow_fs

from data.errors import UserError
from tests.support.object_store import ObjectStore
from trainables.records import storage as module
from trainables.records.storage import Storage, StorageError, check_reachable, check_writable, open_storage

NOT_UTF8 = "half a pair: \ud800"  # a lone surrogate, which no UTF-8 text can hold


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def in_memory(root: str = "bucket/prefix") -> Storage:
    """Arrow's own file system in memory, standing in for an object store: it has no folder on this machine."""
    filesystem, path = arrow_fs.FileSystem.from_uri(f"mock:///{root}")
    filesystem.create_dir(path)
    return Storage(f"mock:///{root}", filesystem, path)


@pytest.mark.parametrize("text", ["", "love: When love is not madness\n", "naïve ½ 愛\r\nsecond line"])
def test_text_comes_back_as_it_was_written(tmp_path: Path, text: str) -> None:
    for storage in (open_storage(str(tmp_path)), in_memory()):
        storage.write_text("record.json", text)
        assert storage.read_text("record.json") == text


def test_folders_on_the_way_to_a_file_are_made(tmp_path: Path) -> None:
    open_storage(str(tmp_path / "results")).write_text("trials/t1/record.json", "{}")
    assert (tmp_path / "results/trials/t1/record.json").read_text() == "{}"


def test_nothing_but_the_file_itself_remains_after_a_write(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.write_text("record.json", "old")
    storage.write_text("record.json", "new")
    assert files_in(tmp_path) == ["record.json"]
    assert storage.read_text("record.json") == "new"


def test_a_write_that_fails_leaves_the_old_file_whole_and_no_litter(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.write_text("record.json", "old")
    with pytest.raises(UnicodeEncodeError):
        storage.write_text("record.json", NOT_UTF8)
    assert files_in(tmp_path) == ["record.json"]
    assert storage.read_text("record.json") == "old"


def test_a_write_that_fails_at_its_last_step_leaves_no_litter(tmp_path: Path) -> None:
    (tmp_path / "record.json").mkdir()
    with pytest.raises(IsADirectoryError):
        open_storage(str(tmp_path)).write_text("record.json", "new")
    assert files_in(tmp_path) == ["record.json"]


def test_a_write_that_fails_leaves_the_old_object_whole() -> None:
    storage = in_memory()
    storage.write_text("record.json", "old")
    with pytest.raises(UnicodeEncodeError):
        storage.write_text("record.json", NOT_UTF8)
    assert storage.read_text("record.json") == "old"


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    for storage in (open_storage(str(tmp_path)), in_memory()):
        assert not storage.exists("record.json")
        with pytest.raises(FileNotFoundError):
            storage.read_text("record.json")


def test_files_and_folders_exist_and_only_folders_are_listed(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    assert storage.list_folders("trials") == []
    for path in ("trials/t2/record.json", "trials/t1/record.json", "trials/readme.txt"):
        storage.write_text(path, "")
    assert storage.list_folders("trials") == ["t1", "t2"]
    assert storage.list_folders("") == ["trials"]
    assert storage.exists("trials/t1")
    assert storage.exists("trials/t1/record.json")
    assert storage.exists("")


def test_a_deleted_folder_is_gone_with_all_that_was_in_it(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.write_text("trials/t1/record.json", "")
    storage.write_text("trials/t2/record.json", "")
    storage.delete_folder("trials/t1")
    assert storage.list_folders("trials") == ["t2"]
    with pytest.raises(FileNotFoundError):
        storage.delete_folder("trials/t1")


def test_a_child_reads_what_its_parent_wrote(tmp_path: Path) -> None:
    for storage in (open_storage(str(tmp_path)), open_storage(f"file://{tmp_path}"), in_memory()):
        storage.filesystem.create_dir(f"{storage.root}/trials/t1")
        storage.write_text("trials/t1/record.json", "{}")
        child = storage.child("trials").child("t1")
        assert child.read_text("record.json") == "{}"
        assert child.uri == f"{storage.uri}/trials/t1"


@pytest.mark.parametrize("address", ["s3://bucket/results", "s3://bucket/results/"])
def test_a_child_keeps_the_query_of_a_uri_at_its_end(address: str) -> None:
    # A region in the query: so pyarrow asks no network where the bucket lies.
    child = open_storage(f"{address}?region=eu-west-1").child("trials/t1")
    assert child.uri == "s3://bucket/results/trials/t1?region=eu-west-1"
    assert child.root == "bucket/results/trials/t1"
    assert open_storage(child.uri).root == child.root
    assert not child.is_local


def test_a_relative_folder_is_made_absolute_and_nothing_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = open_storage("results/first")
    assert storage.uri == os.path.join(os.getcwd(), "results", "first")
    assert storage.is_local
    assert files_in(tmp_path) == []


def test_a_writable_place_passes_and_keeps_nothing_of_the_test(tmp_path: Path) -> None:
    check_writable(open_storage(str(tmp_path)))
    assert files_in(tmp_path) == []


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:  # a file where a folder should be stops even root
        check_writable(open_storage(str(tmp_path / "file" / "results")))
    message = str(caught.value)
    assert message.startswith(f"storage {tmp_path}/file/results is not writable (")
    assert message.endswith("choose another with --storage.")
    assert "\n" not in message


@pytest.mark.parametrize("uri", ["carrier-pigeon://bucket/prefix", "://bucket"])
def test_an_unknown_scheme_is_told_in_one_line(uri: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_storage(uri)
    assert isinstance(caught.value, UserError)
    message = str(caught.value)
    assert message.startswith(f"storage {uri!r} cannot be opened (")
    assert message.endswith("give a folder or s3://bucket/prefix.")
    assert "\n" not in message


def test_an_object_store_serves_like_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with ObjectStore() as store:
        storage = open_storage(store.uri("results"))
        check_writable(storage)
        storage.write_text("trials/t1/record.json", "old")
        storage.child("trials/t1").write_text("record.json", "new")
        assert storage.read_text("trials/t1/record.json") == "new"
        assert storage.list_folders("trials") == ["t1"]
        assert not storage.exists("trials/t2")
        assert open_storage(storage.child("trials").uri).read_text("t1/record.json") == "new"


def test_a_place_below_a_file_is_told_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/results", "file/results/mine"):
        with pytest.raises(StorageError, match=r"is not writable, as .*/file is no folder; choose another"):
            check_reachable(open_storage(str(tmp_path / place)))
    check_reachable(open_storage(str(tmp_path / "not there" / "yet")))


def test_googles_store_is_asked_for_seconds_and_not_for_its_quarter_of_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GOOGLE_SECONDS", 2)
    began = time.monotonic()
    with pytest.raises(StorageError, match="does not answer"):
        check_reachable(open_storage("gs://bucket/prefix?scheme=http&endpoint_override=127.0.0.1:9"))
    assert time.monotonic() - began < 60


def test_what_is_replaced_while_it_is_read_comes_whole_as_it_was_or_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = (1, 2_000, 30, 700)
    texts = {str(length): str(length).ljust(length, ".") for length in lengths}
    with ObjectStore() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        storage, end = open_storage("s3://bucket/sweeps"), threading.Event()

        def replace() -> None:
            for length in itertools.cycle(lengths):
                storage.write_text("progress.json", texts[str(length)])
                if end.wait(0.002):
                    return

        storage.write_text("progress.json", texts["1"])
        writer = threading.Thread(target=replace)
        writer.start()
        try:
            seen = [storage.read_replaced("progress.json") for _ in range(200)]
        finally:
            end.set()
            writer.join()
    assert all(text == texts[text.rstrip(".")] for text in seen)
    assert len(set(seen)) > 1


def test_what_may_be_replaced_is_read_from_a_folder_as_anything_is(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.write_text("progress.json", "{}")
    assert storage.read_replaced("progress.json") == "{}"
    for nowhere in (storage, in_memory()):
        with pytest.raises(FileNotFoundError):
            nowhere.read_replaced("not-there.json")
