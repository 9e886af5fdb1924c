"""What a study may say of its survey."""

from typing import Literal

from pydantic import Field

from ..settings import Strict

CONSENT = (
    "This survey is part of a scientific study of movie recommendations. It takes about ten minutes. Taking part is "
    "voluntary: you may stop at any time by closing this page. Your answers are not sent anywhere. At the end you save "
    "them as a file, which holds no name and no address, and give it to the researchers."
)


class SurveyConfig(Strict):
    """Notebook 85: a survey like the paper's (section 6), from a cell's explanations."""

    questions: int = Field(5, ge=1, description="Questions; each is one test user's history and recommendation.")
    participants: int = Field(100, ge=1, description="People for whom counterbalanced orders are laid out.")
    longest_history: int = Field(
        40, ge=1, description="Test users who watched more are not asked about: nobody would read on."
    )
    arms: list[Literal["linear_reg_aware", "verified"]] = Field(
        [], description="Methods of ours that are shown beside the paper's four."
    )
    consent: str = Field(CONSENT, min_length=1, description="What people agree to before the first question.")
    completion: str = Field("", description="What stands on the last page: where to bring the answers, a code, say.")
