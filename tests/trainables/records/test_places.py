"""Ways to write a storage place: each means one folder or prefix, and stays there through names and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainables.records.places import StorageError, address_of, child_address, parent_address
from trainables.records.storage import open_storage

NAMES = (
    "plain",
    "two words",
    "what?now",
    "what/p1?now",
    "a#b",
    "100%",
    "a%20b",
    "größe",
    "a+b&c=d",
    "'quoted'",
    "-dash",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_any_name_is_that_folder(name: str, tmp_path: Path) -> None:
    storage = open_storage(f"{tmp_path}/{name}").child("sweep")
    storage.write_text("trials/0000/record.json", "{}")
    assert (tmp_path / name / "sweep" / "trials" / "0000" / "record.json").read_text() == "{}"
    assert storage.uri == f"{tmp_path}/{name}/sweep"
    assert open_storage(storage.uri) == storage
    assert parent_address(storage.uri) == f"{tmp_path}/{name}"


def test_ways_to_write_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    ways = [
        "../my sweeps",
        "../my sweeps/",
        "./../my sweeps",
        "~/my sweeps",
        "~//my sweeps/.",
        f"{tmp_path}/my sweeps",
        f"{tmp_path}//my sweeps///",
        f"file://{tmp_path}/my%20sweeps",
        f"file://{tmp_path}/my sweeps/",
        f"FILE://localhost{tmp_path}/my%20sweeps",
        "file://~/my sweeps",
    ]
    assert {address_of(way) for way in ways} == {f"{tmp_path}/my sweeps"}
    assert all(open_storage(way).is_local for way in ways)


def test_a_symlink_stays_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    open_storage(f"{tmp_path}/link").write_text("file", "text")
    assert address_of(f"{tmp_path}/link/") == f"{tmp_path}/link"
    assert (tmp_path / "real" / "file").read_text() == "text"


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("S3://bucket//a///b/", "s3://bucket/a/b"),
        ("s3://bucket/two words", "s3://bucket/two%20words"),
        ("s3://bucket/two%20words", "s3://bucket/two%20words"),
        ("s3://bucket/a#b", "s3://bucket/a%23b"),
        ("s3://bucket/100%", "s3://bucket/100%25"),
        ("s3://bucket/größe", "s3://bucket/gr%C3%B6%C3%9Fe"),
        ("s3://bucket/a?region=eu-west-1", "s3://bucket/a?region=eu-west-1"),
        (
            "s3://bucket/a/?scheme=http&endpoint_override=127.0.0.1:9",
            "s3://bucket/a?scheme=http&endpoint_override=127.0.0.1:9",
        ),
        ("s3://bucket/what%3Fnow", "s3://bucket/what%3Fnow"),
    ],
)
def test_addresses_are_escaped_once(place: str, address: str) -> None:
    assert address_of(place) == address
    assert address_of(address) == address
    assert parent_address(child_address(address, "sweep")) == address


def test_options_stay_behind_the_name() -> None:
    assert child_address("s3://bucket/a?region=x", "sweep") == "s3://bucket/a/sweep?region=x"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("a\0b", "NUL"),
        ("file://elsewhere/folder", "names a machine, 'elsewhere'"),
        ("file:///a?b", "%3F"),
        ("file:///a#b", "%23"),
        ("s3://", "names no bucket"),
        ("s3:///prefix?", "a '?' begins options"),
        ("s3://bucket/what?now", "a '?' begins options"),
        ("s3://key:secret@bucket/a", "credentials do not belong"),
        ("nonsense://bucket/a", "cannot be opened"),
    ],
)
def test_what_is_no_place_is_refused_in_one_line(place: str, said: str) -> None:
    with pytest.raises(StorageError, match=r"\A.*\Z") as caught:
        open_storage(place)
    assert said in str(caught.value)


def test_a_storage_that_lies_in_a_bucket_keeps_its_root_unescaped() -> None:
    storage = open_storage("s3://bucket/two words#1?scheme=http&endpoint_override=127.0.0.1:9&region=us-east-1")
    assert storage.child("sweep").root == "bucket/two words#1/sweep"


@pytest.mark.parametrize(
    ("place", "meant"),
    [
        ("s3:/bucket/x", "s3://bucket/x"),
        ("s3:bucket/x", "s3://bucket/x"),
        ("S3:/bucket", "S3://bucket"),
        ("file:/tmp/x", "file:///tmp/x"),
        ("gs:/bucket/x", "gs://bucket/x"),
    ],
)
def test_an_address_that_lacks_a_slash_is_no_folder(place: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="lacks a slash") as caught:
        address_of(place)
    assert f"write {meant}, or ./{place}" in str(caught.value)
    assert address_of(f"{tmp_path}/{place}") == f"{tmp_path}/{place}"
