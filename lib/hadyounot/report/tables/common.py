"""What a table is, and what their Markdown twins have in common."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import METHOD, in_order
from ...study.store import Schema

NOT_OURS = "published, not reproducible from code"


@dataclass(frozen=True)
class Table:
    """How one table is made.

    Attributes:
        schema: its columns.
        frame: (cells, study) -> its rows, from what those of the cells hold that it is about.
        markdown: (frame, cells, study) -> the frame as people read it.
    """

    schema: Schema
    frame: Callable[[list[Cell], StudyConfig], pd.DataFrame]
    markdown: Callable[[pd.DataFrame, list[Cell], StudyConfig], str]


def analysed(cells: Iterable[Cell]) -> list[Cell]:
    """Those that the study analyses."""
    return [cell for cell in cells if cell.study.cells[0].analysed]


def gathered(cells: Iterable[Cell], pattern: str) -> pd.DataFrame:
    """The table that cells keep a CSV of each, at ``pattern`` of ``paths``: their rows, in the order of the cells."""
    return pd.concat([cell.read(pattern) for cell in cells], ignore_index=True)


def pipes(frame: pd.DataFrame) -> str:
    """The frame as a Markdown table."""
    return frame.to_markdown(index=False, disable_numparse=True) + "\n"


def by_method(told: pd.DataFrame) -> str:
    """Rows with ``method``, ``column`` and ``text`` as a Markdown table of the texts, methods in their order."""
    wide = told.pivot(index="method", columns="column", values="text")[told["column"].unique()].fillna("")
    wide = wide.reindex(in_order(wide.index))
    wide.insert(0, "method", [METHOD[name].label for name in wide.index])
    return pipes(wide)


def titled(frame: pd.DataFrame, title: Callable[[str, str], str]) -> list[str]:
    """What people call the cell of each row, by its dataset and model."""
    return [title(*names) for names in frame[["dataset", "model"]].itertuples(index=False)]


def texts(values: Iterable[float], spelled: str) -> list[str]:
    """Numbers in the format ``spelled``; empty where there is none."""
    return ["" if pd.isna(value) else spelled.format(value) for value in values]


def span(counts: pd.Series) -> str:
    """'200', or '80 to 200' where the counts differ."""
    return " to ".join(str(count) for count in sorted({counts.min(), counts.max()}))


def stand_ins(study: StudyConfig) -> dict[str, str]:
    """The paper's dataset, by the dataset that stands in for it, or is a split of one that does."""
    whole = {name: row.same[0] if row.same else name for name, row in study.datasets.items()}
    return {name: paper for name, one in whole.items() if (paper := study.datasets[one].stands_for)}


def mark(dataset: str, standing: Mapping[str, str]) -> str:
    """What follows "paper" beside numbers of ``dataset``; see ``stand_ins``."""
    return "†" if dataset in standing else ""


def footnotes(datasets: Iterable[str], standing: Mapping[str, str]) -> str:
    """Whose numbers in the paper stand beside those of a stand-in."""
    return "".join(
        f"\n† {dataset} stands in for the paper's {standing[dataset]}: the data differ.\n"
        for dataset in dict.fromkeys(datasets)
        if dataset in standing
    )
