"""Turn a pandas frame into polars: its index, a matrix by date and security, columns of two levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from marketimpact.core.layouts import BENCHMARK, Layout
from marketimpact.core.pandas_columns import is_of_pandas, pandas_column
from marketimpact.core.text import closest_name, listed
from marketimpact.errors import DataError

__all__ = ["PandasFrame"]

#: Headings that name a field of one security's bars, in lower case, and so no security of a matrix.
FIELDS = frozenset(
    {"open", "high", "low", "close", "adj_close", "volume", "dividend", "dividends", "split", "stock_splits"}
    | {"capital_gains", "repaired?", "vwap", "turnover", "amount", "price", "prc", "ret", "return", "returns"}
)
#: Columns of yfinance that state dividends and splits beside a close.
PAYOUTS = frozenset({"Close", "Dividends", "Stock Splits"})
#: Names of an index of dates that say no more than that.
DATES = frozenset({"date", "datetime", "day", "index", "time", "timestamp"})
#: Number of columns that a message shows.
COLUMNS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class PandasFrame:
    """A pandas frame on its way to polars.

    Attributes
    ----------
    frame : pandas.DataFrame
        The frame; a Series is one of one column.
    kind : str
        "DataFrame" or "Series".
    label : str
        Name in messages.
    layout : Layout
        Columns that are needed.
    """

    frame: Any
    kind: str
    label: str
    layout: Layout

    @classmethod
    def of(cls, frame: Any, label: str, layout: Layout) -> PandasFrame:
        """Build from a DataFrame or a Series, whose name is that of its column."""
        if is_of_pandas(frame, "DataFrame"):
            return cls(frame, "DataFrame", label, layout)
        values = layout.value or (layout.required[-1][0] if layout.required else "0")
        name = values if frame.name is None else frame.name
        return cls(frame.to_frame(name), "Series", label, layout)

    def to_polars(self) -> pl.DataFrame:
        """Convert the frame, and raise DataError where it lacks columns."""
        if self.frame.columns.nlevels > 1:
            table = self._from_levels()
        else:
            self._refuse_repeats([str(name) for name in self.frame.columns])
            table = self._from_matrix() if self._is_matrix() else self._with_index()
        table = self._with_names(table)
        if lacking := [names for names in self.layout.required if not set(names) & set(table.columns)]:
            raise self._error(
                f"it lacks the column{'s' if len(lacking) > 1 else ''} "
                f"{', '.join(' or '.join(map(repr, names)) for names in lacking)}",
                self._how_to_complete([names[0] for names in lacking], table),
            )
        self._refuse_text_of_dates(table)
        return table

    def _refuse_text_of_dates(self, table: pl.DataFrame) -> None:
        """Stop at dates that are text, as `pandas.read_csv` leaves them."""
        name = self.layout.dates
        if name is None or self.layout.reads_text or table.schema.get(name) != pl.String:
            return
        first = str(table[name].drop_nulls().first())[:20]
        cells = f"frame[{name!r}]" if name in self.frame.columns else "frame.index"
        raise self._error(
            f"{name!r} holds text, such as {first!r}, not dates",
            f"Convert it, with the format it is written in: {cells} = pd.to_datetime({cells}, format=...)",
        )

    def _values(self) -> list[pl.Series]:
        """Convert the columns."""
        return [pandas_column(str(name), self.frame.iloc[:, k]) for k, name in enumerate(self.frame.columns)]

    def _index(self) -> list[pl.Series]:
        """Convert the levels of the index that say something; row numbers do not."""
        index, levels = self.frame.index, []
        for k in range(index.nlevels):
            values, name = index.get_level_values(k), index.names[k]
            if name is None and values.dtype.kind in "iu":
                continue
            column = pandas_column("", values.to_series())
            levels.append(column.alias(self._index_name(name, column, k)))
        return levels

    def _index_name(self, name: object, values: pl.Series, level: int) -> str:
        """Name a level of the index: dates and text without a name of their own by the layout."""
        taken = {str(column) for column in self.frame.columns}
        is_plain = name is None or str(name).lower() in DATES
        if is_plain and values.dtype.is_temporal() and self.layout.dates not in taken | {None}:
            return str(self.layout.dates)
        if name is None and values.dtype == pl.String and self.layout.names not in taken | {None}:
            return str(self.layout.names)
        unnamed = "index" if self.frame.index.nlevels == 1 else f"level_{level}"
        return unnamed if name is None else str(name)

    def _with_index(self) -> pl.DataFrame:
        """Put the levels of the index before the columns; one that repeats a column must be equal to it."""
        columns = {column.name: column for column in self._values()}
        index: dict[str, pl.Series] = {}
        for level in self._index():
            if level.name in index:
                raise self._error(
                    f"two levels of its index would be the column {level.name!r}",
                    "Name them: frame.index.names = [...]",
                )
            if level.name in columns and not level.equals(columns[level.name]):
                raise self._error(
                    f"its index and its column {level.name!r} are both {level.name!r}, and differ",
                    "Rename one, or leave out the index with .reset_index(drop=True)",
                )
            if level.name not in columns:
                index[level.name] = level
        return pl.DataFrame([*index.values(), *columns.values()])

    def _with_names(self, table: pl.DataFrame) -> pl.DataFrame:
        """Rename columns that a vendor spells otherwise, where the layout's own are absent.

        yfinance leaves out the adjusted close where it adjusts the close itself, which then includes the dividends.
        """
        names = {old: new for old, new in self.layout.fields.items() if old in table.columns}
        if names.keys() >= PAYOUTS and "Adj Close" not in names:
            names["Close"] = "adj_close"
        return table.rename({old: new for old, new in names.items() if new not in table.columns})

    def _is_matrix(self) -> bool:
        """Return whether the index are dates, and every column numbers under a heading that is no field."""
        index, columns = self.frame.index, self.frame.columns
        if self.layout.value is None or index.nlevels > 1 or not len(columns) or not self._has_dates():
            return False
        own = {name for names in self.layout.required for name in names}
        words = {str(name).lower().replace(" ", "_") for name in columns}
        if words & (FIELDS | own) or columns.dtype.kind == "M":
            return False
        return all(kind.kind in "fiu" for kind in self.frame.dtypes)

    def _has_dates(self) -> bool:
        return pandas_column("", self.frame.index.to_series()).dtype.is_temporal()

    def _from_matrix(self) -> pl.DataFrame:
        """Make one row per date and security."""
        layout = self.layout
        assert layout.dates is not None and layout.names is not None and layout.value is not None
        dates = pandas_column(layout.dates, self.frame.index.to_series())
        values = [column.cast(pl.Float64) for column in self._values()]
        rows = pl.DataFrame([dates, *values]).unpivot(
            index=layout.dates, variable_name=layout.names, value_name=layout.value
        )
        if layout is not BENCHMARK or len(values) == 1:
            return rows
        # its dates are sessions: an empty cell beside other benchmarks is a day on which this one has none
        has_return = pl.col(layout.value).is_not_null()
        return rows.filter(has_return | ~has_return.any().over(layout.names))

    def _from_levels(self) -> pl.DataFrame:
        """Make rows of columns with two levels, fields and securities, in either order."""
        columns, layout = self.frame.columns, self.layout
        own = {name for names in layout.required for name in names}
        levels = [{str(name) for name in columns.get_level_values(k)} for k in range(columns.nlevels)]
        fields = [
            k for k, names in enumerate(levels) if all(n.lower().replace(" ", "_") in FIELDS | own for n in names)
        ]
        if columns.nlevels != 2 or len(fields) != 1 or layout.value is None or layout.names is None:
            raise self._error(
                "its columns have levels that are not one of fields, such as Close, and one of tickers",
                'Give one level, such as frame["Close"], or one row per date and security',
            )
        self._refuse_repeats([str(pair) for pair in columns])
        level = fields[0]
        index = self._index()
        parts = []
        for ticker in dict.fromkeys(columns.get_level_values(1 - level)):
            chosen = [k for k, pair in enumerate(columns) if pair[1 - level] == ticker]
            values = [pandas_column(str(columns[k][level]), self.frame.iloc[:, k]) for k in chosen]
            names = pl.Series(layout.names, [str(ticker)] * len(self.frame), dtype=pl.String)
            parts.append(pl.DataFrame([*index, names, *values]))
        return pl.concat(parts, how="diagonal_relaxed")

    def _refuse_repeats(self, names: Sequence[str]) -> None:
        if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
            raise self._error(
                f"columns occur more than once: {listed(repeated)}",
                "Keep one of each: frame.loc[:, ~frame.columns.duplicated()]",
            )

    def _how_to_complete(self, lacking: Sequence[str], table: pl.DataFrame) -> str:
        """Say what to do about columns that are absent."""
        letters = {name.lower().replace("_", "").replace(" ", ""): name for name in table.columns}
        close = {name: closest_name(name.replace("_", ""), letters, cutoff=0.8) for name in lacking}
        renames = {letters[match]: name for name, match in close.items() if match}
        if advice := self._how_to_reshape(lacking):
            return advice
        if renames:
            return f"Rename with .rename(columns={renames})"
        if self.layout.value is not None and list(lacking) == ["symbol"]:
            return 'If these are the rows of one security, name it with .assign(symbol="NVDA")'
        return "Add what is missing, or rename with .rename(columns={...})"

    def _how_to_reshape(self, lacking: Sequence[str]) -> str:
        """Say how a frame of another shape becomes what is needed; empty for a frame that has it."""
        layout, columns = self.layout, self.frame.columns
        words = {str(name).lower().replace(" ", "_"): str(name) for name in columns.get_level_values(0)}
        if columns.nlevels == 1 and columns.dtype.kind == "M":
            return "Its columns are dates: turn it with .T"
        if {layout.dates, layout.value} & {*lacking} and self._index_is_text_of_dates():
            return "Its index is text: frame.index = pd.to_datetime(frame.index)"
        if layout.value == "ret" and "ret" in lacking and "close" in words:
            return f"These are prices: give returns, such as frame[{words['close']!r}].pct_change()"
        if layout.value is not None and layout.value in lacking and "date" in words and not words.keys() & FIELDS:
            return f"A matrix of securities has its dates as index: .set_index({words['date']!r})"
        return ""

    def _index_is_text_of_dates(self) -> bool:
        if self.frame.index.nlevels > 1:
            return False
        values = pandas_column("", self.frame.index.to_series())
        return values.dtype == pl.String and bool(
            values.str.contains(r"^(\d{4}-?\d{2}-?\d{2}|\d{1,2}/\d{1,2}/\d{2,4})").all()
        )

    def _error(self, why: str, advice: str) -> DataError:
        """Build an error: what was given, why it cannot be read, and what to do."""
        return DataError(f"{self.label}: a pandas {self._describe()} cannot be read: {why}. {advice}.")

    def _describe(self) -> str:
        """Describe the frame by its columns and its index."""
        columns, index = self.frame.columns, self.frame.index
        names = listed([str(name) for name in columns], limit=COLUMNS_SHOWN)
        levels = f" in levels ({', '.join(map(str, columns.names))})" if columns.nlevels > 1 else ""
        rows = f"{len(index)} row{'' if len(index) == 1 else 's'}"
        named = ", ".join("unnamed" if name is None else repr(str(name)) for name in index.names)
        return f"{self.kind} with {rows}, columns {names or 'none'}{levels} and the index {named} ({index.dtype})"
