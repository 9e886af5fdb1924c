"""The survey as one HTML page, which asks no server and no network for anything."""

import json

from . import TEMPLATE
from .questions import Survey


def page(survey: Survey) -> str:
    """The page. It holds the survey as JSON, and its script shows it: one part at a time, explanations in the order of
    the participant, whose number is typed in or comes with the address (``page.html#17``).
    """
    data = json.dumps(survey.model_dump(), ensure_ascii=False, sort_keys=True)
    # a title must not end the element that holds it
    return TEMPLATE.read_text(encoding="utf-8").replace("SURVEY_JSON", data.replace("<", "\\u003c"))
