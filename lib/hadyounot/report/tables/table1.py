"""Table 1: the user study as published, what its printed numbers imply, and what people told us."""

from collections.abc import Iterable

import pandas as pd

from ...compare.user_study import implied_correlation, is_mean_of_whole_ratings
from ...study import schemas
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import BASE, METHOD, in_order
from ...study.published import PublishedUserStudyConfig
from ...survey import analysis
from ...survey.answers import AnswersError, Collected, collect
from ...survey.power import people_needed, power
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


def powers(printed: PublishedUserStudyConfig) -> pd.DataFrame:
    """What it takes to find the published differences, if a person's two ratings go together as the published p-values
    imply (of those kept, ± over people), and if they do not at all.

    Returns:
        One row for each method and correlation: method, difference (linear_reg's mean minus its), correlation, power
        (of as many people as the paper kept), people (fewest for a power of 80 %) and people_half (for half the
        difference: what was published because it is significant is too large).
    """
    best, rows = getattr(printed, BASE.name), []
    for method in in_order(type(printed).model_fields):
        theirs = getattr(printed, method)
        if theirs.p_value is None:
            continue
        difference = best.mean - theirs.mean
        implied = implied_correlation(difference, best.sd, theirs.sd, theirs.p_value, printed.kept)
        for correlation in (implied, 0.0):
            told = best.sd, theirs.sd, correlation
            found = power(difference, *told, printed.kept), people_needed(difference, *told)
            half = people_needed(difference / 2, *told)
            rows.append((METHOD[method].label, difference, correlation, *found, half))
    return pd.DataFrame(rows, columns=["method", "difference", "correlation", "power", "people", "people_half"])


def collected(cells: list[Cell], study: StudyConfig) -> Collected:
    """The answers that the study names.

    Raises:
        AnswersError: as ``collect``.
    """
    return collect(cells[0].folder / study.answers)


def answered(cells: list[Cell], study: StudyConfig) -> pd.DataFrame:
    """Schema ``schemas.TABLE1_ANSWERS``: a row for each method of the survey."""
    found, printed = collected(cells, study), study.published.user_study
    try:
        table = analysis.compared(analysis.ratings(analysis.kept(found.answers), found.survey), found.survey.tested)
    except AnswersError as error:
        raise AnswersError("\n".join([str(error), *_excluded(found), *found.errors])) from None
    for name in ("mean", "sd", "p_value"):
        theirs = [getattr(getattr(printed, method, None), name, None) for method in table["method"]]
        table["paper_p" if name == "p_value" else f"paper_{name}"] = pd.Series(theirs, dtype=float)
    return table


def _excluded(found: Collected) -> list[str]:
    """Who is, and why."""
    whys = [(each.participant, analysis.reasons(each)) for each in found.answers]
    return [f"participant {number}: {', '.join(why)}" for number, why in whys if why]


def told(frame: pd.DataFrame, found: Collected) -> str:
    """Schema ``schemas.TABLE1_ANSWERS``: ours beside the paper's, who was left out and why, and who was kept."""
    kept = analysis.kept(found.answers)
    shown = pd.DataFrame({"method": [METHOD[name].label for name in frame["method"]]})
    for label, mean, sd in (("average rating", "mean", "sd"), ("the paper's", "paper_mean", "paper_sd")):
        pairs = zip(frame[mean], frame[sd], strict=True)
        shown[label] = ["" if pd.isna(m) else f"{m:.3f} ± {s:.2f}" for m, s in pairs]
    for label, column in (
        *(("p", "p_value"), ("p, Holm", "p_holm"), ("the paper's p", "paper_p")),
        *(("p, mixed model", "mixed_p"), ("the same, Holm", "mixed_p_holm")),
    ):
        shown[label] = texts(frame[column], "{:.3f}")
    people = analysis.demographics(kept).assign(share=lambda table: texts(table["share"], "{:.1%}")).astype(str)
    parts = [
        f"{len(found.answers)} people answered {len(found.survey.questions)} questions each; {len(kept)} are kept. "
        f"{found.survey.dataset}, {found.survey.model}, survey {found.survey.version}.\n\n{pipes(shown)}",
        f"## Excluded, as the paper does\n\n{_listed(_excluded(found)) or 'Nobody.'}\n",
        f"## Files that are wrong, and not counted\n\n{_listed(found.errors) or 'None.'}\n",
        f"## Who was kept\n\n{pipes(people)}",
    ]
    return "\n".join(parts)


def _listed(lines: list[str]) -> str:
    return "\n".join(f"- {each}" for each in lines)


TABLES = {
    "table1_answers": Table(
        schemas.TABLE1_ANSWERS, answered, lambda frame, cells, study: told(frame, collected(cells, study))
    ),
    "table1_user_study": Table(
        schemas.TABLE1, ratings, lambda frame, cells, study: markdown(frame, study.published.user_study)
    ),
}
