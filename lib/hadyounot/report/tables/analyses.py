"""Figures 7 and 8 in numbers: measures beside retraining, and how well surrogates and probes predict."""

from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from ...study import paths, schemas
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import MEASURES, METHOD
from .common import Table, analysed, footnotes, gathered, mark, pipes, span, stand_ins, texts, titled

_LABELS = {method.measure: method.measure_label for method in MEASURES}


def published_correlations(cells: Iterable[Cell], study: StudyConfig) -> dict[tuple[str, str], dict[str, float]]:
    """The paper's Pearson correlations by measure, for each (dataset, model); empty where it has none."""
    return {
        (cell.dataset, cell.model): study.published.correlations(cell.kind, study.original(cell.dataset))
        for cell in cells
    }


def correlation_markdown(
    frame: pd.DataFrame,
    papers: Mapping[tuple[str, str], Mapping[str, float]],
    standing: Mapping[str, str],
    title: Callable[[str, str], str],
) -> str:
    """Schema ``schemas.CORRELATION``: a row per measure, the users summed up by their quartiles.

    Args:
        frame: the table.
        papers: see ``published_correlations``; whom it does not hold has no numbers of the paper.
        standing: see ``stand_ins``.
        title: of a dataset and a model.
    """
    parts = [
        "Correlation of what a measure says of an item set with the score decrease of the user's top item once the set "
        "was really deleted and the model retrained. Each user has a correlation of its own; here are their median and "
        "quartiles. KNN takes the nearest items: a distance serves it where the correlation is below 0.\n"
    ]
    for (dataset, model), cell in frame.groupby(["dataset", "model"], sort=False):
        rows, paper = [], papers.get((dataset, model), {})
        for measure, users in cell.groupby("measure", sort=False):
            known = users["pearson"].dropna()
            rows.append(
                {
                    "measure": _LABELS[measure],
                    "users": len(known),
                    "Pearson, median [quartiles]": _quartiles(users["pearson"]),
                    **({f"paper, one user{mark(dataset, standing)}": _printed(paper, measure)} if paper else {}),
                    "users above 0": "" if known.empty else f"{100 * (known > 0).mean():.0f} %",
                    "Spearman, median [quartiles]": _quartiles(users["spearman"]),
                }
            )
        sets = span(cell["n_sets"])
        parts.append(f"\n## {title(dataset, model)} ({sets} sets a user)\n\n{pipes(pd.DataFrame(rows))}")
        parts.append(footnotes([dataset] if paper else [], standing))
    return "".join(parts)


def _printed(paper: Mapping[str, float], measure: str) -> str:
    return f"{paper[measure]:.3f}" if measure in paper else ""


def _quartiles(values: pd.Series) -> str:
    """Median and quartiles of the users of whom there is a correlation."""
    low, median, high = values.quantile([0.25, 0.5, 0.75])
    return "none: constant" if pd.isna(median) else f"{median:z.3f} [{low:z.3f}, {high:z.3f}]"


def _intervals(rows: pd.DataFrame, name: str) -> list[str]:
    """Numbers with their intervals, where there are such."""
    ends = zip(texts(rows[name], "{:z.3f}"), rows[f"{name}_low"], rows[f"{name}_high"], strict=True)
    return [value + ("" if pd.isna(low) else f" [{low:z.3f}, {high:z.3f}]") for value, low, high in ends]


def quality_markdown(frame: pd.DataFrame, title: Callable[[str, str], str]) -> str:
    """Schema ``schemas.SURROGATE_QUALITY``: for each cell, all targets and the top item alone; and in a sentence, which
    surrogates predict no better than the mean.
    """
    parts = [
        "How well Δŷ_reg of test users, whom no surrogate has seen, is predicted. R² is of all rows, and within a user "
        "and target; rank correlation and lift (in standard deviations; 0 is a random deletion) are means over users "
        "with 95 % t-intervals. What predicts something other than Δŷ_reg has no R². The top item's Δŷ_reg is 0 as "
        "long as it stays first.\n"
    ]
    for (dataset, model, n_targets), rows in frame.groupby(["dataset", "model", "n_targets"], sort=False):
        shown = pd.DataFrame(
            {
                "predictor": [METHOD[name].label for name in rows["predictor"]],
                "R²": texts(rows["r2"], "{:z.3f}"),
                "R² within": texts(rows["r2_within"], "{:z.3f}"),
                "rank correlation": _intervals(rows, "spearman"),
                "lift of the best": _intervals(rows, "lift"),
            }
        )
        targets = "top item" if n_targets == 1 else f"top {n_targets} items"
        heading = f"{title(dataset, model)}, {targets} ({span(rows['n_users'])} users whose effects vary)"
        parts.append(f"\n## {heading}\n\n{pipes(shown)}")
        parts.append(f"\nLift of the truly best deletion, the ceiling: {rows['lift_best'].iloc[0]:.2f}.\n")
        known = rows[rows["r2"].notna()]
        poor = [METHOD[name].label for name in known.loc[known["r2"] <= 0, "predictor"]]
        if len(known):
            parts.append(f"\nNo better than the mean effect of these rows (R² ≤ 0): {', '.join(poor) or 'none'}.\n")
    return "".join(parts)


def separability_markdown(frame: pd.DataFrame, title: Callable[[str, str], str]) -> str:
    """Schema ``schemas.SEPARABILITY``, rounded."""
    note = (
        "How well a linear probe (ridge, logistic regression) and a non-linear one (gradient-boosted trees) tell the "
        "surrogates' training rows apart by eq. (8), on held-out users: R² of Δŷ_reg, and area under the ROC curve of "
        '"Δŷ_reg is above its median" (0.5 is chance), with 95 % intervals over resampled users. Beside them those of '
        "the very rows that a probe is fitted to, as the picture shows them.\n"
    )
    shown = frame[["probe", "n_users", "n_rows", "folds"]].rename(columns={"n_users": "users", "n_rows": "rows"})
    shown.insert(0, "recommender", titled(frame, title))
    labels = {"r2": "R²", "auc": "AUC"}
    for name, label in labels.items():
        shown[label] = _intervals(frame, name)
    for name, label in labels.items():
        shown[f"{label}, rows fitted to"] = texts(frame[f"{name}_fitted"], "{:.3f}")
    return f"{note}\n{pipes(shown)}"


TABLES = {
    "correlation": Table(
        schemas.CORRELATION,
        lambda cells, study: gathered(analysed(cells), paths.CORRELATION),
        lambda frame, cells, study: correlation_markdown(
            frame, published_correlations(cells, study), stand_ins(study), study.title
        ),
    ),
    "surrogate_quality": Table(
        schemas.SURROGATE_QUALITY,
        lambda cells, study: gathered(analysed(cells), paths.SURROGATE_QUALITY),
        lambda frame, cells, study: quality_markdown(frame, study.title),
    ),
    "separability": Table(
        schemas.SEPARABILITY,
        lambda cells, study: gathered(analysed(cells), paths.SEPARABILITY),
        lambda frame, cells, study: separability_markdown(frame, study.title),
    ),
}
