"""Storage places as people write them, and the addresses that they mean: nothing is opened or asked here.

A folder may be written as a path or as file://; anything else has a scheme, such as s3://. In an address every
character that means something else there is escaped, so that a name with '#', '%' or a space keeps its files together.
"""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote, urlsplit

from data.errors import UserError

SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
HALF = re.compile(
    r"(?P<scheme>s3a?|gs|gcs|hdfs|abfss?|file|https?):[/\\]?(?P<rest>[^/\\].*)", re.DOTALL | re.IGNORECASE
)
QUERY = re.compile(r"[a-z_]+=[^=&?]*(&[a-z_]+=[^=&?]*)*")  # options of a store, such as region=eu-west-1


class StorageError(UserError):
    """A storage place that cannot be used; the message is one line for a person."""


def is_folder(place: str) -> bool:
    """Whether a place is a folder of this machine."""
    found = SCHEME.fullmatch(place)
    return found is None or found["scheme"].lower() == "file"


def folder_path(place: str) -> str:
    """The absolute path of a folder, written as a path (relative, with ~, with any characters) or as file://.

    Raises: StorageError for a file:// address that names another machine or options, or an empty place.
    """
    if not place.strip():
        raise StorageError("the storage place is empty; give a folder or s3://bucket/prefix.")
    if "\0" in place:
        raise StorageError(f"storage {place!r} has a NUL character, which no path may have; give another folder.")
    found = SCHEME.fullmatch(place)
    if found is None and (half := HALF.fullmatch(place)):
        whole = f"{half['scheme']}://{'/' if half['scheme'].lower() == 'file' else ''}{half['rest']}"
        raise StorageError(f"storage {place!r} lacks a slash: write {whole}, or ./{place} for a folder of that name.")
    if found is None:
        return os.path.abspath(os.path.expanduser(place))
    if found["rest"].startswith("~"):
        return os.path.abspath(os.path.expanduser(unquote(found["rest"])))
    parts = urlsplit(place)
    if parts.netloc not in ("", "localhost"):
        raise StorageError(
            f"storage {place!r} names a machine, {parts.netloc!r}; write file:///full/path, or the path alone."
        )
    if "?" in place or "#" in place:
        raise StorageError(f"storage {place!r}: in a file:// address write %3F for ? and %23 for #, or the path alone.")
    return os.path.abspath(unquote(parts.path))


def address_of(place: str) -> str:
    """The whole address of a place: an absolute path, or a URI without a slash at its end.

    Raises: StorageError for credentials in it, and for a '?' that begins no options.
    """
    found = SCHEME.fullmatch(place)
    if found is None and "://" in place:
        raise StorageError(f"storage {place!r} cannot be opened (no scheme); give a folder or s3://bucket/prefix.")
    if found is None or is_folder(place):
        return folder_path(place)
    rest, question_mark, query = found["rest"].partition("?")
    if question_mark and not QUERY.fullmatch(query):
        raise StorageError(
            f"storage {place!r}: a '?' begins options such as ?region=eu-west-1; in a name write %3F for it."
        )
    bucket, *names = [name for name in rest.split("/") if name] or [""]
    if "@" in bucket:
        raise StorageError(
            "credentials do not belong in a storage address; set AWS_ACCESS_KEY_ID and related variables instead."
        )
    if not bucket:
        raise StorageError(f"storage {place!r} names no bucket; write {found['scheme'].lower()}://bucket/prefix.")
    escaped = [quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", name), safe="%!$&'()*+,;=:@~") for name in names]
    return f"{found['scheme'].lower()}://{'/'.join([bucket, *escaped])}{question_mark}{query}"


def child_address(address: str, name: str) -> str:
    """The address of `name` below an address that `address_of` gave; options stay at its end."""
    if SCHEME.fullmatch(address) is None:
        return os.path.join(address, name)
    rest, question_mark, query = address.partition("?")
    return f"{rest}/{name}{question_mark}{query}"


def parent_address(address: str) -> str:
    """The address that `child_address` made `address` of."""
    if SCHEME.fullmatch(address) is None:
        return os.path.dirname(address)
    rest, question_mark, query = address.partition("?")
    return f"{rest.rpartition('/')[0]}{question_mark}{query}"
