import codecs
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.quotes import Quote, read_quotes
from data.text_encoding import find_encoding

# Two short sentences of our own in each language; the words carry letters that its neighbours' code pages lack.
LANGUAGES = {
    "french": ("amour", "L’élève a rêvé d'une forêt, où le cœur bat à l'été."),
    "german": ("liebe", "Die größte Liebe überdauert jede Straße, höher als Bäume."),
    "spanish": ("amor", "Mañana el corazón despertará, ¿no es así, niño?"),
    "swedish": ("kärlek", "Kärleken är tålmodig som björken på ängen."),
    "polish": ("miłość", "Miłość jest źródłem światła, gdy ćma śpi w cieniu dębów."),
    "czech": ("láska", "Láska přežije žízeň i dešť, říká moudrý člověk."),
    "hungarian": ("remény", "A remény hűvös erdő, ahol őszi szél fúj a tűz fölött."),
    "turkish": ("aşk", "Aşk sabırlıdır, güneş doğduğunda ışık çoğalır."),
    "russian": ("надежда", "Надежда живёт дольше всех, как свет в окне."),
    "greek": ("ελπίδα", "Η ελπίδα μένει όταν όλα τα άλλα φεύγουν μακριά."),
    "hebrew": ("תקווה", "התקווה היא האור אשר מאיר את הדרך אל הבית, גם כאשר הלילה ארוך והרוח חזקה מאוד על ההר."),
    "arabic": ("أمل", "الأمل يبقى عندما يذهب كل شيء آخر بعيدا."),
    "chinese": ("希望", "希望是夜里的一盏灯，照着回家的路，也照着远方的山。"),
    "japanese": ("希望", "きぼうはよるのあかりであり、かえりみちをてらす。"),
    "korean": ("희망", "희망은 밤의 등불이며 집으로 가는 길을 비춘다."),
}
CODE_PAGES = [
    ("french", "cp1252"),
    ("german", "cp1252"),
    ("spanish", "latin-1"),
    ("swedish", "cp1252"),
    ("polish", "cp1250"),
    ("czech", "cp1250"),
    ("hungarian", "cp1250"),
    ("turkish", "cp1254"),
    ("russian", "cp1251"),
    ("russian", "koi8-r"),
    ("russian", "cp866"),
    ("greek", "cp1253"),
    ("hebrew", "cp1255"),
    ("arabic", "cp1256"),
    ("chinese", "gb18030"),
    ("japanese", "shift_jis"),
    ("korean", "euc_kr"),
]


def lines_of(language: str) -> str:
    keyword, text = LANGUAGES[language]
    return f"{keyword}: {text}\n" * 5


def write(folder: Path, content: bytes, name: str = "quotes.txt") -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


def refusal(file: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_quotes(str(file))
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(str(file))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("codec", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", codecs.BOM_UTF32_BE),
    ],
)
def test_marked_file_is_read_in_every_language(tmp_path: Path, language: str, codec: str, mark: bytes) -> None:
    keyword, text = LANGUAGES[language]
    read = read_quotes(str(write(tmp_path, mark + lines_of(language).encode(codec))))
    assert read.quotes == [Quote(keyword=keyword, text=text)] * 5
    said = () if codec == "utf-8" else (f"quotes.txt: read as {codec[:6].upper()}, by its byte-order mark",)
    assert read.notes == said


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("language", ["french", "polish", "russian", "chinese"])
def test_wide_file_without_a_mark_is_read(tmp_path: Path, language: str, codec: str) -> None:
    keyword, text = LANGUAGES[language]
    read = read_quotes(str(write(tmp_path, lines_of(language).encode(codec))))
    assert read.quotes == [Quote(keyword=keyword, text=text)] * 5
    assert read.notes == (f"quotes.txt: read as {codec.upper()}, which it is without a byte-order mark",)


