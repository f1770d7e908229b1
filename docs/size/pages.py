"""Write the tables and the chart of docs/size_and_power.md from rates.csv and situations.csv.

python -m docs.size.pages
"""

from __future__ import annotations

import re
from pathlib import Path

import altair as alt
import polars as pl
import vl_convert

import marketimpact as mi
from tests.size import legs
from tests.size.scenarios import SCENARIOS
from tests.size.situations import SITUATIONS
from tests.size.theory import CORRELATIONS, COUNTS, bmp_size, bmp_size_exact, patell_size
from tests.size.turbulent import NOT_CLAIMED, PRIMARY, PRIMARY_ONLY, with_rates

HERE = Path(__file__).parent
PAGE = HERE.parent / "size_and_power.md"
POWER = (8, 9)
#: A test counts as the worst of a situation only if it is called valid in so large a share of its samples.
WORST_SHARE = 0.1
#: Tests that differ in the variance they take: of the estimation window, of the evening before, of the events.
VARIANCES = ("portfolio_regression", "filtered_placebo_t", "bmp_kp")
REGIMES = (
    "calm_1", "calm_1_L5", "calm_1_L21", "one_x2_3", "2", "one_x2_10_L5", "one_x2_10_L21", "one_x2_20", "one_x2_70",
    "one_half_40", "one_gjr", "calm_one_date_4", "four_x2_10", "four_gjr", "calm_one_date_24", "4", "14", "12_x2_70",
    "own_2", "12_x2_10_own",
)  # fmt: skip
#: Keys of legs.csv, and its tests as the table names them.
LEG_KEYS = ("situation", "effect", "leg", "benchmark", "test")
LEG_TESTS = {"t": "one firm, t", "filtered": "one firm, filtered", "primary": "six firms, primary test"}
#: Scenarios of the chart: what policy announcements look like, and what they are mistaken for.
SHOWN = {2: "separate dates, fat tails", 3: "separate dates, own variance raised", 5: "one date, fat tails"}


def rates() -> pl.DataFrame:
    frame = pl.read_csv(HERE / "rates.csv").filter(pl.col("defined") > 0)
    return frame.with_columns((pl.col("rejected") / pl.col("defined")).alias("rate"))


