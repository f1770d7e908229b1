"""Kenneth French's daily factors: invented numbers in his format; the network is a server of this process."""

import io
import re
import threading
import zipfile
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest

from marketimpact.errors import DataError, SourceError, SpecificationError
from marketimpact.sources import FrenchFactors
from marketimpact.sources.french import factors as french
from marketimpact.sources.french.factors import wrong_market

THU, FRI, MON = date(2025, 1, 2), date(2025, 1, 3), date(2025, 1, 6)
FF3 = "F-F_Research_Data_Factors_daily"
FF5 = "F-F_Research_Data_5_Factors_2x3_daily"
MOM = "F-F_Momentum_Factor_daily"
FOOTER = "\nCopyright 2025 Eugene F. Fama and Kenneth R. French\n"

THREE = f"""This file was created using the 202501 CRSP database.
The Tbill return is the simple daily rate that, over the number of trading days
in the month, compounds to 1-month TBill rate from Ibbotson and Associates, Inc.

,Mkt-RF,SMB,HML,RF
20250102,   -0.50,    0.25,   -1.00,   0.016
20250103,    1.25,  -99.99,    0.00,   0.016
20250106,   -2.00,    0.75, -999.00,   0.016
{FOOTER}"""
FIVE = f"""This file was created using the 202501 CRSP database.
The 1-month TBill rate data until 202405 are from Ibbotson Associates.

,Mkt-RF,SMB,HML,RMW,CMA,RF
20250102,   -0.50,    0.25,   -1.00,    0.10,   -0.20,   0.016
20250103,    1.25,    0.50,    0.00,    0.30,    0.40,   0.016
{FOOTER}"""
MOMENTUM = f"""This file was created using the 202501 CRSP database.  It contains a momentum factor, constructed
from six value-weight portfolios, with ME, and prior (2-12) returns.  Missing data are indicated by -99.99 or -999.

,Mom   
20241231,    9.00
20250102,    0.80
20250106,   -1.60
{FOOTER}"""  # noqa: W291  # he writes the blanks
REGIONAL = f"""This file was created using the 202501 Bloomberg database.

Missing data are indicated by -99.99.



,WML
20250102    ,0.40
20250103    ,-99.99
{FOOTER}"""
MONTHLY = f"""This file was created using the 202501 CRSP database.

,Mkt-RF,SMB,HML,RF
192607,   2.89,  -2.55,  -2.39,   0.22
192608,   2.64,  -1.14,   3.81,   0.25

 Annual Factors: January-December
,Mkt-RF,SMB,HML,RF
1927,  29.47,  -2.04,  -4.54,   3.12
{FOOTER}"""


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@pytest.fixture
def saved(tmp_path):
    """Writes a file; the factors in it."""

    def save(content, name=f"{FF3}.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return FrenchFactors(path=path)

    return save


def table(*rows, columns=",Mkt-RF,RF"):
    return "\n".join(["Words.", "", columns, *rows, FOOTER])


def close(frame, expected):
    """Same dates, empty where expected is, and decimals to the twelfth digit."""
    assert frame.height == len(expected)
    for row, wanted in zip(frame.rows(), expected, strict=True):
        assert row[0] == wanted[0]
        assert [value is None for value in row] == [value is None for value in wanted]
        assert [v for v in row[1:] if v is not None] == pytest.approx(
            [v for v in wanted[1:] if v is not None], abs=1e-12
        )


# --- what is read


def test_percent_becomes_decimal_and_missing_codes_become_empty(saved):
    frame = saved(THREE).read()
    assert frame.schema == pl.Schema({"date": pl.Date} | dict.fromkeys(("mktrf", "smb", "hml", "rf"), pl.Float64))
    close(
        frame,
        [
            (THU, -0.005, 0.0025, -0.01, 0.00016),
            (FRI, 0.0125, None, 0.0, 0.00016),
            (MON, -0.02, 0.0075, None, 0.00016),
        ],
    )


@pytest.mark.parametrize("code", ["-99.99", "-999", "-999.00", "-99.9900", "  -99.99 ", ""])
def test_every_way_to_write_missing_is_empty(saved, code):
    frame = saved(table("20250102, 1.0, 0.1", f"20250103,{code}, 0.1")).read()
    assert frame["mktrf"].to_list() == [0.01, None]


def test_a_return_near_the_missing_code_stays_a_number(saved):
    assert saved(table("20250102, -99.98, 0.1")).read()["mktrf"].to_list() == pytest.approx([-0.9998])


def test_five_factors_from_a_zip(saved):
    factors = saved(zipped(**{"F-F_Research_Data_5_Factors_2x3_daily.CSV": FIVE}), f"{FF5}_CSV.zip")
    close(
        factors.read(),
        [
            (THU, -0.005, 0.0025, -0.01, 0.001, -0.002, 0.00016),
            (FRI, 0.0125, 0.005, 0.0, 0.003, 0.004, 0.00016),
        ],
    )
    assert factors.read().columns == ["date", "mktrf", "smb", "hml", "rmw", "cma", "rf"]


def test_a_zip_is_known_by_its_content_and_the_folder_of_macos_is_passed_over(saved):
    raw = zipped(**{"factors.csv": THREE, "__MACOSX/._factors.csv": "x", "readme.txt": "y"})
    assert saved(raw, "download").read().height == 3


@pytest.mark.parametrize(("text", "expected"), [(MOMENTUM, [0.09, 0.008, -0.016]), (REGIONAL, [0.004, None])])
def test_momentum_has_one_name(saved, text, expected):
    frame = saved(text).read()
    assert frame.columns == ["date", "mom"]
    assert frame["mom"].to_list() == pytest.approx(expected, abs=1e-12)


def test_windows_lines_and_other_encodings(saved):
    french_text = THREE.replace("CRSP", "CRSP é").replace("\n", "\r\n")
    plain = saved(THREE).read()
    for encoding in ("utf-8", "utf-8-sig", "latin-1"):
        assert saved(french_text.encode(encoding)).read().equals(plain)


def test_a_file_saved_again_by_a_spreadsheet(saved):
    lines = [line if line.count(",") == 4 else line + ",,,," for line in THREE.splitlines()]
    assert saved("\n".join(lines)).read().equals(saved(THREE).read())


def test_rows_are_sorted_and_bounds_are_included(saved):
    factors = saved(table("20250106, 3, 0", "20250102, 1, 0", "20250103, 2, 0"))
    assert factors.read()["date"].to_list() == [THU, FRI, MON]
    assert factors.read(first=FRI)["mktrf"].to_list() == [0.02, 0.03]
    assert factors.read(THU, FRI)["mktrf"].to_list() == [0.01, 0.02]


def test_files_are_joined_on_the_days_of_the_first(tmp_path):
    three, momentum = tmp_path / f"{FF3}.csv", tmp_path / f"{MOM}.zip"
    three.write_text(THREE)
    momentum.write_bytes(zipped(**{f"{MOM}.csv": MOMENTUM}))
    factors = FrenchFactors(path=(three, str(momentum)))
    frame = factors.read()
    assert frame.columns == ["date", "mktrf", "smb", "hml", "mom", "rf"]
    close(frame.select("date", "mom"), [(THU, 0.008), (FRI, None), (MON, -0.016)])
    assert factors.region == "US"


def test_files_with_the_same_factor_are_not_joined(tmp_path):
    (tmp_path / "a.csv").write_text(THREE)
    (tmp_path / "b.csv").write_text(FIVE)
    with pytest.raises(DataError, match="'mktrf', 'smb', 'hml', 'rf', which may differ"):
        FrenchFactors(path=(tmp_path / "a.csv", tmp_path / "b.csv")).read()


# --- what is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MONTHLY, "line 4 begins '192607', not with a day such as 20250131. It is not a daily file"),
        (MONTHLY.replace("192607", "1926"), "line 4 begins '1926', not with a day"),
        (table("20250103,1,0", "20250110,1,0", "20250117,1,0"), "dates a week apart or more. It is not a daily file"),
        (b"", "has no line of column names that begins with a comma, such as ,Mkt-RF,SMB,HML,RF; it begins ''"),
        ("<html>Not here</html>", "it begins '<html>Not here</html>'"),
        (table(), "no row below its column names"),
        (table("20250102,1,0", "20250102,2,0"), "repeats dates, such as 2025-01-02"),
        (table("20250102,1,0", "20251301,2,0"), r"no date or number, such as in ('20251301', '2', '0')"),
        (table("20250102,one,0"), "no date or number"),
        (table("20250102,nan,0"), "no date or number"),
        (table("20250102,inf,0"), "no date or number"),
        (table("20250102,1"), "line 4 has other columns than date, mktrf, rf"),
        (table("20250102,1,0,7"), "line 4 has other columns than date, mktrf, rf"),
        (table("20250102,1,0", "", "20250103,1,0"), "several tables: rows continue in line 6"),
        (table("20250102,1,0", columns=",Lo 30,Hi 30"), "no known factors: 'lo', 'hi'"),
        (table("20250102,1,0", columns=",SMB,SMB"), "has a column twice"),
        (zipped(), "zip with no CSV: nothing"),
        (zipped(**{"a.txt": THREE}), "zip with no CSV: 'a.txt'"),
        (zipped(**{"a.csv": THREE, "B.CSV": THREE}), "zip with several CSVs: 'a.csv', 'B.CSV'"),
        (zipped(**{"a.csv": THREE})[:-30], "broken zip"),
    ],
)
def test_a_file_of_another_kind_is_refused(saved, content, message):
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        saved(content).read()
    assert str(caught.value).startswith(f"{FF3}.csv")