@pytest.mark.parametrize(("language", "codec"), CODE_PAGES)
def test_old_code_page_is_told_by_its_letters(tmp_path: Path, language: str, codec: str) -> None:
    text = LANGUAGES[language][1].replace("’", "'")
    keyword = LANGUAGES[language][0]
    read = read_quotes(str(write(tmp_path, f"{keyword}: {text}\n".encode(codec) * 5)))
    assert read.quotes == [Quote(keyword=keyword, text=text)] * 5
    (note,) = read.notes
    assert note.startswith("quotes.txt: not UTF-8: read as ")


def test_english_with_typographic_marks_of_windows_is_read(tmp_path: Path) -> None:
    text = "“Hope” is the thing with feathers — it’s what perches…"
    read = read_quotes(str(write(tmp_path, f"hope: {text}\n".encode("cp1252"))))
    assert read.quotes == [Quote(keyword="hope", text=text)]
    assert read.notes == ("quotes.txt: not UTF-8: read as Windows-1252 (Western Europe), in which line 1 has '“Hope”'",)


def test_loanword_in_english_is_western(tmp_path: Path) -> None:
    plain = "hope: Hope is the thing with feathers that perches in the soul.\n" * 20
    read = read_quotes(str(write(tmp_path, plain.encode() + "love: The naïve heart of Brontë.\n".encode("cp1252"))))
    assert read.quotes[-1] == Quote(keyword="love", text="The naïve heart of Brontë.")


OLD_TEXTS = {
    "French": "amour: L'été dernier, j'ai aimé à la folie, près de la forêt.",
    "German": "Liebe: Die Größe der Liebe läßt sich nicht messen, übrigens.",
    "German capitals": "Liebe: Ärger und Übermut tun selten gut.",
    "Spanish": "amor: ¿Qué será? El corazón del niño soñó con la mañana.",
    "English with a loanword": "love: The café waits.",
    "English with names": "love: The señor from Bogotá ate a jalapeño.",
    "English with apostrophes": "love: It’s never too late, don’t you think?",
    "English in quotation marks": "love: “All is well.” So said the wind.",
    "English in single marks": "love: ‘The end,’ he wrote, was near.",
    "English with dashes": "love: One day — one hour — is enough.",
}


def old_files() -> Iterator[Any]:
    """Each text in each old code page that has its signs: DOS has no curly quotation marks and no dashes."""
    for codec in ("mac_roman", "cp850", "cp437"):
        for name, text in OLD_TEXTS.items():
            with contextlib.suppress(UnicodeEncodeError):
                yield pytest.param(codec, text, f"{text}\n".encode(codec), id=f"{codec}-{name}")


@pytest.mark.parametrize(("codec", "text", "content"), list(old_files()))
@pytest.mark.parametrize("plain_lines", [5, 200])
def test_an_old_code_page_is_never_read_as_another_and_is_named(
    plain_lines: int, codec: str, text: str, content: bytes, tmp_path: Path
) -> None:
    message = refusal(write(tmp_path, b"hope: All of it passes, in the end.\n" * plain_lines + content * 4))
    name = {"mac_roman": "Mac Roman", "cp850": "DOS 850", "cp437": "DOS 437"}[codec]
    word = next(word for word in text.split() if not word.isascii())
    assert message.startswith(f":{plain_lines + 1}: byte 0x")
    assert f"{name} (with {word!r})" in message
    assert message.endswith("; save the file as UTF-8 text.")


@pytest.mark.parametrize("text", OLD_TEXTS.values(), ids=OLD_TEXTS)
def test_the_same_texts_are_read_from_windows(text: str, tmp_path: Path) -> None:
    read = read_quotes(str(write(tmp_path, b"hope: All of it passes.\n" * 200 + f"{text}\n".encode("cp1252"))))
    assert read.quotes[-1].line == text


