"""How the trust tests damage a file: by edits that hypothesis draws, and shrinks to the fewest that show a fault."""

from collections.abc import Iterator, Sequence

from hypothesis import strategies as st

CELLS = (
    *(
        b"",
        b"-1",
        b"nan",
        b"inf",
        b"0",
        b"+1",
        b"0_1",
        b"1e400",
        b"9" * 19,
        b"9" * 400,
        b"9" * 4301,
        b"1 2",
        b"-0",
        b"0x10",
    ),
    *(
        b"\0",
        b"\xff",
        b'"',
        b"'",
        b"\n",
        b"\r\n",
        b",",
        b";",
        b"\t",
        b"[" * 50,
        b"[" * 9000,
        b"{",
        b"}",
        b"\xef\xbb\xbf",
        b"\x1c",
    ),
    *("١".encode(), "é".encode(), "e\u0301".encode(), "\u2028".encode(), b"\xed\xa0\x80", "왼".encode("cp949")),
    *(b"A.PNG", b"../a.png", b"x" * 300, b"=1+1", b"null", b"true", b"*a", b"&a ", b"!!python/name:os.system"),
    *(b"\x1f\x8b", b"PK\x03\x04", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"),
)
"""What readers have stumbled over: numbers that are none, ends of lines and files, huge lengths, other encodings."""

EDITS = ("set", "flip", "delete", "insert", "repeat", "cell", "lines", "cut")
_EDIT_BYTES = 4
_PASSAGE_BYTES = 1 + 2 * _EDIT_BYTES
_NOISE_BYTES = 24
_MOST_EDITS = 6


def programs() -> st.SearchStrategy[bytes]:
    """Returns a strategy of what ``damaged_files`` makes: some twenty files a program.

    One draw of bytes costs hypothesis a quarter of a list of drawn edits, and shrinks to fewer and smaller ones alike.
    """
    return st.binary(min_size=4 * _PASSAGE_BYTES, max_size=16 * _PASSAGE_BYTES)


def damaged_files(valid: Sequence[bytes], program: bytes) -> Iterator[bytes]:
    """Yields damaged files, one after each edit.

    A program consists of passages of a byte and two edits. The byte chooses what they damage: one of the valid files,
    or, in one passage of five, what the last one left, until it has six edits. One passage of eight also yields a few
    bytes of noise as a file.
    Many files for a program, because drawing it takes hypothesis longer than most parsers take for a file.
    """
    damaged, edited = valid[0], 0
    for start in range(0, len(program) - _PASSAGE_BYTES + 1, _PASSAGE_BYTES):
        choice, edits = program[start], program[start + 1 : start + _PASSAGE_BYTES]
        if choice >= 224:
            yield program[start + 1 : start + 1 + _NOISE_BYTES]
        if choice % 5 or edited == _MOST_EDITS:
            damaged, edited = valid[choice // 5 % len(valid)], 0
        for place in range(0, len(edits), _EDIT_BYTES):
            kind, high, low, number = edits[place : place + _EDIT_BYTES]
            damaged = _edit(damaged, EDITS[kind % len(EDITS)], 256 * high + low, number)
            edited += 1
            yield damaged


def _edit(content: bytes, kind: str, place: int, number: int) -> bytes:
    """Applies one edit; places count on from the start where they are beyond the end.

    Half of them fall into the first 400 bytes, because headers decide how the rest is read.
    """
    damaged = bytearray(content)
    length = len(damaged)
    at = place // 2 % max(1, length if place % 2 else min(length, 400))
    if kind == "insert" or not length:
        damaged[at:at] = CELLS[number % len(CELLS)]
    elif kind == "set":
        damaged[at] = number
    elif kind == "flip":
        damaged[at] ^= 1 << number % 8
    elif kind == "delete":
        del damaged[at : at + 1 + number % 50]
    elif kind == "repeat":
        damaged[at:at] = damaged[place % length :][: 1 + number]
    elif kind == "cell":
        cells = content.split(b",")
        cells[place % len(cells)] = CELLS[number % len(CELLS)]
        return b",".join(cells)
    elif kind == "lines":
        lines = content.split(b"\n")
        line = lines.pop(place % len(lines))
        return b"\n".join(lines if number % 2 else [*lines[: number % 5], line, line, *lines])
    else:
        del damaged[at:]
    return bytes(damaged)


def flip_bit(content: bytes, bit: int) -> bytes:
    """Returns a file with one bit changed."""
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)
