"""What comes back: a file of each participant, checked; what is wrong is one error, and none is left out unsaid."""

import codecs
import csv
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from ..settings import Strict
from .questions import Survey

SURVEY = "survey.json"


class AnswersError(ValueError):
    """A folder of answers, or a file in it, is not as it must be; the message names it, what is wrong and the fix."""


class Rating(Strict, strict=True):
    """How satisfied one participant is with one explanation."""

    question: int
    method: str
    rating: int = Field(ge=1, le=5)


class Answers(Strict, strict=True):
    """All that one participant said. ``familiar``: percent of the movies; ``attention``: what was chosen."""

    version: str
    participant: int
    movies_a_month: int = Field(ge=0)
    attention: list[Literal["A", "B", "C", "D"]]
    familiar: int = Field(ge=0, le=100)
    gender: Literal["female", "male", "other", "unsaid"]
    age: Literal["0-20", "21-30", "31-40", "41-50", "51-", "unsaid"]
    ratings: list[Rating]


@dataclass(frozen=True)
class Collected:
    """What is in a folder.

    Attributes:
        survey: what was asked.
        answers: those in order, by participant.
        errors: a sentence for every file that is not.
    """

    survey: Survey
    answers: list[Answers]
    errors: list[str]


def collect(folder: Path) -> Collected:
    """All answers in a folder: ``survey.json``, as it was asked, and beside it a JSON or CSV file of each participant.

    Hidden files are not looked at. Two files of one participant are both wrong, as nobody can tell which is right.

    Raises:
        AnswersError: there is no such folder, or its survey.json is missing, damaged or changed.
    """
    survey, found, errors = _survey(folder), defaultdict(list), []
    for path in sorted(folder.iterdir()):
        if path.name != SURVEY and not path.name.startswith("."):
            try:
                found[(answers := _read(path, survey)).participant].append((path.name, answers))
            except AnswersError as error:
                errors.append(str(error))
    for participant, files in found.items():
        if len(files) > 1:
            names = ", ".join(name for name, _ in files)
            errors.append(f"{folder}: participant {participant} answered {len(files)} times ({names}); keep one")
    kept = [files[0][1] for _, files in sorted(found.items()) if len(files) == 1]
    return Collected(survey, kept, errors)


def _survey(folder: Path) -> Survey:
    path = folder / SURVEY
    try:
        survey = Survey.model_validate_json(path.read_bytes())
    except OSError as error:
        raise AnswersError(
            f"{path} cannot be read ({error.strerror}): put there the {SURVEY} that people answered"
        ) from None
    except ValidationError as error:
        raise AnswersError(f"{path}: {_fault(error)}; put there the {SURVEY} that people answered") from None
    if survey.version != survey.digest:
        raise AnswersError(
            f"{path}: version is {survey.version}, but its content has {survey.digest}, so it was changed; put there "
            f"the {SURVEY} that people answered"
        )
    return survey


def _fault(error: ValidationError) -> str:
    """The first thing that is wrong."""
    one = error.errors()[0]
    field, value = ".".join(map(str, one["loc"])) or "the file", one["input"]
    if one["type"] == "missing":
        return f"{field} is missing"
    return f"{field} is {value!r}: {one['msg'][0].lower()}{one['msg'][1:]}" if one["loc"] else one["msg"]


def _read(path: Path, survey: Survey) -> Answers:
    readers: dict[str, Callable[[Path], Answers]] = {".json": _of_json, ".csv": _of_csv}
    if path.suffix.lower() not in readers:
        raise AnswersError(f"{path} is neither a JSON nor a CSV file of answers; move it elsewhere")
    try:
        answers = readers[path.suffix.lower()](path)
    except ValidationError as error:
        raise AnswersError(f"{path}: {_fault(error)}; correct it, or move the file elsewhere") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnswersError(f"{path} cannot be read ({error}); move it elsewhere") from None
    if fault := _contradiction(answers, survey):
        raise AnswersError(f"{path}: {fault}; correct it, or move the file elsewhere")
    return answers


def _of_json(path: Path) -> Answers:
    return Answers.model_validate_json(path.read_bytes().removeprefix(codecs.BOM_UTF8))


def _of_csv(path: Path) -> Answers:
    """A row for each rating; what is about the person stands in each. Spreadsheets may have changed the separator."""
    lines = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    separator = next((each for each in ";\t" if lines and each in lines[0]), ",")
    rows = list(csv.DictReader(lines, delimiter=separator, strict=True))
    about = [name for name in Answers.model_fields if name != "ratings"]
    for name in about:
        if len(values := {row.get(name) for row in rows}) > 1:
            told = " and ".join(sorted(map(repr, values)))
            raise AnswersError(f"{path}: {name} is {told} in one file; correct it, or move the file elsewhere")
    parsed: dict[str, Any] = {name: rows[0][name] for name in about if rows and rows[0].get(name) is not None}
    if "attention" in parsed:
        parsed["attention"] = parsed["attention"].split()
    others = [{str(name): value for name, value in row.items() if name not in about} for row in rows]
    return Answers.model_validate(parsed | {"ratings": others}, strict=False)  # numbers are text in CSV


def _contradiction(answers: Answers, survey: Survey) -> str:
    """What does not fit the survey; "" where all does."""
    if answers.version != survey.version:
        return f"version is {answers.version!r}, but {SURVEY} beside it is {survey.version!r}"
    if not 1 <= answers.participant <= len(survey.orders):
        return f"participant is {answers.participant}, but the survey has orders for 1 to {len(survey.orders)}"
    asked = [(number, method) for number in range(1, len(survey.questions) + 1) for method in survey.methods]
    rated = Counter((rating.question, rating.method) for rating in answers.ratings)
    for question, method in [*asked, *rated]:
        if (question, method) not in asked:
            return f"ratings: question {question} has no explanation of {method!r}"
        if rated[question, method] != 1:
            return f"ratings: {method} of question {question} is rated {rated[question, method]} times, not once"
    return ""
