"""Tables 3 and 4, and their like for other kinds: how many explanations hold; and which differences are no chance."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from ...compare import statistics
from ...study import paths, schemas
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import METHOD, METHODS
from .common import Table, by_method, footnotes, mark, span, stand_ins


def evaluation(cell: Cell) -> pd.DataFrame:
    """What notebook 60 left, methods in their order."""
    return ordered(cell.read(paths.EVALUATION))


def ordered(tested: pd.DataFrame) -> pd.DataFrame:
    """Verdicts, the methods in their order."""
    names = [method.name for method in METHODS]
    return tested.sort_values("method", key=lambda methods: methods.map(names.index), kind="stable")


def validity(cells: Iterable[Cell], study: StudyConfig, kind: str) -> pd.DataFrame:
    """The cells whose recommender is of that kind, schema ``schemas.TABLE_VALIDITY``."""
    frames = [pd.DataFrame(columns=list(schemas.TABLE_VALIDITY.columns))]
    for cell in cells:
        if cell.kind != kind:
            continue
        ours = statistics.validity(evaluation(cell), cell.study.explanation.top_k)
        paper = study.published.validity(kind, study.original(cell.dataset))
        ours["paper"] = [paper.get(key, np.nan) for key in zip(ours["method"], ours["top_k"], strict=True)]
        frames.append(ours.assign(dataset=cell.dataset, model=cell.model)[list(schemas.TABLE_VALIDITY.columns)])
    return pd.concat(frames[1:] or frames, ignore_index=True)


def exact_oracles(cells: Iterable[Cell]) -> dict[tuple[str, str], int]:
    """For how many users of each (dataset, model) the oracle retrained every subset of the history."""
    return {(cell.dataset, cell.model): cell.read(paths.RETRAININGS)["exact_oracles"] for cell in cells}


def indifferent(cells: Iterable[Cell]) -> dict[tuple[str, str], list[str]]:
    """Surrogates of each (dataset, model) without a weight on deleted items, see ``stages.learn.indifferent``."""
    return {(cell.dataset, cell.model): cell.read(paths.SURROGATE_FITS)["indifferent"] for cell in cells}


def markdown(
    frame: pd.DataFrame,
    exact: Mapping[tuple[str, str], int],
    ties: Mapping[tuple[str, str], Sequence[str]],
    study: StudyConfig,
) -> str:
    """Schema ``schemas.TABLE_VALIDITY`` as the paper lays out its Tables 3 and 4: methods by K, for each dataset.

    Args:
        frame: the table.
        exact: see ``exact_oracles``.
        ties: see ``indifferent``.
        study: whose cells these are.
    """
    standing = stand_ins(study)
    *controls, last = (method.label.partition(" (")[0].lower() for method in METHODS if method.role == "control")
    parts = [
        "Share of users whose recommended item really left the top K once the explanation was deleted and the model "
        f"retrained, with its 95 % Wilson interval. {', '.join(controls).capitalize()} and {last} are controls.\n"
    ]
    for (dataset, model), rows in frame.groupby(["dataset", "model"], sort=False):
        texts = [
            f"{100 * row.validity:.1f} % [{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]"
            + ("" if pd.isna(row.paper) else f" (paper{mark(dataset, standing)}: {100 * row.paper:.4g} %)")
            for row in rows.itertuples()
        ]
        wide = by_method(rows.assign(text=texts, column=rows["top_k"].map("K = {}".format)))
        n_users = span(rows["n_users"])
        parts.append(f"\n## {study.title(dataset, model)} ({n_users} users)\n\n{wide}")
        parts.append(footnotes([dataset] if rows["paper"].notna().any() else [], standing))
        every, best = exact[dataset, model], "it is the best of a shortlist and of what every method names"
        if every:
            parts.append(
                f"\nThe oracle is exact for {every} of these users: every subset of the history was retrained."
            )
            parts.append(f" For the others {best}.\n" if every < rows["n_users"].max() else "\n")
        else:
            parts.append(f"\nThe oracle is exact for none of these users, as they have too many subsets: {best}.\n")
        parts += [
            f"\n{METHOD[name].label}: no weight on deleted items survived cross-validation, so it names any.\n"
            for name in ties[dataset, model]
        ]
    return "".join(parts)


def _told(frame: pd.DataFrame, cells: list[Cell], study: StudyConfig) -> str:
    shown = set(zip(frame["dataset"], frame["model"], strict=True))
    cells = [cell for cell in cells if (cell.dataset, cell.model) in shown]
    return markdown(frame, exact_oracles(cells), indifferent(cells), study)


def mcnemar(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Methods compared on the same users, schema ``schemas.MCNEMAR``.

    Reseed explains nothing and the oracle is never below a method: testing them would only make Holm's correction
    of the others stricter. All others, ours among them, are one family.
    """
    explaining = [method.name for method in METHODS if method.explains]
    frames = []
    for cell in cells:
        tested = evaluation(cell)
        tested = tested[tested["method"].isin(explaining)]
        pairs = statistics.mcnemar(tested, cell.study.explanation.top_k)
        frames.append(pairs.assign(dataset=cell.dataset, model=cell.model))
    return pd.concat(frames, ignore_index=True)[list(schemas.MCNEMAR.columns)]


AGAINST = "random", "linear_reg", "linear_reg_aware"
"""Whom the Markdown compares every method with: chance, the paper's surrogate, and ours."""


def mcnemar_markdown(frame: pd.DataFrame, study: StudyConfig) -> str:
    """Schema ``schemas.MCNEMAR``: methods by those they are compared with, for each dataset, model and K."""
    *others, last = (METHOD[name].label for name in AGAINST)
    parts = [
        "Each entry: users for whom only the row's explanation holds, users for whom only the column's does, and the "
        "p-value of the exact McNemar test after Holm's correction for all pairs of methods. Every method is beside "
        f"{', '.join(others)} and {last}; all pairs are in the CSV.\n"
    ]
    turned = {"method_a": "method_b", "method_b": "method_a", "only_a": "only_b", "only_b": "only_a"}
    both = pd.concat([frame, frame.rename(columns=turned)])
    for (dataset, model, k), pairs in both.groupby(["dataset", "model", "top_k"], sort=False):
        pairs = pairs[pairs["method_b"].isin(AGAINST)]
        chances = ["p < 0.001" if p < 0.001 else f"p = {p:.2g}" for p in pairs["p_holm"]]
        texts = [f"{row.only_a} : {row.only_b}, {p}" for row, p in zip(pairs.itertuples(), chances, strict=True)]
        told = pairs.assign(method=pairs["method_a"], column=pairs["method_b"], text=texts)
        told = told.sort_values("column", key=lambda names: names.map(AGAINST.index), kind="stable")
        labels = told["column"].map(lambda name: METHOD[name].label)
        parts.append(f"\n## {study.title(dataset, model)}, K = {k}\n\n{by_method(told.assign(column=labels))}")
    return "".join(parts)


TABLES = {
    table: Table(schemas.TABLE_VALIDITY, partial(validity, kind=kind), _told) for kind, table in paths.VALIDITY.items()
} | {"mcnemar": Table(schemas.MCNEMAR, mcnemar, lambda frame, cells, study: mcnemar_markdown(frame, study))}
