"""Table 2, and what is explained: datasets, recommenders, and whom a deletion moves."""

from collections.abc import Iterable, Mapping

import pandas as pd

from ...study import paths, schemas
from ...study.cell import Cell
from ...study.config import StudyConfig
from .common import Table, footnotes, mark, pipes, spaced, stand_ins, texts


def datasets(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Table 2, schema ``schemas.TABLE2``: one row per dataset."""
    rows = []
    for cell in {cell.dataset: cell for cell in cells}.values():
        facts, paper = cell.read(paths.DATASET), study.datasets[study.original(cell.dataset)].paper
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
    return pipes(shown) + footnotes(frame["dataset"], standing)


def _facts(cells: Iterable[Cell], pattern: str) -> pd.DataFrame:
    """What JSON of each cell says: a row per cell."""
    return pd.DataFrame([{"dataset": cell.dataset, "model": cell.model} | cell.read(pattern) for cell in cells])


def recommenders(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Quality of what is explained, schema ``schemas.RECOMMENDERS``: one row per cell."""
    frame = _facts(cells, paths.QUALITY)[list(schemas.RECOMMENDERS.columns)]
    return frame.astype({"factors": "Int64", "epochs": "Int64", "train_rmse": "float64", "test_rmse": "float64"})


def recommenders_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.RECOMMENDERS``, rounded."""
    shown = spaced(frame)
    for name in ("train rmse", "test rmse", "ndcg 10"):
        shown[name] = texts(shown[name], "{:.4f}")
    for name in ("factors", "epochs"):
        shown[name] = texts(shown[name], "{:,}")
    shown["same top1 share"] = texts(shown["same top1 share"], "{:.1%}")
    return pipes(shown)


def signal(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """How far deletions move whom, schema ``schemas.SIGNAL``: one row per cell."""
    frame = _facts(cells, paths.SIGNAL)
    ratio = frame["own_change"] / frame["others_change"].where(frame["others_change"] > 0)
    return frame.assign(ratio=ratio)[list(schemas.SIGNAL.columns)]


def signal_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.SIGNAL``, rounded."""
    shown = spaced(frame)
    for name in ("own change", "others change"):
        shown[name] = texts(shown[name], "{:.4g}")
    shown["ratio"] = texts(shown["ratio"], "{:.1f}")
    return pipes(shown)


TABLES = {
    "table2_datasets": Table(
        schemas.TABLE2, datasets, lambda frame, cells, study: datasets_markdown(frame, stand_ins(study))
    ),
    "recommenders": Table(schemas.RECOMMENDERS, recommenders, lambda frame, cells, study: recommenders_markdown(frame)),
    "signal": Table(schemas.SIGNAL, signal, lambda frame, cells, study: signal_markdown(frame)),
}
