"""Table 2, and what is explained: datasets, recommenders, and whom a deletion moves."""

from collections.abc import Iterable

import pandas as pd

from ...study import paths, schemas
from ...study.cell import Cell
from ...study.config import StudyConfig
from .common import Table, footnotes, mark, pipes, stand_ins, texts, titled


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


def datasets_markdown(frame: pd.DataFrame, study: StudyConfig) -> str:
    """Schema ``schemas.TABLE2`` as in the paper's Table 2; numbers beside a stand-in have a footnote."""
    titles = study.titles
    standing = {titles[name]: titles.get(paper, paper) for name, paper in stand_ins(study).items()}
    frame = frame.assign(dataset=frame["dataset"].map(titles))
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


def recommenders_markdown(frame: pd.DataFrame, study: StudyConfig) -> str:
    """Schema ``schemas.RECOMMENDERS``, rounded."""
    shown = pd.DataFrame(
        {
            "recommender": titled(frame, study.title),
            **{name: texts(frame[name], "{:,.0f}") for name in ("factors", "epochs")},
            "training RMSE": texts(frame["train_rmse"], "{:.4f}"),
            "test RMSE": texts(frame["test_rmse"], "{:.4f}"),
            "nDCG@10": texts(frame["ndcg_10"], "{:.4f}"),
            "users shown the commonest top item, %": texts(100 * frame["same_top1_share"], "{:.1f}"),
            "distinct top items": frame["distinct_top1"],
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


def signal_markdown(frame: pd.DataFrame, study: StudyConfig) -> str:
    """Schema ``schemas.SIGNAL``, of two significant digits."""

    def rounded(values: pd.Series) -> list[str]:
        return texts(values.map("{:.2g}".format).astype(float), "{:,g}")

    shown = pd.DataFrame(
        {
            "recommender": titled(frame, study.title),
            "own scores move by": rounded(frame["own_change"]),
            "others' scores move by": rounded(frame["others_change"]),
            "ratio": rounded(frame["ratio"]),
        }
    )
    told = "How far a deletion moves scores, in their own units: the mean change of whoever deletes, and of others."
    return f"{told}\n\n{pipes(shown)}"


def _wilson(counts: pd.Series, draws: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Ends of the 95 % intervals of shares."""
    from statsmodels.stats.proportion import proportion_confint  # slow, and the other tables need it not

    return proportion_confint(counts, draws, method="wilson")


def sutva(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Whose top recommendation a deletion changes, schema ``schemas.SUTVA``: one row per cell.

    The others looked at for one deletion are shown one retrained model, so they may move together: the variance of m of
    them is at most m times that of independent draws (Kish, Survey Sampling, 1965), which is that of a single one.
    """
    frame = _facts(cells, paths.SIGNAL)
    share = frame["others_top1_changed"] / frame["others"]
    low, high = _wilson(share * frame["own"], frame["own"])
    return frame.assign(others_share=share, ci_low=low, ci_high=high)[list(schemas.SUTVA.columns)]


def sutva_markdown(frame: pd.DataFrame, study: StudyConfig) -> str:
    """Schema ``schemas.SUTVA``, in words."""

    def told(counts: pd.Series, of: pd.Series, low: pd.Series, high: pd.Series) -> list[str]:
        return [
            f"{count} of {n}: {100 * count / n:.1f} % [{100 * start:.1f}, {100 * end:.1f}]"
            for count, n, start, end in zip(counts, of, low, high, strict=True)
        ]

    own, others = (frame["own_top1_changed"], frame["own"]), (frame["others_top1_changed"], frame["others"])
    shown = pd.DataFrame(
        {
            "recommender": titled(frame, study.title),
            "own top item changed": told(*own, *_wilson(*own)),
            "another user's changed": told(*others, frame["ci_low"], frame["ci_high"]),
        }
    )
    return (
        "One user deletes as many random items as an explanation has: who is recommended another item then, of those "
        "who delete, and of a few other users looked at for each. In brackets 95 % Wilson intervals: those of other "
        "users are of as many independent draws as there are deletions, as who is looked at for one deletion is shown "
        f"one retrained model.\n\n{pipes(shown)}"
    )


TABLES = {
    "table2_datasets": Table(schemas.TABLE2, datasets, lambda frame, cells, study: datasets_markdown(frame, study)),
    "recommenders": Table(
        schemas.RECOMMENDERS, recommenders, lambda frame, cells, study: recommenders_markdown(frame, study)
    ),
    "signal": Table(schemas.SIGNAL, signal, lambda frame, cells, study: signal_markdown(frame, study)),
    "sutva": Table(schemas.SUTVA, sutva, lambda frame, cells, study: sutva_markdown(frame, study)),
}
