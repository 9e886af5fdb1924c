"""What people said: the paper's exclusions and tests (section 6), and a mixed model beside them."""

import warnings
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.formula.api import mixedlm
from statsmodels.stats.multitest import multipletests

from .answers import Answers, AnswersError
from .questions import Survey

LEAST_FAMILIAR = 60  # percent: "exclude participants who claim more than 40% of movies they see are unfamiliar"

_TESTED = (
    *("difference", "p_value", "p_holm"),
    *("mixed_difference", "mixed_low", "mixed_high", "mixed_p", "mixed_p_holm"),
)


def reasons(answers: Answers) -> list[str]:
    """Why the paper would exclude a participant; empty where it would not."""
    excluded = {
        "attention check failed": set(answers.attention) != {"A", "D"},
        "less than one movie a month": answers.movies_a_month < 1,
        "more than 40 % of the movies unfamiliar": answers.familiar < LEAST_FAMILIAR,
    }
    return [reason for reason, holds in excluded.items() if holds]


def kept(answers: Iterable[Answers]) -> list[Answers]:
    """Those whom the paper would not exclude."""
    return [each for each in answers if not reasons(each)]


def demographics(answers: Iterable[Answers]) -> pd.DataFrame:
    """One row for each gender and range of ages that was named: what, answer, people, share."""
    told = pd.DataFrame([{"gender": each.gender, "age": each.age} for each in answers]).melt(
        var_name="what", value_name="answer"
    )
    counts = told.groupby(["what", "answer"], sort=True).size().rename("people").reset_index()
    return counts.assign(share=counts["people"] / counts.groupby("what")["people"].transform("sum"))


def ratings(answers: Iterable[Answers], survey: Survey) -> pd.DataFrame:
    """One row for each rating: participant, question (from 1), method, place (from 1) and rating."""
    rows = []
    for each in answers:
        for rating in each.ratings:
            order = survey.orders[each.participant - 1][rating.question - 1]
            place = order.index(survey.methods.index(rating.method)) + 1
            rows.append((each.participant, rating.question, rating.method, place, rating.rating))
    return pd.DataFrame(rows, columns=["participant", "question", "method", "place", "rating"])


def compared(table: pd.DataFrame, tested: str) -> pd.DataFrame:
    """Every method's ratings, and whether those of ``tested`` are higher.

    The paper's test is the one-sided paired t-test, over people: of each, the mean of a method over all questions.
    Beside it, of all single ratings, a linear mixed model with random intercepts for each participant and, within them,
    each method, and with question and place as fixed effects. Without the inner intercepts a person's ratings of one
    method would count as independent, and p be too small wherever people differ in what they like.

    Args:
        table: as ``ratings``, every participant having rated every explanation once.
        tested: the method said to be rated higher.

    Returns:
        One row for each method, in the order of the survey: method, n_people, mean and sd over people; and for all
        but ``tested`` difference (mean of ``tested`` minus mean), p_value, p_holm (Holm, Scand. J. Statist. 1979), and
        of the mixed model mixed_difference, mixed_low, mixed_high (95 %), mixed_p (one-sided) and mixed_p_holm, which
        are missing where it cannot be fitted, as of few people.

    Raises:
        AnswersError: there are fewer than two participants.
    """
    people = table.pivot_table(index="participant", columns="method", values="rating", aggfunc="mean")
    if len(people) < 2:
        raise AnswersError(f"{len(people)} participants are kept, and a test needs 2: collect more answers")
    others = [method for method in table["method"].unique() if method != tested]
    found = pd.DataFrame({"n_people": len(people), "mean": people.mean(), "sd": people.std(ddof=1)})
    rows = {}
    for method, model in zip(others, _mixed(table, tested, others), strict=True):
        with warnings.catch_warnings():  # of differences that are all the same; their p is said below
            warnings.simplefilter("ignore", RuntimeWarning)
            p = stats.ttest_rel(people[tested], people[method], alternative="greater").pvalue
        same = (people[tested] == people[method]).all()
        rows[method] = {"difference": (people[tested] - people[method]).mean(), "p_value": 1.0 if same else p, **model}
    tests = pd.DataFrame(rows).T
    for p, holm in (("p_value", "p_holm"), ("mixed_p", "mixed_p_holm")):
        tests[holm] = multipletests(tests[p], method="holm")[1] if tests[p].notna().all() else np.nan
    joined = found.join(tests[list(_TESTED)]).reindex([tested, *others])
    return joined.loc[list(table["method"].unique())].rename_axis("method").reset_index()


def _mixed(table: pd.DataFrame, tested: str, others: Iterable[str]) -> list[Mapping[str, float]]:
    formula = f"rating ~ C(method, Treatment({tested!r})) + C(question) + place"
    inner = {"method": "0 + C(method)"}
    model = mixedlm(formula, table, groups="participant", re_formula="1", vc_formula=inner)
    with warnings.catch_warnings():  # that variances are at their bound of 0: gradients fail there, so none is used
        warnings.simplefilter("ignore")
        try:
            fit = model.fit(method="nm")
            estimates, errors, sound = fit.fe_params, fit.bse_fe, fit.converged
        except np.linalg.LinAlgError:
            sound = False
    told = []
    for method in others:
        name = f"C(method, Treatment({tested!r}))[T.{method}]"
        difference, error = (-estimates[name], errors[name]) if sound else (np.nan, np.nan)
        half = stats.norm.ppf(0.975) * error
        told.append(
            {
                "mixed_difference": difference,
                "mixed_low": difference - half,
                "mixed_high": difference + half,
                "mixed_p": float(stats.norm.sf(difference / error)) if error else np.nan,
            }
        )
    return told