def test_what_two_code_pages_could_be_is_refused_and_both_are_named(tmp_path: Path) -> None:
    # Bytes FD and FE are y with acute and thorn in Iceland, dotless i and s with cedilla in Turkey.
    message = refusal(write(tmp_path, b"hope: k\xfdr\xfen, b\xfdr la\xfe\n" * 3))
    assert message.startswith(":1: byte 0xfd is not UTF-8, and could be ")
    assert "Windows-1252 (Western Europe)" in message
    assert "Windows-1254 (Turkish)" in message


def test_two_encodings_in_one_file_are_refused(tmp_path: Path) -> None:
    content = "hope: Señor\n".encode() * 2 + "hope: Señor\n".encode("cp1252")
    message = refusal(write(tmp_path, content))
    assert message == (
        ":3: byte 0xf1 is not UTF-8, while 2 other lines are: two encodings in one file; save the file as UTF-8 text."
    )


def test_wide_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    content = codecs.BOM_UTF16_LE + "hope: a\nlove: b".encode("utf-16-le")[:-1]
    message = refusal(write(tmp_path, content))
    assert message == ":2: the file ends within a character of UTF-16; get a whole copy."


def test_wide_file_out_of_step_is_refused(tmp_path: Path) -> None:
    rows = "hope: a\nlove: b\nlife: c\ntime: d\n".encode("utf-16-le")
    content = codecs.BOM_UTF16_LE + rows[:20] + rows[21:60] + b"x" + rows[60:]  # a byte lost, and one too many
    assert "bytes are out of step" in refusal(write(tmp_path, content))


def test_binary_content_is_refused(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, b"hope: a\nlove: \0\n")).startswith(":2: a NUL byte")
    assert refusal(write(tmp_path, b"hope: " + b"x" * 2**17 + b"\n\0")).startswith(":2: a NUL byte")
    assert refusal(write(tmp_path, b"hope: \xe9\nlove: \0\n")).startswith(":2: a NUL byte")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04rest", "a zip archive, as workbooks (.xlsx, .ods) are"),
        (b"\x1f\x8brest", "a gzip archive"),
        (b"PAR1rest", "a Parquet file"),
        (b"%PDF-1.7", "a PDF document"),
        (b"SQLite format 3\0", "an SQLite database"),
    ],
)
@pytest.mark.parametrize("name", ["quotes.csv", "quotes.jsonl", "quotes.xlsx"])
def test_file_that_is_no_text_is_named_for_what_it_is(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    assert refusal(write(tmp_path, content, name)).startswith(f": is {kind}, not text")


@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_carriage_returns_alone_end_lines_where_no_others_do(tmp_path: Path, codec: str) -> None:
    read = read_quotes(str(write(tmp_path, "hope: a\rlove: b\r".encode(codec))))
    assert [quote.line for quote in read.quotes] == ["hope: a", "love: b"]
    assert read.notes[-1] == "quotes.txt: carriage returns alone taken for line ends"


def test_marks_of_files_that_were_joined_are_no_text(tmp_path: Path) -> None:
    content = codecs.BOM_UTF8 + b"hope: a\n" + codecs.BOM_UTF8 + b"love: b\n"
    assert [q.line for q in read_quotes(str(write(tmp_path, content))).quotes] == ["hope: a", "love: b"]


def test_character_that_two_pieces_of_the_file_share_is_whole(tmp_path: Path) -> None:
    file = write(tmp_path, b"hope: a\n" + b"love: " + b"b" * (2**20 - 15) + "é\n".encode())  # from byte 2**20 - 1 on
    assert find_encoding(file).codec == "utf-8"
    assert read_quotes(str(file)).quotes[1].text.endswith("bé")


def test_file_that_changes_while_it_is_read_is_one_line(tmp_path: Path) -> None:
    file = write(tmp_path, b"hope: a\n")
    encoding = find_encoding(file)
    file.write_bytes(b"hope: \xff\n")
    from data.text_lines import read_lines

    with pytest.raises(DataError, match="see that nothing writes to it"):
        list(read_lines(file, encoding))
