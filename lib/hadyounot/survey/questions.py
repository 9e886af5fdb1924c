"""The survey as data: what is asked, of whom it tells, and in which order each participant sees it."""

import hashlib
import json
from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import Field

from ..rng import generator
from ..settings import Strict

BECAUSE = "We recommend this movie because you watched the following movies."
UNSAID = "I prefer not to say"
HAD_YOU_NOT = "Have you not watched the following movies, we would not recommend this movie."


class Texts(Strict):
    """Everything that people read beside titles of movies; in quotation marks in section 6 where it is the paper's.

    Options are labels by what stands in the answers (``answers.Answers``).
    """

    consent: str
    monthly: str = "How many movies do you usually watch in a month? Write 0 if fewer than one."
    imagine: str = "Imagine that you are a person who has watched these movies in the past."
    recommended: str = "We now recommend this movie to you:"
    rate: str = "Given a scale from 1 to 5, how much are you satisfied with this explanation?"
    lowest: str = "not at all satisfied"
    highest: str = "very satisfied"
    attention: str = "Please choose both A and D."
    attention_options: dict[str, str] = Field({letter: letter for letter in "ABCD"})
    familiar: str = "What percentage of movies shown in this survey are familiar to you?"
    gender: str = "What is your gender?"
    gender_options: dict[str, str] = Field({"female": "Female", "male": "Male", "other": "Other", "unsaid": UNSAID})
    age: str = "How old are you?"
    age_options: dict[str, str] = Field(
        {
            **{"0-20": "20 or younger", "21-30": "21 to 30", "31-40": "31 to 40", "41-50": "41 to 50"},
            **{"51-": "Older than 50", "unsaid": UNSAID},
        }
    )
    completion: str = ""


class Explanation(Strict):
    """What one method says: its wording, and titles."""

    method: str
    wording: str
    items: list[str] = Field(min_length=1)


class Question(Strict):
    """One user of the dataset: titles watched, the recommendation, an explanation of each method.

    ``identical`` groups the methods that name the same items, where there are any.
    """

    user: str
    history: list[str] = Field(min_length=1)
    recommendation: str
    explanations: list[Explanation] = Field(min_length=2)
    identical: list[list[str]]


class Survey(Strict):
    """A survey, the same for all participants but for orders.

    Attributes:
        version: digest of all the rest; stands in every file of answers.
        dataset, model: what was recommended.
        tested: the method that is said to be rated higher than the others.
        attention_after: how many questions come before the attention check.
        orders: by participant and question (both from 0), places to indices of ``explanations``.
    """

    version: str
    dataset: str
    model: str
    tested: str
    texts: Texts
    questions: list[Question] = Field(min_length=1)
    attention_after: int
    orders: list[list[list[int]]] = Field(min_length=1)

    @classmethod
    def of(
        cls,
        questions: Sequence[Question],
        consent: str,
        completion: str,
        dataset: str,
        model: str,
        tested: str,
        participants: int,
        seed: int,
    ) -> Self:
        """The survey of some questions that all have explanations of the same methods."""
        made = cls(
            version="",
            dataset=dataset,
            model=model,
            tested=tested,
            texts=Texts(consent=consent, completion=completion),
            questions=list(questions),
            attention_after=(len(questions) + 1) // 2,
            orders=orders(len(questions[0].explanations), len(questions), participants, seed).tolist(),
        )
        return made.model_copy(update={"version": made.digest})

    @property
    def digest(self) -> str:
        """What ``version`` must be."""
        content = json.dumps(self.model_dump(exclude={"version"}), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def methods(self) -> list[str]:
        """Whose explanations are rated."""
        return [explanation.method for explanation in self.questions[0].explanations]


def orders(arms: int, questions: int, participants: int, seed: int) -> np.ndarray:
    """Counterbalanced orders: of every question, each block of participants has each row of a Williams square once.

    So within a block each arm stands equally often at each place, and equally often right after each other arm.

    Returns:
        int64 (participants, questions, arms): which arm stands at each place.
    """
    square = williams(arms)
    drawn = []
    for question in range(questions):
        rng = generator(seed, "survey", "orders", question)
        rows = [rng.permutation(len(square)) for _ in range(0, participants, len(square))]
        drawn.append(square[np.concatenate(rows)[:participants]])
    return np.stack(drawn, axis=1)


def williams(n: int) -> np.ndarray:
    """Latin square balanced for what comes right before (Williams, Australian Journal of Scientific Research 1949).

    Returns:
        int64 (rows, n): n rows where n is even, 2n where it is odd.
    """
    first = np.array([(place + 1) // 2 if place % 2 else -(place // 2) for place in range(n)])
    square = (first + np.arange(n)[:, None]) % n
    return square if n % 2 == 0 else np.vstack([square, square[:, ::-1]])