def wide(length: int) -> str:
    """Write rejection rates: rows are tests in the order of the registry, columns scenarios."""
    found = {(r["test"], r["scenario"]): r["rate"] for r in rates().filter(pl.col("length") == length).to_dicts()}
    head = ["test", *(str(s.number) for s in SCENARIOS)]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for test in mi.TESTS:
        cells = [f"{found[test, s.number]:.3f}" if (test, s.number) in found else "" for s in SCENARIOS]
        if any(cells):
            lines.append(f"| [{test}](tests/{test}.md) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def theory() -> str:
    head = ["n", *(f"r = {r:.2f}" for r in CORRELATIONS)]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for n in COUNTS:
        cells = [f"{patell_size(n, r):.3f} / {bmp_size(n, r):.3f} / {bmp_size_exact(n, r):.3f}" for r in CORRELATIONS]
        lines.append(f"| {n} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def scenarios() -> str:
    return "\n".join(f"{s.number}. {s.title}" for s in SCENARIOS)


def situations() -> str:
    """Write one row per situation and alternative: the primary test, and the worst default test called valid."""
    counted = with_rates(pl.read_csv(HERE / "situations.csv"))
    found = {
        (row["situation"], row["test"]): row
        for row in counted.filter((pl.col("effect") > 0) & (pl.col("test") == PRIMARY)).to_dicts()
    }
    head = ["", "situation", "window", "samples", "primary test", "valid", "rejects if valid", "effect: found",
            "worst valid test"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    nulls = counted.filter(pl.col("effect") == 0)
    for (key, alternative), rows in nulls.group_by("situation", "alternative", maintain_order=True):
        situation, one_sided = SITUATIONS[str(key)], alternative != "two-sided"
        primary = rows.row(by_predicate=pl.col("test") == PRIMARY, named=True)
        name = rows.filter(pl.col("test") != PRIMARY).sort("is_primary", descending=True)["test"][0]
        power = found[str(key), PRIMARY]
        cells = [
            f"{key} (*)" if key in NOT_CLAIMED else f"{key} (**)" if key in PRIMARY_ONLY else str(key),
            situation.title + (f", alternative: {alternative}" if one_sided else ""),
            f"{situation.window[0]} to {situation.window[1]}",
            f"{primary['samples']:,}",
            f"[{name}](tests/{name}.md)",
            f"{primary['share_valid']:.2f}",
            _rate(primary),
            "" if one_sided else f"{power['effect']:.1%}: {power['rejected_valid'] / power['samples']:.2f}",
            _worst(rows),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def variances() -> str:
    """Write rejections of three tests in every sample, valid or not, by what had happened to volatility."""
    counted = with_rates(pl.read_csv(HERE / "situations.csv")).filter(alternative="two-sided")
    found = {(row["situation"], row["test"], row["effect"] > 0): row for row in counted.to_dicts()}
    head = ["", "situation", "window", "effect", *(f"[{test}](tests/{test}.md)" for test in VARIANCES)]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for key in REGIMES:
        effect, cells = counted.filter(situation=key)["effect"].max(), []
        for test in VARIANCES:
            null, moved = found[key, test, False], found[key, test, True]
            cells.append(f"{null['rate']:.3f} / {moved['rate']:.2f}" if null["rejected"] else "")
        window = " to ".join(map(str, SITUATIONS[key].window))
        lines.append("| " + " | ".join([key, SITUATIONS[key].title, window, f"{effect:.1%}", *cells]) + " |")
    return "\n".join(lines)


def _rate(row: dict[str, float]) -> str:
    return f"{row['rate_valid']:.3f} ± {row['mc_error']:.3f}" if row["called_valid"] else "never valid"


def _worst(rows: pl.DataFrame) -> str:
    tests = rows.filter((pl.col("test") != PRIMARY) & (pl.col("share_valid") >= WORST_SHARE))
    if tests.is_empty():
        return "none valid"
    worst = tests.sort("rate_valid", descending=True, maintain_order=True).row(0, named=True)
    return f"{worst['test']} {_rate(worst)}"


def leg_rates() -> str:
    """Write rejections in whole sessions and legs without an effect, and with one overnight."""
    counted = pl.read_csv(HERE / "legs.csv")
    found = {tuple(row[name] for name in LEG_KEYS): row for row in counted.to_dicts()}
    head = ["situation", "leg", "benchmark", *(f"{name}: rejects" for name in LEG_TESTS.values())]
    head += [f"finds {legs.EFFECT:.0%} overnight: {name}" for name in LEG_TESTS.values()]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for situation, title in legs.SITUATIONS.items():
        for leg, benchmark in legs.CELLS:
            rows = [
                found[situation, effect, leg, benchmark, test] for effect in (0.0, legs.EFFECT) for test in LEG_TESTS
            ]
            cells = [f"{row['rate']:.3f} ± {row['mc_error']:.3f}" for row in rows]
            lines.append("| " + " | ".join([title, leg, benchmark, *cells]) + " |")
    return "\n".join(lines)


def samples() -> str:
    """Say how many samples the table of situations is made from."""
    counted = pl.read_csv(HERE / "situations.csv")
    least, most = counted.filter(pl.col("effect") == 0)["samples"].min(), counted["samples"].max()
    effects = counted.filter(pl.col("effect") > 0)["samples"]
    errors = [(0.05 * 0.95 / n) ** 0.5 for n in (most, least)]
    return (
        f"{least:,} to {most:,} samples of each situation without an effect, as the table says, and "
        f"{effects.min():,} to {effects.max():,} with one. The Monte-Carlo error of a 5% rate is {errors[0]:.3f} to "
        f"{errors[1]:.3f} where a test is valid in all of them."
    )


def chart() -> alt.Chart:
    shown = rates().filter((pl.col("length") == 1) & pl.col("scenario").is_in(list(SHOWN)))
    # where the variance did rise, tests of variance are right to reject
    shown = shown.filter((pl.col("scenario") != 3) | ~pl.col("test").is_in(["event_variance_ratio", "cav"]))
    named = shown.with_columns(
        pl.col("scenario").replace_strict(SHOWN, return_dtype=pl.String).alias("events"),
        pl.when(pl.col("rate") > 0.08).then(pl.lit("above 8%")).otherwise(pl.lit("8% or less")).alias("verdict"),
    )
    data = alt.Data(values=named.select("test", "events", "rate", "verdict").to_dicts())
    order = [name for name in mi.TESTS if name in named["test"].to_list()]
    base = alt.Chart(data).encode(
        y=alt.Y("test:N", sort=order, title=None, axis=alt.Axis(labelLimit=220)),
        x=alt.X(
            "rate:Q", title="share of true nulls rejected", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])
        ),
    )
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        color=alt.Color("verdict:N", scale=alt.Scale(domain=["8% or less", "above 8%"], range=["#1b7f79", "#c8102e"]),
                        legend=alt.Legend(title=None, orient="top")),
        shape=alt.Shape("verdict:N", legend=None),
    )  # fmt: skip
    nominal = alt.Chart(data).mark_rule(strokeDash=[4, 3], color="#555").encode(x=alt.datum(0.05))
    faceted = alt.layer(points, nominal).properties(width=210, height=520)
    columns = alt.Column("events:N", title=None, sort=list(SHOWN.values()), header=alt.Header(labelFontSize=12))
    title = "Simulated: how often tests reject when nothing happened (24 events, one day, nominal 5%)"
    return faceted.facet(column=columns).properties(title=title)


def main() -> None:
    parts = {
        "scenarios": scenarios(),
        "one day": wide(1),
        "five days": wide(5),
        "theory": theory(),
        "samples": samples(),
        "situations": situations(),
        "variances": variances(),
        "legs": leg_rates(),
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, body in parts.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text, found = re.subn(pattern, lambda m, b=body: f"{m[1]}{b}\n{m[2]}", text, count=1, flags=re.DOTALL)
        if not found:
            raise SystemExit(f"{PAGE.name} has no place for '{name}'")
    PAGE.write_text(text, encoding="utf-8")
    (HERE / "rates.svg").write_text(vl_convert.vegalite_to_svg(chart().to_json()), encoding="utf-8")


if __name__ == "__main__":
    main()
