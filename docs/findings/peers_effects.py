"""Compute the tables of peers.md on effects: H20 and policy under a peer model beside the market model.

The rule, written and committed before it was run on these prices. Effects by the market model of h20.md and policy.md,
and the detectable effects and rejection rates of peers.md, were known; no effect with donors was.

* Announcements: of H20, 2025-08-12-beijing-discourages-h20; of policy, those of the table of detectable effects, whose
  day 0 is sure on the exchange (`peer_groups.sure_events`).
* Groups and donors: those of that table (`peer_groups.cells`).
* Models: the market model, and `mi.StatisticalFactors(donors)`, the page's primary peer model, for the same events.
* Test: `filtered_placebo_t`, two-sided at 5%, on [0, 1]. Where it is not valid there is no p, and the reason is shown.
* Families: for H20, Holm over the groups with a valid test, by model. For policy, Holm over all pairs of group and
  announcement whose test is valid under both models, by model, so that both families have the same pairs.
* Means: by group, over US restrictive announcements, of the events that both models have, by the primary test that the
  written rule of the package chooses; Holm over the groups with a valid test, by model.
* A finding is a p below 0.05 after Holm under the peer model. All groups are shown, whatever they give.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

import marketimpact as mi
from docs.findings.cells import p_value, percent, table
from docs.findings.peer_groups import MODELS, STUDY, announcement_tests, cells, sure_events, with_same_events
from docs.findings.policy import PRIMARY, PRIMARY_COLUMNS, primary_cells
from marketimpact.display.formats import interval
from marketimpact.inference import adjust
from marketimpact.study.headline import headline, reason_of

H20 = "2025-08-12-beijing-discourages-h20"
LEVEL = 0.05
#: The market model and the primary peer model.
PAIR = tuple(MODELS)[:2]
#: A test of one group at one announcement; `p` is NaN where the test is not valid.
TESTED = {"group": pl.String, "announcement": pl.String, "model": pl.String, "firms": pl.Int64, "donors": pl.Int64,
          "effect": pl.Float64, "ends": pl.String, "p": pl.Float64}  # fmt: skip


def tables(market: mi.Market, placebo: pl.DataFrame) -> dict[str, str]:
    """Compute the tables of effects by name; `placebo` has the tests of ordinary days, from `peers.placebo`."""
    results = group_results(market)
    tested = announcements(results)
    pairs = policy_pairs(tested)
    return {
        "H20": h20_table(tested),
        "policy": policy_table(tested, pairs),
        "after Holm": findings_table(tested, pairs),
        "small p on placebo days": tail_table(placebo, pairs.height),
        "US restrictive": means_table(results),
    }


def group_results(market: mi.Market) -> dict[str, dict[str, mi.StudyResult]]:
    """Run every group under both models: group -> model -> result, for the events that both have."""
    events, found = sure_events(market), {}
    for name, own, donors in cells(market):
        given = events.filter(pl.col("symbol").is_in(own))
        found[name] = with_same_events(
            {model: STUDY.but(model=MODELS[model](donors)).run(given, market) for model in PAIR}
        )
    return found


def announcements(results: dict[str, dict[str, mi.StudyResult]]) -> pl.DataFrame:
    """Test every group and announcement under both models: a frame of `TESTED`."""
    rows = []
    for group, by_model in results.items():
        for announcement, model, part, row in announcement_tests(by_model, dict.fromkeys(PAIR, PRIMARY)):
            donors = part.estimates["n_donors"].min() if "n_donors" in part.estimates.columns else None
            rows.append((group, announcement, model, part.events.height, donors, row["effect"], *_outcome(row)))
    return pl.DataFrame(rows, schema=TESTED, orient="row")


def _outcome(row: dict[str, Any]) -> tuple[str, float]:
    """Write the interval of a test, or why it is not valid, and give its p where it is."""
    if reason := reason_of(row):
        return f"not valid: {reason}", np.nan
    return interval(row["ci_low"], row["ci_high"]).replace("\u2212", "-"), row["p_value"]


def holm(p: pl.Series) -> pl.Series:
    """Correct the p-values of a family; NaN stays, and counts for nothing."""
    known, corrected = ~np.isnan(p.to_numpy()), np.full(len(p), np.nan)
    corrected[known] = adjust(p.to_numpy()[known], "holm")
    return pl.Series(corrected)


def h20_table(tested: pl.DataFrame) -> str:
    """Tabulate effect, interval, p and p after Holm of the H20 announcement by group under both models."""
    named = ("effect", "95% interval", "p", "p (Holm)")
    head = ["group", "firms", "donors", *(f"{model}: {name}" for model in PAIR for name in named)]
    own = tested.filter(announcement=H20)
    of_model = [own.filter(model=model).with_columns(corrected=holm(own.filter(model=model)["p"])) for model in PAIR]
    rows = [
        [market["group"], str(market["firms"]), str(peers["donors"]), *_effect_cells(market), *_effect_cells(peers)]
        for market, peers in zip(*(frame.iter_rows(named=True) for frame in of_model), strict=True)
    ]
    return table(head, rows)


def _effect_cells(row: dict[str, Any]) -> list[str]:
    return [percent(row["effect"]), row["ends"], p_value(row["p"]), p_value(row["corrected"])]


def policy_pairs(tested: pl.DataFrame) -> pl.DataFrame:
    """Keep pairs of group and announcement with a valid test under both models; p and p after Holm by model."""
    lead = ["group", "announcement"]
    p = [tested.filter(model=model).select(*lead, pl.col("p").alias(model)) for model in PAIR]
    pairs = p[0].join(p[1], on=lead, how="inner", validate="1:1", maintain_order="left").drop_nans(PAIR)
    return pairs.with_columns(holm(pairs[model]).alias(f"{model}, Holm") for model in PAIR)


def policy_table(tested: pl.DataFrame, pairs: pl.DataFrame) -> str:
    """Count by group the announcements with p below 5%, before and after Holm over all groups, under both models."""
    columns = [name for model in PAIR for name in (model, f"{model}, Holm")]
    every = tested.filter(model=PAIR[0])
    parts = [(group, pl.col("group") == group) for group in every["group"].unique(maintain_order=True)]
    rows = []
    for name, condition in [*parts, ("all groups", pl.lit(True))]:
        own = pairs.filter(condition)
        counts = [every.filter(condition).height, own.height, *((own[column] < LEVEL).sum() for column in columns)]
        rows.append([name, *map(str, counts)])
    counted = (f"{model}: {words}" for model in PAIR for words in ("p < 0.05", "after Holm"))
    return table(["group", "announcements", "valid under both models", *counted], rows)


def findings_table(tested: pl.DataFrame, pairs: pl.DataFrame) -> str:
    """Tabulate the pairs of group and announcement with a p below 5% after Holm under one of the models."""
    lead = ["group", "announcement"]
    found = pairs.filter(pl.any_horizontal(pl.col(f"{model}, Holm") < LEVEL for model in PAIR))
    rows = []
    for pair in found.sort("announcement", "group").iter_rows(named=True):
        own = tested.filter(group=pair["group"], announcement=pair["announcement"]).rows_by_key(
            "model", named=True, unique=True
        )
        effects = [[percent(own[m]["effect"]), own[m]["ends"], p_value(pair[f"{m}, Holm"])] for m in PAIR]
        rows.append([*(pair[name] for name in lead), str(own[PAIR[0]]["firms"]), *effects[0], *effects[1]])
    head = [f"{model}: {name}" for model in PAIR for name in ("effect", "95% interval", "p (Holm)")]
    return table([*lead, "firms", *head], rows)


def tail_table(placebo: pl.DataFrame, n_pairs: int) -> str:
    """Count valid tests of ordinary days with p below the level that Holm asks of the smallest of `n_pairs`.

    A check that the rule did not have, added when pairs with so small a p were seen.
    """
    bound = LEVEL / max(n_pairs, 1)
    rows = []
    for model in PAIR:
        own = placebo.filter(pl.col("model") == model, "valid")
        below = (own["p"] < bound).sum()
        rows.append([model, str(own.height), f"{bound:.5f}", str(below), f"{own.height * bound:.1f}"])
    return table(["model", "group days, valid test", "0.05 / pairs", "p below", "expected by chance"], rows)


def means_table(results: dict[str, dict[str, mi.StudyResult]]) -> str:
    """Tabulate mean effects over US restrictive announcements by group, by the primary test under each model."""
    rows: dict[str, list[list[str]]] = {model: [] for model in PAIR}
    p: dict[str, list[float]] = {model: [] for model in PAIR}
    for group, by_model in results.items():
        for model, result in by_model.items():
            part = result.where((pl.col("stance") == "restrictive") & (pl.col("jurisdiction") == "US"))
            found = headline(part.test(*PRIMARY)) if part.events.height else None
            if found is not None:
                n = str(part.events["announcement_id"].n_unique())
                rows[model].append([group, model, n, found.test, *primary_cells(found)])
                p[model].append(np.nan if found.p is None else found.p)
    corrected = {model: holm(pl.Series(p[model], dtype=pl.Float64)) for model in PAIR}
    lines = [[[*row, p_value(one)] for row, one in zip(rows[model], corrected[model], strict=True)] for model in PAIR]
    by_group = [line for pair in zip(*lines, strict=True) for line in pair]
    return table(["group", "model", "announcements", *PRIMARY_COLUMNS, "p (Holm)"], by_group)
