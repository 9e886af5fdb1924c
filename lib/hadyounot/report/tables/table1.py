"""Table 1: the user study as published, and what its printed numbers imply."""

from collections.abc import Iterable

import pandas as pd

from ...compare.user_study import implied_correlation, is_mean_of_whole_ratings
from ...study import schemas
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import BASE, METHOD, in_order
from ...study.published import PublishedUserStudyConfig
from .common import NOT_OURS, Table, pipes, texts

_TESTED = ("kept", "collected", "kept_answers", "collected_answers")


def _counts(printed: PublishedUserStudyConfig) -> dict[str, int]:
    """How many people or answers, by how the columns call them."""
    people = {"kept": printed.kept, "collected": printed.collected}
    return people | {f"{name}_answers": count * printed.questions for name, count in people.items()}


def ratings(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Schema ``schemas.TABLE1``: a row for each method that people rated."""
    printed = study.published.user_study
    best, counts, rows = getattr(printed, BASE.name), _counts(printed), []
    for method in in_order(type(printed).model_fields):
        theirs = getattr(printed, method)
        row = {"method": method, **theirs.model_dump()}
        if theirs.p_value is not None:
            summary = best.mean - theirs.mean, best.sd, theirs.sd, theirs.p_value
            row |= {f"correlation_{name}": implied_correlation(*summary, counts[name]) for name in _TESTED}
        for name in ("kept", "collected"):
            row[f"mean_of_{name}"] = is_mean_of_whole_ratings(theirs.mean, counts[f"{name}_answers"], decimals=3)
        rows.append(row)
    return pd.DataFrame(rows, columns=list(schemas.TABLE1.columns)).astype({"p_value": float})


def markdown(frame: pd.DataFrame, printed: PublishedUserStudyConfig) -> str:
    """Schema ``schemas.TABLE1``: the published numbers, then what they imply."""
    counts, best = _counts(printed), BASE.label[0].lower() + BASE.label[1:]
    shown = pd.DataFrame({"method": [METHOD[name].label for name in frame["method"]]})
    implied = shown.copy()
    shown["average rating, 1 to 5"] = [
        f"{mean:.3f} ± {sd:.2f}" for mean, sd in zip(frame["mean"], frame["sd"], strict=True)
    ]
    shown[f"p ({best} is higher)"] = texts(frame["p_value"], "{:.3f}")
    for name in _TESTED:
        tested = f"{counts[name]} {'answers' if 'answers' in name else 'people'}"
        implied[f"r, {tested}"] = [
            "" if pd.isna(r) else f"{r:.2f}" if abs(r) <= 1 else f"{r:.2f}: impossible"
            for r in frame[f"correlation_{name}"]
        ]
    for name in ("kept", "collected"):
        implied[f"mean of {counts[f'{name}_answers']}"] = [
            "possible" if possible else "impossible" for possible in frame[f"mean_of_{name}"]
        ]
    return (
        f"**{NOT_OURS.capitalize()}.** {printed.collected} people answered {printed.questions} questions each; "
        f"{printed.kept} were kept. Whom the numbers count, and whether ± is over people or over single answers, is "
        "not said.\n\n"
        f"{pipes(shown)}\n## Do the printed numbers agree?\n\n"
        f"Our test. r: the correlation with the ratings of the {best} that means, ± and p together imply, if ± is over "
        "what the paired t-test is over; beyond ±1 no ratings have these numbers. Mean: whether whole ratings can have "
        "it to three decimals (GRIM test), if every question was answered.\n\n"
        f"{pipes(implied)}"
    )


TABLES = {
    "table1_user_study": Table(
        schemas.TABLE1, ratings, lambda frame, cells, study: markdown(frame, study.published.user_study)
    )
}
