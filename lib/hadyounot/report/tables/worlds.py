"""What decides validity: the same methods in every world, protocol and reading of a study, and over its repetitions."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from ...compare import statistics
from ...retrain.protocols import Numbering
from ...retrain.ratings import Deletion
from ...study import paths, schemas
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import METHOD, family, in_order
from .common import Table, by_method, pipes, span, texts
from .validity import evaluation, ordered


def readings(cell: Cell, study: StudyConfig) -> Iterator[tuple[str, pd.DataFrame]]:
    """By reading, verdicts on methods and controls, schema ``schemas.EVALUATION``: effects, surrogates and what is
    verified are all on that reading. What is proven on the cell's own is left out of another, of which nothing was
    proven; the oracle there is the best of what was recorded.
    """
    tested, own = evaluation(cell), study.place(cell.dataset, cell.model)["reading"]
    yield own, tested
    if own == "unseen" and cell.study.cells[0].analysed and "reading" in study.ablations.families:
        variants = family("reading", study.ablations, study.explanation.explanation_size)
        learnt = {method.control: method.name for method in variants if method.learner and method.learner.readmitted}
        relearnt = cell.read(paths.ABLATION, family="reading")
        lost = [name for name in tested["method"].unique() if METHOD[name].proves or name in learnt]
        parts = [tested[~tested["method"].isin(lost)]]
        parts += [relearnt[relearnt["method"] == name].assign(method=original) for original, name in learnt.items()]
        readmitted = ordered(pd.concat(parts, ignore_index=True))
        ranks = readmitted["rank_after_readmitted"]
        names_items = readmitted["method"].map(lambda name: name == "oracle" or METHOD[name].explains)
        best = ranks[names_items].groupby(readmitted["user"]).max()
        ranks = ranks.where(readmitted["method"] != "oracle", readmitted["user"].map(best))
        yield "readmitted", readmitted.assign(rank_after=ranks)


def worlds(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Schema ``schemas.WORLDS``: each cell on each reading, by method and K."""
    frames = []
    for cell in cells:
        quality = cell.read(paths.QUALITY)
        paper = study.published.validity(cell.kind, study.original(cell.dataset))
        test, train = np.array([quality["test_rmse"], quality["train_rmse"]], dtype=np.float64)  # None is no number
        said = {"test_rmse": test, "ndcg_at_10": quality["ndcg_10"]}
        said |= {"distinct_top1": quality["distinct_top1"], "train_gap": test - train}
        for reading, tested in readings(cell, study):
            ours = statistics.validity(tested, study.explanation.top_k)
            ours["paper"] = [paper.get(key, np.nan) for key in zip(ours["method"], ours["top_k"], strict=True)]
            where = study.place(cell.dataset, cell.model) | {"reading": reading}
            frames.append(ours.assign(**where, **said))
    return pd.concat(frames, ignore_index=True)[list(schemas.WORLDS.columns)]


