"""Notebook 85: a survey like that of section 6, from a cell's explanations."""

import pandas as pd

from ...rng import generator
from ...settings import ConfigError
from ...survey.page import page
from ...survey.questions import BECAUSE, HAD_YOU_NOT, Explanation, Question, Survey
from .. import paths
from ..cell import Cell
from ..methods import BASE, METHOD, in_order
from ..published import PublishedUserStudyConfig


def _question(cell: Cell, user: int, told: pd.DataFrame) -> Question:
    """One user; ``told``: a row for each method, of schema ``schemas.EVALUATION``."""
    titles = cell.ratings.titles
    named = told.groupby(told["items"].map(lambda items: tuple(sorted(items))), sort=False)["method"].apply(list)
    return Question(
        user=str(cell.ratings.user_ids[user]),
        history=sorted(titles[cell.train.history(user)]),
        recommendation=titles[told["target"].iloc[0]],
        explanations=[
            Explanation(
                method=row.method,
                wording=HAD_YOU_NOT if METHOD[row.method].counterfactual else BECAUSE,
                items=sorted(titles[row.items]),
            )
            for row in told.itertuples()
        ],
        identical=[methods for methods in named if len(methods) > 1],
    )


def _survey(cell: Cell) -> Survey:
    config, tested, named = cell.study.survey, cell.read(paths.EVALUATION), f"{cell.dataset} × {cell.model}"
    methods = in_order([*PublishedUserStudyConfig.model_fields, *config.arms])
    if absent := [method for method in methods if method not in set(tested["method"])]:
        other = "a cell of kind mf or ncf" if "influence" in absent else "another cell"
        raise ConfigError(f"{named}: {', '.join(absent)} explains nothing here; make the survey of {other}")
    history = pd.Series({user: len(cell.train.history(user)) for user in tested["user"].unique()})
    users = history.index[history <= config.longest_history]
    if len(users) < config.questions:
        longer = f"`longest_history: {history.nsmallest(config.questions).iloc[-1]}`"
        more = f"at least {longer}" if len(history) >= config.questions else "a larger explanation.test_users"
        raise ConfigError(
            f"survey.longest_history: {len(users)} test users of {named} watched at most {config.longest_history}"
            f" movies, but survey.questions is {config.questions}; write {more}, or fewer questions"
        )
    drawn = generator(cell.study.seed, "survey", "users").permutation(users)[: config.questions]
    by_user = {user: told.set_index("method").loc[methods].reset_index() for user, told in tested.groupby("user")}
    return Survey.of(
        [_question(cell, user, by_user[user]) for user in drawn],
        config.consent,
        config.completion,
        *(cell.dataset, cell.model, BASE.name),
        *(config.participants, cell.study.seed),
    )


def survey(cell: Cell) -> Survey:
    """The cell's survey, kept as JSON and as a page.

    Raises:
        ConfigError: a method has no explanations, or too few test users have short histories.
    """

    def make() -> tuple:
        made = _survey(cell)
        return made.model_dump(), page(made)

    kept, _ = cell.kept(make, paths.SURVEY, paths.SURVEY_PAGE)
    return Survey.model_validate(kept)
