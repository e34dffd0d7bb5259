"""What a file is that holds no rows we read, told by how it begins; and a line that no row is, by what it says."""

from __future__ import annotations

import re

NO_TEXT = {
    b"PK\x03\x04": "a zip archive, as workbooks (.xlsx, .ods) are",
    b"PK\x05\x06": "a zip archive with nothing in it",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"FEA1": "a Feather file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "an array of NumPy",
    b"\x80\x04\x95": "a pickle of Python",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"SQLite format 3": "an SQLite database",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"%PDF": "a PDF document",
    b"{\\rtf": "a Rich Text document",
    b"bplist00": "a property list of Apple's",
}
"""How files begin that hold bytes, or text for programs. Source: each format's own description."""

TAR_MAGIC, TAR_PLACE = b"ustar", 257

MARKUP = re.compile(r"<(!doctype|html|head|body|table|div|\?xml|!--|rss|quotes?[\s>])", re.IGNORECASE)
POINTER = "version https://git-lfs"
CONFLICT = re.compile(r"(<{7}|>{7}|\|{7}) .*|={7}\s*")
CONFLICT_SIGNS = ("<", ">", "|", "=")
ADDRESS = re.compile(r"\s*[a-zA-Z][a-zA-Z0-9+.-]*[:：]//\S")


def kind_of_bytes(head: bytes) -> str | None:
    """What the file that begins with `head` is, where that is no text."""
    if head[TAR_PLACE : TAR_PLACE + len(TAR_MAGIC)] == TAR_MAGIC:
        return "a tar archive"
    return next((kind for magic, kind in NO_TEXT.items() if head.startswith(magic)), None)


def fault_of_beginning(text: str) -> str | None:
    """What is wrong with a text file that begins so, and what to do; None where it may hold rows."""
    if MARKUP.match(text):
        return (
            "is a page in HTML or XML, not rows (a download that failed is often one); get the data themselves, or"
            " write 'keyword: quote' lines or CSV"
        )
    if text.startswith(POINTER):
        return "is a pointer of Git LFS, not the file itself; run 'git lfs pull' where it came from"
    return None


def fault_of_line(line: str) -> str | None:
    """What a line is that can be no row, and what to do; None where it may be one."""
    if line[:1] not in CONFLICT_SIGNS and "//" not in line:
        return None
    if CONFLICT.fullmatch(line):
        return "a conflict mark of Git; settle the conflict and take the marks out"
    if ADDRESS.match(line):
        return "the ':' belongs to an address (such as https://); write a keyword and ':' before it, or take it out"
    return None