def replication(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Schema ``schemas.REPLICATION``: the worlds that the study has on several splits or from several seeds."""
    by_name = {(cell.dataset, cell.model): cell for cell in cells}
    rows = []
    for name, repeated in study.repetitions().items():
        splits, seeds = (sorted(set(each)) for each in zip(*repeated, strict=True))
        paper = study.published.validity(name[1], study.original(name[0]))
        ranks = {at: statistics.ranks(evaluation(by_name[names])) for at, names in repeated.items()}
        for method in in_order(ranks[splits[0], seeds[0]]):
            for k in study.explanation.top_k:
                valid = np.array([[ranks[split, seed][method] > k for seed in seeds] for split in splits])
                shares = valid.mean(axis=2)
                low, high = statistics.hierarchical_interval(valid, study.seed)
                deviation = shares.std(axis=1, ddof=1).mean() if len(seeds) > 1 else np.nan
                counts, found = valid.shape, (valid.mean(), low, high, shares.min(), shares.max(), deviation)
                rows.append((*name, method, k, *counts, *found, paper.get((method, k), np.nan)))
    return pd.DataFrame(rows, columns=list(schemas.REPLICATION.columns))


def renumbered(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Schema ``schemas.RENUMBERED``: of cells that are rebuilt, explanations that give anybody another number, and
    those that do not.
    """
    frames = [pd.DataFrame(columns=list(schemas.RENUMBERED.columns))]
    for cell in cells:
        where = study.place(cell.dataset, cell.model)
        if where["protocol"] != "rebuilt":
            continue
        tested, numbering = evaluation(cell), Numbering(cell.train)
        tested = tested[tested["method"].map(lambda name: METHOD[name].explains)]
        deletions = [Deletion(*each) for each in zip(tested["user"], map(tuple, tested["items"]), strict=True)]
        kinds = pd.Series([numbering.renumbers(rows) for rows in cell.train.deleted_rows(deletions)], tested.index)
        for moved in (True, False):
            for method, rows in tested[kinds == moved].groupby("method", sort=False):
                shares = statistics.validity(rows, study.explanation.top_k)
                frames.append(shares.assign(**where, method=method, renumbers=moved))
    return pd.concat(frames[1:] or frames, ignore_index=True)[list(schemas.RENUMBERED.columns)]


def indifferent(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Schema ``schemas.INDIFFERENT``: see ``stages.learn.indifferent``."""
    return pd.DataFrame(
        [
            study.place(cell.dataset, cell.model) | {"method": name}
            for cell in cells
            for name in cell.read(paths.SURROGATE_FITS)["indifferent"]
        ],
        columns=list(schemas.INDIFFERENT.columns),
    )


def expected(table: pd.DataFrame, expectations: Iterable[tuple[str, dict[str, Any], dict[str, Any]]]) -> pd.DataFrame:
    """What was expected of a study before its numbers were seen, beside what came out. Differences are taken for
    those of independent users, as a table of shares does not say who is valid in both.

    Args:
        table: schema ``schemas.WORLDS``.
        expectations: in words; and two choices of rows, by column, of which the first was expected to be higher, in
            every world where they do not name one.

    Returns:
        a row for each, and each world that has both: expected, in (which world), first and second (validities in
        percent), difference (points, 95 %), verdict: "as expected" or "the opposite" where the interval leaves out 0,
        "not told apart" where it does not, and "not in this study" where no world has one row each.
    """
    rows = []
    for words, higher, than in expectations:
        sides = [table.loc[(table[list(one)] == pd.Series(one)).all(axis=1)] for one in (higher, than)]
        by = ["dataset"] if "world" in higher else ["dataset", "world"]
        places = sides[0][by].drop_duplicates().itertuples(index=False)
        known = len(rows)
        for place in places:
            found = [side[(side[by] == list(place)).all(axis=1)] for side in sides]
            if [len(each) for each in found] != [1, 1]:
                continue
            shares = [tuple(each[["validity", "ci_low", "ci_high"]].iloc[0]) for each in found]
            difference, low, high = statistics.independent_difference(*shares)
            verdict = "as expected" if low > 0 else "the opposite" if high < 0 else "not told apart"
            told = f"{100 * difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
            rows.append((words, ", ".join(place), *(f"{100 * share:.1f}" for share, _, _ in shares), told, verdict))
        if len(rows) == known:
            rows.append((words, "", "", "", "", "not in this study"))
    return pd.DataFrame(rows, columns=["expected", "in", "first, %", "second, %", "difference", "verdict"])


def alike(table: pd.DataFrame, indifferent: pd.DataFrame) -> pd.DataFrame:
    """Every world retrained as the paper does, pinned and unseen, by dataset, recommender, world, method and K: means
    over splits and seeds of ``validity``, ``test_rmse``, ``train_gap`` and ``paper``, and whether the method is a
    surrogate that in any of them ``names_any`` items.

    Args:
        table: schema ``schemas.WORLDS``.
        indifferent: schema ``schemas.INDIFFERENT``.
    """
    chosen = named(table, indifferent)
    chosen = chosen[(chosen["protocol"] == "pinned") & (chosen["reading"] == "unseen")]
    by = ["dataset", "recommender", "world", "method", "top_k"]
    of = dict.fromkeys(["validity", "test_rmse", "train_gap", "paper"], "mean") | {"names_any": "max"}
    return chosen.groupby(by, sort=False).agg(of).reset_index()


def named(table: pd.DataFrame, indifferent: pd.DataFrame) -> pd.DataFrame:
    """The table, schema ``schemas.WORLDS``, with ``names_any``: whether the method is a surrogate that is in
    ``indifferent``.
    """
    both = table.merge(indifferent.assign(names_any=True), how="left")
    return both.assign(names_any=both["names_any"].eq(True))


def best(table: pd.DataFrame) -> pd.DataFrame:
    """Of each world as it is, which method that retrains nothing is valid for most users at each K (the first of
    equals), if more than random items are, beside what is proven by retraining and the ceiling: means over splits and
    seeds, where there are several. Schema ``schemas.WORLDS``.
    """
    own = table[(table["protocol"] == "pinned") & (table["reading"] == "unseen")]
    rows = []
    for (dataset, kind, world), group in own.groupby(["dataset", "recommender", "world"], sort=False):
        row = {"dataset": dataset, "recommender": kind, "world": world}
        for k, at in group.groupby("top_k"):
            shares = at.groupby("method", sort=False)["validity"].mean()
            told = shares[[name for name in shares.index if METHOD[name].role != "control" and not METHOD[name].proves]]
            found = f"{METHOD[told.idxmax()].label}: {100 * told.max():.0f}"
            if told.max() <= shares["random"]:
                found = f"none above random items: {100 * shares['random']:.0f}"
            proven = f", proven {100 * shares['verified']:.0f}" if "verified" in shares else ""
            ceiling = f" of {100 * shares['oracle']:.0f} %" if "oracle" in shares else ""
            row[f"K = {k}"] = found + proven + ceiling
        rows.append(row)
    return pd.DataFrame(rows)


def _percent(row: Any) -> str:
    return f"{100 * row.validity:.1f} [{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]"


def markdown(frame: pd.DataFrame, study: StudyConfig) -> str:
    """Schema ``schemas.WORLDS``: the best of each world; and methods by K, for each world, protocol and reading."""
    parts = [
        "Validity in percent: the same explanations learnt, searched and verified in each world. A world is how the "
        "recommender is regularised and trained; a protocol is what a retraining keeps of the original's; a reading is "
        "what may be recommended. Repetitions on other splits and from other seeds are in `replication`.\n"
        "\nProtocols: `pinned` keeps ids, initial weights and the order of ratings, `rebuilt` none of these, "
        "`reseeded` all but the initial weights, `reshuffled` all but the order, `warm` the trained weights too. "
        "Readings: `unseen` leaves out what was rated, deleted or not; on `readmitted` deleted items may be offered "
        "again, surrogates are learnt anew for that, and nothing was proven; `seen` leaves out nothing.\n"
    ]
    found = best(frame)
    if len(found):
        cells = found[["dataset", "recommender"]].itertuples(index=False)
        found = found.drop(columns="dataset").assign(recommender=[study.kind_title(*names) for names in cells])
        parts.append(
            "\n## The best that retrains nothing, in each world (pinned, unseen; means over splits and seeds)\n\n"
            + pipes(found)
        )
    first = frame[(frame["split_seed"] == 0) & (frame["model_seed"] == 0)]
    for (dataset, kind, *place), rows in first.groupby(
        ["dataset", "recommender", "world", "protocol", "reading"], sort=False
    ):
        spelled = "{:.1f}" if any(100 % count for count in rows["n_users"]) else "{:.0f}"
        told = rows.assign(text=texts(100 * rows["validity"], spelled), column=rows["top_k"].map("K = {}".format))
        one = rows.iloc[0]
        quality = f"nDCG@10 {one['ndcg_at_10']:.4f}"
        if pd.notna(one["test_rmse"]):
            train = one["test_rmse"] - one["train_gap"]
            quality = f"Training RMSE {train:.3f}, test RMSE {one['test_rmse']:.3f}, {quality}"
        heading = f"{study.kind_title(dataset, kind)}, {', '.join(place)} ({span(rows['n_users'])} users)"
        parts.append(f"\n## {heading}\n\n{quality}.\n\n{by_method(told)}")
    return "".join(parts)


def replication_markdown(frame: pd.DataFrame, study: StudyConfig) -> str:
    """Schema ``schemas.REPLICATION``: methods by K, for each world."""
    parts = [
        "Validity in percent over splits and seeds, with a 95 % interval of the hierarchical bootstrap over splits, "
        "seeds and users, and from the lowest to the highest of the repetitions. A few splits that differ much "
        "make intervals too short; alike ones, too long, as users are drawn within splits that are drawn.\n"
    ]
    for (dataset, kind, world), rows in frame.groupby(["dataset", "recommender", "world"], sort=False):
        told = [
            rows.assign(text=[_percent(row) for row in rows.itertuples()], column="K = "),
            rows.assign(
                text=[f"{100 * row.lowest:.1f} to {100 * row.highest:.1f}" for row in rows.itertuples()],
                column="lowest to highest, K = ",
            ),
        ]
        both = pd.concat(told).sort_values("top_k", kind="stable")
        wide = by_method(both.assign(column=both["column"] + both["top_k"].astype(str)))
        one = rows.iloc[0]
        counts = f"{one['n_splits']} splits × {one['n_seeds']} seeds × {one['n_users']} users"
        parts.append(f"\n## {study.kind_title(dataset, kind)}, {world} ({counts})\n\n{wide}")
    return "".join(parts)


def indifferent_markdown(frame: pd.DataFrame, study: StudyConfig) -> str:
    """Schema ``schemas.INDIFFERENT``: the surrogates of each cell."""
    told = frame.assign(
        where=[study.kind_title(*each) for each in zip(frame["dataset"], frame["recommender"], strict=True)],
        surrogates=frame["method"].map(lambda name: METHOD[name].label),
    )
    by = ["where", "world", "protocol", "reading", "split_seed", "model_seed"]
    wide = told.groupby(by, sort=False)["surrogates"].agg("; ".join).reset_index()
    wide.columns = ["", "world", "protocol", "reading", "split", "seed", "surrogates that name any items"]
    return (
        "Surrogates that cross-validation left no weight on deleted items: what they name is chance, so their validity "
        "is that of random items, and differences between two of them say nothing.\n"
        f"\n{pipes(wide.astype(str)) if len(wide) else 'None in this study.'}\n"
    )


def renumbered_markdown(frame: pd.DataFrame, study: StudyConfig) -> str:
    """Schema ``schemas.RENUMBERED``, rounded, of the first split and seed."""
    parts = [
        "Rebuilt training sets give ids by first appearance: validity, in percent, of explanations that delete the "
        "first appearance of a user or an item, so that anybody is numbered anew, and of those that do not.\n"
    ]
    first = frame[(frame["split_seed"] == 0) & (frame["model_seed"] == 0)]
    for (dataset, kind, world), rows in first.groupby(["dataset", "recommender", "world"], sort=False):
        parts.append(f"\n## {study.kind_title(dataset, kind)}, {world}\n")
        for renumbers, some in rows.groupby("renumbers", sort=False):
            told = some.assign(
                text=[_percent(row) for row in some.itertuples()], column=some["top_k"].map("K = {}".format)
            )
            users = some.drop_duplicates("method").assign(column="users", text=lambda each: each["n_users"].astype(str))
            heading = "Somebody is numbered anew" if renumbers else "Nobody is"
            parts.append(f"\n### {heading}\n\n{by_method(pd.concat([users, told]))}")
    return "".join(parts)


TABLES = {
    "worlds": Table(schemas.WORLDS, worlds, lambda frame, cells, study: markdown(frame, study)),
    "replication": Table(
        schemas.REPLICATION, replication, lambda frame, cells, study: replication_markdown(frame, study)
    ),
    "indifferent": Table(
        schemas.INDIFFERENT, indifferent, lambda frame, cells, study: indifferent_markdown(frame, study)
    ),
    "renumbered": Table(schemas.RENUMBERED, renumbered, lambda frame, cells, study: renumbered_markdown(frame, study)),
}
