"""Text as it comes from outside: soup of bytes, and files that are nearly right."""

from __future__ import annotations

from hypothesis import strategies as st

#: Cells that readers have stumbled over, here or elsewhere.
CELLS = [
    "", " ", "NVDA", "AMD", "0700", "2024-01-08", "2024-01-09", "2024-01-10 00:00:00-05:00", "20240109", "2024-02-30",
    "0000-00-00", "0001-01-01", "9999-12-31", "99999-01-01", "-2024-01-08", "+2024-01-08", "24-01-08", "2024-1-8",
    "2024-01-08T00:00", "2024-01-08T25:61:00Z", "2024-01-08T14:30:00Z", "2024-01-08 14:30:00.123456+08:00", "NaT",
    "1", "1.5", "-1.5", "0", "-0.0", "1e3", "1e308", "1e999", "-1e999", "1e-400", "inf", "-Infinity", "nan", "NaN",
    "null", "None", "n/a", "1_000", "1,5", "1.234,5", "0x10", "１２", "٣", "+1.5", "5.", ".5", "1" * 400,
    "0." + "3" * 60, "true", "yes", "FALSE", "minute", "day", "hour", "restrictive", "mixed", "XNAS", "NOWHERE",
    "Asia/Shanghai", "Mars/Base", "a\0b", "\ufeff", "é", "中芯国际", "\u2028", "\x0b", "\x1c", "\x85", "\u200b", "💥",
    "=1+1", "<script>", "a;b;;c", ";", "a\nb", "a\rb", "a,b", 'a"b', '"', '""', "'", "\\", "\t", "-99.99", "-999",
]  # fmt: skip

cells = st.sampled_from(CELLS) | st.text(max_size=8) | st.floats().map(repr) | st.dates().map(str)


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@st.composite
def tables(draw: st.DrawFn, columns: list[str], good: dict[str, list[str]]) -> bytes:
    """A CSV with a header that is mostly right, and cells that mostly are not."""
    header = draw(st.permutations(columns)) if draw(st.booleans()) else list(columns)
    if draw(st.integers(0, 9)) == 0:
        header = [*header, draw(st.sampled_from([header[0], "", "other"]))]
    wrong = draw(st.sampled_from([0, 0, 0, 1, 2]))
    rows = []
    for at in range(draw(st.integers(1, 6))):
        # the first column of `good` is cycled through, so that keys seldom repeat
        row = [draw(st.sampled_from(good.get(name, ["1.5"]))) for name in header]
        row = [
            good[name][at % len(good[name])] if name in list(good)[:2] else cell
            for name, cell in zip(header, row, strict=True)
        ]
        for _ in range(wrong):
            row[draw(st.integers(0, len(row) - 1))] = draw(cells)
        rows.append(row)
    style = draw(st.sampled_from(["plain", "quoted", "mixed"]))
    ends = st.sampled_from(draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r", "\n\n"]])))
    separators = [","] * 4 + ([";", "\t"] if wrong == 2 else [])
    text = ""
    for row in [header, *rows]:
        written = [
            quoted(cell) if style == "quoted" or (style == "mixed" and any(c in cell for c in ',"\n\r')) else cell
            for cell in row
        ]
        text += draw(st.sampled_from(separators)).join(written)
        text += draw(ends)
    encoding = draw(st.sampled_from(["utf-8"] * 9 + ["utf-8-sig", "utf-16", "latin-1", "gb18030"]))
    return damaged(draw, text.encode(encoding, errors="replace"))


def damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    """The bytes, now and then with some cut out, put in, or cut off."""
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 3]))):
        at = draw(st.integers(0, len(raw)))
        length = draw(st.integers(0, 5))
        raw = (
            raw[:at] + draw(st.binary(max_size=4) | st.sampled_from([b'"', b"\0", b",", b"\xff"])) + raw[at + length :]
        )
    return raw


def soup(columns: list[str], good: dict[str, list[str]]) -> st.SearchStrategy[bytes]:
    return tables(columns, good) | st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode())


@st.composite
def mutated(draw: st.DrawFn, raw: bytes) -> bytes:
    """A good file with a few bytes changed."""
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        raw = raw[:at] + draw(st.binary(max_size=3)) + raw[at + draw(st.integers(0, 3)) :]
    return raw
