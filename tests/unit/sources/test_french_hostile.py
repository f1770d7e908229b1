"""French's files damaged in every way that a zip can be, too large, or not files at all."""

import io
import os
import random
import tracemalloc
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

import marketimpact as mi
from marketimpact.sources import bounded_requests
from marketimpact.sources.french import factors, parser

TEXT = ",Mkt-RF,SMB,HML,RF\n" + "".join(f"202401{day:02d},0.10,0.20,-0.30,0.01\n" for day in range(2, 20))
METHODS = {"stored": 0, "deflate": 8, "bz2": 12, "lzma": 14}


def zipped(text=TEXT, method=8, name="F-F_daily.csv", **others):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", method) as file:
        for member, content in {name: text, **others}.items():
            file.writestr(member, content)
    return archive.getvalue()


def read(content):
    return mi.FrenchFactors(get=lambda url: content).read()


@pytest.mark.parametrize("method", ["stored", "deflate"])
def test_a_zip_as_on_the_site_is_read(method):
    assert read(zipped(method=METHODS[method]))["mktrf"].to_list() == pytest.approx([0.001] * 18)


@pytest.mark.parametrize("method", ["bz2", "lzma"])
def test_a_zip_whose_size_cannot_be_bounded_is_refused(method):
    with pytest.raises(mi.DataError, match=r"^F-F.* is a zip with another compression.*Unpack it"):
        read(zipped(method=METHODS[method]))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_damaged_zip_is_an_error_with_advice_or_right(method):
    whole, rng = zipped(method=method), random.Random(method)
    right = read(TEXT.encode())
    headers = [*range(60), *range(-100, 0)]
    for _ in range(1500):
        content = bytearray(whole)
        for at in rng.choices(headers if rng.random() < 0.7 else range(len(whole)), k=rng.randint(1, 3)):
            content[at] = rng.choice([0, 1, 8, 9, 12, 14, 95, 255, rng.randrange(256)])
        content = content[: rng.randrange(len(content))] if rng.random() < 0.1 else content
        try:
            assert read(bytes(content)).equals(right)
        except mi.DataError as error:
            assert str(error).endswith(".")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_zip_that_is_cut_is_an_error_with_advice(method, share):
    whole = zipped(method=method)
    with pytest.raises(mi.DataError, match=r"Download it again|Give the CSV or zip"):
        read(whole[: int(share * len(whole))])


def changed(at, value, *, central):
    """The zip with a field of its local or central header changed."""
    content = bytearray(zipped())
    start = content.index(b"PK\x01\x02") if central else 0
    content[start + at : start + at + len(value)] = value
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(changed(8, b"\x01\x00", central=True), id="encrypted"),
        pytest.param(changed(10, b"\x63\x00", central=True), id="unknown method"),
        pytest.param(changed(16, b"\0\0\0\0", central=True), id="checksum"),
        pytest.param(changed(42, b"\xff\xff\xff\x7f", central=True), id="offset"),
        pytest.param(changed(28, b"\x08\x00", central=True), id="length of name"),
        pytest.param(changed(26, b"\xff\xff", central=False), id="length of local name"),
        pytest.param(zipped(name="é.csv").replace("é".encode(), b"\xff\xff"), id="name"),
    ],
)
def test_a_zip_with_a_wrong_header_is_an_error_with_advice(content):
    with pytest.raises(mi.DataError, match=r"broken zip: .*Download it again|with no CSV|Unpack it"):
        read(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(name="notes.txt"), "^F-F.* with no CSV: 'notes.txt'"),
        (zipped(**{"second.csv": TEXT}), "several CSVs: 'F-F_daily.csv', 'second.csv'"),
        (zipped(name="a\nb.txt"), "no CSV: "),
        (b"PK\x05\x06" + bytes(18), "no CSV: nothing"),
        (zipped(text=bytes(range(256)) * 9), "no line of column names"),
        (zipped(text=TEXT.encode("utf-16")), "no line of column names"),
        (zipped(text=""), "no line of column names"),
        (zipped(text=zipped()), "no line of column names"),
        (TEXT.replace("20240102", "00000102").encode(), "no date or number"),
        (TEXT.replace("20240102", "20240230").encode(), "no date or number"),
        (TEXT.replace("0.10", "1e400").encode(), "no date or number"),
        (TEXT.replace("0.10", "\0").encode(), "no date or number"),
    ],
)
def test_other_content_is_an_error_that_names_it(content, message):
    with pytest.raises(mi.DataError, match=message):
        read(content)


def test_a_member_that_states_a_size_above_the_bound_is_not_unpacked():
    content = changed(24, (2**31).to_bytes(4, "little"), central=True)
    with pytest.raises(mi.DataError, match=r"'F-F_daily.csv' in .* is larger than 50 MB"):
        read(content)


@pytest.mark.parametrize("method", [8, 12])
def test_a_member_that_states_a_false_size_does_not_fill_the_memory(method):
    content = bytearray(zipped(text=b" " * 200_000_000, method=method))
    start = content.index(b"PK\x01\x02")
    content[start + 24 : start + 28] = (1000).to_bytes(4, "little")
    tracemalloc.start()
    with pytest.raises(mi.DataError, match=r"broken zip|another compression"):
        read(bytes(content))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 120_000_000


def test_a_file_above_the_bound_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(parser, "MAX_BYTES", 1000)
    path = tmp_path / "daily.csv"
    path.write_text(TEXT * 9)
    for source in (mi.FrenchFactors(path=path), mi.FrenchFactors(get=lambda url: path.read_bytes())):
        with pytest.raises(mi.DataError, match="larger than"):
            source.read()


def test_what_is_no_file_is_an_error_with_advice(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none.csv", "a\0b", "~nobody-of-this-name/x.csv"):
        with pytest.raises(mi.DataError, match=r"is no file|cannot be read"):
            mi.FrenchFactors(path=path).read()


@pytest.mark.parametrize("path", [3, b"x.csv", ["x.csv", None], {"x": 1}])
def test_a_path_of_another_type_is_a_wrong_specification(path):
    with pytest.raises(mi.SpecificationError, match="not a path"):
        mi.FrenchFactors(path=path)


@pytest.mark.parametrize("answer", [None, "text", 3, [b"x"]])
def test_a_download_that_gives_no_bytes_is_a_wrong_specification(answer):
    with pytest.raises(mi.SpecificationError, match="Return the bytes"):
        read(answer)


@pytest.mark.parametrize(("drop", "message"), [(b" " * 99_999, "larger than 1 MB"), (b" ", "TimeoutError")])
@pytest.mark.parametrize("place", ["headers", "body"])
def test_a_download_without_end_is_given_up(monkeypatch, drop, message, place):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(b"HTTP/1.0 200 OK\r\n" + (b"\r\n" if place == "body" else b"X: "))
            try:
                while True:
                    self.wfile.write(drop)
            except OSError:
                self.close_connection = True

        def log_message(self, *_):
            pass

    monkeypatch.setattr(bounded_requests, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(factors, "DOWNLOAD_SECONDS", 1.0)
    monkeypatch.setattr(factors, "RETRIES", 0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setattr(factors, "BASE", f"http://127.0.0.1:{server.server_address[1]}/")
        with pytest.raises(mi.SourceError, match="could not be fetched") as caught:
            mi.FrenchFactors().read()
        server.shutdown()
    assert caught.value.retryable
    assert message in str(caught.value) or place == "headers" or drop == b" "
