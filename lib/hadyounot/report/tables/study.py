"""Table 2, and what is explained: datasets, recommenders, and whom a deletion moves."""

from collections.abc import Iterable, Mapping

import pandas as pd

from ...study import paths, schemas
from ...study.cell import Cell
from ...study.config import StudyConfig
from .common import Table, footnotes, mark, pipes, stand_ins, texts


def datasets(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Table 2, schema ``schemas.TABLE2``: one row per dataset."""
    rows = []
    for cell in {cell.dataset: cell for cell in cells}.values():
        facts, paper = cell.read(paths.DATASET), study.published.table2.get(study.original(cell.dataset))
        counts = {name: facts[name] for name in ("users", "items", "interactions", "train", "test")}
        printed = {f"paper_{name}": getattr(paper, name, None) for name in ("users", "items", "interactions")}
        rows.append({"dataset": cell.dataset} | counts | printed)
    types = {name: "Int64" for name in schemas.TABLE2.columns if name != "dataset"}
    return pd.DataFrame(rows, columns=list(schemas.TABLE2.columns)).astype(types)


def datasets_markdown(frame: pd.DataFrame, standing: Mapping[str, str]) -> str:
    """Schema ``schemas.TABLE2`` as in the paper's Table 2; numbers beside a stand-in have a footnote."""
    shown = pd.DataFrame({"dataset": frame["dataset"]})
    for name in ("users", "items", "interactions"):
        shown[name] = [
            f"{ours:,}" + ("" if pd.isna(paper) else f" (paper{mark(dataset, standing)}: {paper:,})")
            for dataset, ours, paper in zip(frame["dataset"], frame[name], frame[f"paper_{name}"], strict=True)
        ]
    for name in ("train", "test"):
        shown[name] = frame[name].map("{:,}".format)
    told = "Table 2: users, items and ratings, and how many of these are trained on and tested with."
    return f"{told}\n\n{pipes(shown)}{footnotes(frame['dataset'], standing)}"


def _facts(cells: Iterable[Cell], pattern: str) -> pd.DataFrame:
    """What JSON of each cell says: a row per cell."""
    return pd.DataFrame([{"dataset": cell.dataset, "model": cell.model} | cell.read(pattern) for cell in cells])


def recommenders(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Quality of what is explained, schema ``schemas.RECOMMENDERS``: one row per cell."""
    frame = _facts(cells, paths.QUALITY)[list(schemas.RECOMMENDERS.columns)]
    return frame.astype({"factors": "Int64", "epochs": "Int64", "train_rmse": "float64", "test_rmse": "float64"})


def recommenders_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.RECOMMENDERS``, rounded."""
    shown = pd.DataFrame(
        {
            **frame[["dataset", "model"]],
            **{name: texts(frame[name], "{:,.0f}") for name in ("factors", "epochs")},
            "training RMSE": texts(frame["train_rmse"], "{:.4f}"),
            "test RMSE": texts(frame["test_rmse"], "{:.4f}"),
            "nDCG@10": texts(frame["ndcg_10"], "{:.4f}"),
            "users with the same top 1, %": texts(100 * frame["same_top1_share"], "{:.1f}"),
            "different top 1": frame["distinct_top1"],
            "items ranked": texts(frame["n_candidates"], "{:,}"),
        }
    )
    told = "What is explained: errors in stars, ranking of test ratings, and how many users are shown the same first."
    if (frame["epochs"].isna() & frame["test_rmse"].notna()).any():  # solved
        told += " A truncated SVD takes a missing rating for 0: its errors do not compare with others'."
    return f"{told}\n\n{pipes(shown)}"


def signal(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """How far deletions move whom, schema ``schemas.SIGNAL``: one row per cell."""
    frame = _facts(cells, paths.SIGNAL)
    ratio = frame["own_change"] / frame["others_change"].where(frame["others_change"] > 0)
    return frame.assign(ratio=ratio)[list(schemas.SIGNAL.columns)]


def signal_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.SIGNAL``, rounded."""
    shown = pd.DataFrame(
        {
            **frame[["dataset", "model"]],
            "own scores move by": texts(frame["own_change"], "{:.4g}"),
            "others' scores move by": texts(frame["others_change"], "{:.4g}"),
            "ratio": texts(frame["ratio"], "{:,.1f}"),
        }
    )
    told = "How far a deletion moves scores, in their own units: the mean change of whoever deletes, and of others."
    return f"{told}\n\n{pipes(shown)}"


def sutva(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Whose top recommendation a deletion changes, schema ``schemas.SUTVA``: one row per cell.

    The others looked at for one deletion are shown one retrained model, so they may move together: the variance of m of
    them is at most m times that of independent draws (Kish, Survey Sampling, 1965), which is that of a single one.
    """
    from statsmodels.stats.proportion import proportion_confint  # slow, and the other tables need it not

    frame = _facts(cells, paths.SIGNAL)
    share = frame["others_top1_changed"] / frame["others"]
    low, high = proportion_confint(share * frame["own"], frame["own"], alpha=0.05, method="wilson")
    return frame.assign(others_share=share, ci_low=low, ci_high=high)[list(schemas.SUTVA.columns)]


def sutva_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.SUTVA``, in words."""
    shown = pd.DataFrame(
        {
            **frame[["dataset", "model"]],
            "own top 1 changed": [f"{row.own_top1_changed} of {row.own}" for row in frame.itertuples()],
            "another user's": [
                f"{row.others_top1_changed} of {row.others} ({100 * row.ci_low:.1f} to {100 * row.ci_high:.1f} %)"
                for row in frame.itertuples()
            ],
        }
    )
    return (
        "One user deletes as many random items as an explanation has: who is recommended another item then, of those "
        "who delete, and of a few other users looked at for each. Intervals are as if those looked at for one deletion "
        f"told the same.\n\n{pipes(shown)}"
    )


TABLES = {
    "table2_datasets": Table(
        schemas.TABLE2, datasets, lambda frame, cells, study: datasets_markdown(frame, stand_ins(study))
    ),
    "recommenders": Table(schemas.RECOMMENDERS, recommenders, lambda frame, cells, study: recommenders_markdown(frame)),
    "signal": Table(schemas.SIGNAL, signal, lambda frame, cells, study: signal_markdown(frame)),
    "sutva": Table(schemas.SUTVA, sutva, lambda frame, cells, study: sutva_markdown(frame)),
}