def test_the_rows_at_fault_are_handed_over(saved):
    with pytest.raises(DataError) as caught:
        saved(table("20250103,1,0", "20250102,1,0", "20250103,2,0")).read()
    assert caught.value.counts == {"repeated dates": 2}
    assert caught.value.rows["date"].to_list() == [FRI, FRI]


def test_two_days_around_a_long_holiday_are_daily(saved):
    assert saved(table("20250127,1,0", "20250204,1,0")).read().height == 2


def test_there_is_no_such_file(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv cannot be read \(No such file or directory\)"):
        FrenchFactors(path=tmp_path / "absent.csv").read()
    with pytest.raises(DataError, match="cannot be read"):
        FrenchFactors(path=tmp_path).read()


def test_no_row_on_the_requested_dates(saved):
    with pytest.raises(SourceError, match="it goes from 2025-01-02 to 2025-01-06") as caught:
        saved(THREE).read(first=date(2025, 1, 7))
    assert (caught.value.retryable, caught.value.symbols) == (False, (f"{FF3}.csv",))
    with pytest.raises(SpecificationError, match="Swap them"):
        saved(THREE).read(MON, THU)


# --- names and regions


@pytest.mark.parametrize("name", [FF3, f"{FF3}_CSV", f"{FF3}_CSV.zip", f"{FF3}.csv", f" {FF3}_csv.ZIP "])
def test_a_name_is_taken_with_and_without_its_ending(name):
    assert FrenchFactors(name) == FrenchFactors(FF3)
    assert FrenchFactors([name, MOM]).name == (FF3, MOM)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("F-F_Research_Data_Factors", "is not a daily dataset"),
        ("F-F_Research_Data_Factors_weekly", "is not a daily dataset"),
        ("../daily", "is not a dataset of Kenneth French's library"),
        ("", "is not a dataset of Kenneth French's library"),
        ((), "has no dataset"),
        ((FF3, None), "None is not a dataset"),
        (
            Path("saved_daily.csv"),
            "is not a dataset of Kenneth French's library, such as 'F-F_Research_Data_5_Factors_2x3_daily'. "
            "Give a file on disk",
        ),
        ((FF3, "Japan_Mom_Factor_Daily"), "several regions: 'Japan', 'US'. Read them separately"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name, message):
    with pytest.raises(SpecificationError, match=re.escape(message)):
        FrenchFactors(name)


@pytest.mark.parametrize(
    ("name", "region"),
    [
        (FF5, "US"),
        ("Developed_3_Factors_Daily", "Developed"),
        ("Developed_ex_US_3_Factors_Daily", "Developed_ex_US"),
        ("Asia_Pacific_ex_Japan_MOM_Factor_Daily_CSV.zip", "Asia_Pacific_ex_Japan"),
        ("japan_5_factors_daily", "Japan"),
        ("Europe_5_Factors_Daily", "Europe"),
        ("North_America_5_Factors_Daily", "North_America"),
        ("Emerging_5_Factors_Daily", "Emerging"),
        ("mine_daily", "unknown"),
    ],
)
def test_region_of_a_name_and_of_a_file(name, region):
    assert FrenchFactors(name).region == region
    assert FrenchFactors(path=f"/somewhere/{name}.csv").region == region
    assert FrenchFactors(path=("mine.csv", f"{name}.csv")).region == region


@pytest.mark.parametrize(
    ("mics", "region"),
    [
        (["XNYS", "XNAS"], "US"),
        (["XNAS", "XTSE"], "North_America"),
        (["XTKS"], "Japan"),
        (["XHKG", "XASX", "XSES", "XNZE"], "Asia_Pacific_ex_Japan"),
        (["XAMS", "XETR", "XPAR", "XLON"], "Europe"),
        (["XNYS", "XTKS", "XHKG", "XAMS", "XTSE"], "Developed"),
        (["XTKS", "XHKG"], "Developed_ex_US"),
        (["XSHG", "XSHE", "XTAI", "ROCO", "XKRX"], "Emerging"),
        (["XTAI"], "unknown"),
        ([], "US"),
    ],
)
def test_factors_that_fit_need_no_warning(mics, region):
    assert wrong_market(mics, region) is None


def test_factors_of_another_market_are_warned_of():
    said = wrong_market(["XNAS", "XTKS", "XTAI", "XKRX", "XTKS", "XAMS"], "US")
    assert said.startswith("Factors of region US are used for securities on XAMS, XKRX, XTAI, XTKS, outside it")
    assert "Daily factors of Europe cover XAMS. Daily factors of Japan cover XTKS." in said
    assert "No daily factors of Kenneth French's library are known to cover XKRX, XTAI: use a local benchmark." in said
    assert "XNAS" not in said
    assert "Daily factors of US cover XNAS" in wrong_market(iter(["XNAS"]), "Japan")
    assert "known to cover XXXX" in wrong_market(["XXXX"], "Developed")


def test_a_region_that_is_none():
    with pytest.raises(SpecificationError, match="'Asia' is not a region of Kenneth French's factors"):
        wrong_market(["XHKG"], "Asia")


# --- the network


@pytest.fixture
def site(monkeypatch):
    """Kenneth French's site, on this machine: path -> the replies to one request after another; and the requests."""
    answers, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            queue = answers.get(self.path, [(404, b"")])
            status, body, *length = queue.pop(0) if len(queue) > 1 else queue[0]
            self.send_response(status)
            self.send_header("Content-Length", str(*length or [len(body)]))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(french, "BASE", f"http://127.0.0.1:{server.server_port}/ftp/")
    yield answers, asked
    server.shutdown()
    server.server_close()


def test_a_dataset_from_the_network(site):
    answers, asked = site
    answers[f"/ftp/{FF3}_CSV.zip"] = [(200, zipped(**{f"{FF3}.CSV": THREE}))]
    answers[f"/ftp/{MOM}_CSV.zip"] = [(200, zipped(**{f"{MOM}.csv": MOMENTUM}))]
    frame = FrenchFactors((f"{FF3}_CSV.zip", MOM)).read(last=THU)
    assert asked == [f"/ftp/{FF3}_CSV.zip", f"/ftp/{MOM}_CSV.zip"]
    close(frame, [(THU, -0.005, 0.0025, -0.01, 0.008, 0.00016)])


def test_a_name_the_site_does_not_have(site):
    _, asked = site
    with pytest.raises(SourceError, match=rf"http://127\S+/ftp/{FF5}_CSV.zip could not be fetched .*404") as caught:
        FrenchFactors().read()
    assert (caught.value.retryable, caught.value.symbols, len(asked)) == (False, (FF5,), 1)
    text = str(caught.value)
    assert "Check the name on Kenneth French's site. Read a file saved from a browser with FrenchFactors(path" in text


def test_a_busy_server_is_tried_again(site):
    answers, asked = site
    answers[f"/ftp/{FF3}_CSV.zip"] = [(503, b""), (200, zipped(**{f"{FF3}.csv": THREE}))]
    assert FrenchFactors(FF3).read().height == 3
    assert len(asked) == 2


def test_a_server_that_stays_busy(site, monkeypatch):
    answers, asked = site
    monkeypatch.setattr(french, "RETRIES", 1)
    answers[f"/ftp/{FF3}_CSV.zip"] = [(503, b"")]
    with pytest.raises(SourceError, match="Check the network, or try again later") as caught:
        FrenchFactors(FF3).read()
    assert (caught.value.retryable, len(asked)) == (True, 2)


def test_a_download_that_breaks_off(site):
    answers, _ = site
    answers[f"/ftp/{FF3}_CSV.zip"] = [(200, b"PK", 1000)]
    with pytest.raises(SourceError, match="could not be fetched") as caught:
        FrenchFactors(FF3).read()
    assert caught.value.retryable


def test_a_page_in_place_of_the_zip(site):
    answers, _ = site
    answers[f"/ftp/{FF3}_CSV.zip"] = [(200, b"<html>Log in</html>")]
    with pytest.raises(DataError, match="it begins '<html>Log in</html>'"):
        FrenchFactors(FF3).read()


def test_no_one_listens(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(french, "BASE", "http://127.0.0.1:9/")
    monkeypatch.setattr(french, "RETRIES", 0)
    with pytest.raises(SourceError, match=r"127.0.0.1:9/\S+ could not be fetched \(ConnectionError") as caught:
        FrenchFactors(FF3).read()
    assert caught.value.retryable


def test_another_way_to_fetch():
    urls = []

    def get(url):
        urls.append(url)
        return zipped(**{"a.csv": THREE})

    assert FrenchFactors(FF3, get=get).read().height == 3
    assert urls == [f"https://mba.tuck.dartmouth.edu/pages/faculty/ken.french/ftp/{FF3}_CSV.zip"]


def test_a_failure_of_that_way_is_reported():
    def get(url):
        raise TimeoutError("too slow")

    with pytest.raises(SourceError, match=r"\(TimeoutError: too slow\)"):
        FrenchFactors(FF3, get=get).read()


def test_a_path_needs_no_network(saved, monkeypatch):
    monkeypatch.setattr(french, "_get", lambda url: pytest.fail("the network was used"))
    assert saved(THREE).read().height == 3
