"""Settings of what the surrogates are compared with."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from ..settings import Strict


class InfluenceConfig(Strict):
    """Baseline of eq. (10)."""

    damping: float = Field(
        1e-5,
        gt=0,
        description="Added to the diagonal of the Hessian of the mean loss; more where an exact one needs it.",
    )
    tolerance: float = Field(1e-4, gt=0, description="Relative residual at which conjugate gradients stop.")
    max_iterations: int = Field(1000, ge=1, description="Iterations of conjugate gradients at most.")


class OracleConfig(Strict):
    """The ceiling: the best of the deletions really retrained for a test user."""

    exhaustive: int = Field(1000, ge=0, description="Retrain every C(n, e) subset where there are at most this many.")
    shortlist: int = Field(
        10,
        ge=3,
        description="Elsewhere: every subset of this many items whose single deletions hurt the target most.",
    )


class NaiveConfig(Strict):
    """Algorithm 2 on short histories: every deletion up to a size is retrained."""

    users: int = Field(
        25, ge=1, description="Users at most: of those with so short a history, the first of a random order."
    )
    max_history: int = Field(13, ge=1, description="Training items that a user has at most.")
    max_size: int = Field(4, ge=1, description="Deletions are all subsets of the history of at most this many items.")


class VerificationConfig(Strict):
    """Notebook 67: what it costs to prove explanations before they are shown."""

    users: int = Field(50, ge=1, description="Test users, the first ones; all of them where there are no more.")
    budgets: list[Annotated[int, Field(ge=1)]] = Field(
        [8, 16, 32, 64, 128], min_length=1, description="Models retrained at most for one explanation at one K."
    )


class CorrelationConfig(Strict):
    """Figure 7, and how well the surrogates predict: item sets of test users really deleted, whatever explains them."""

    users: int = Field(50, ge=1, description="Test users, the first ones; all of them where there are no more.")
    sets: int = Field(
        500, ge=2, description="Distinct sets deleted per user, of `explanation_size` items; all C(n, e) where fewer."
    )


class ProjectionConfig(Strict):
    """Figure 8: a picture of the surrogates' training rows, and how well they can be told apart."""

    users: int = Field(100, ge=2, description="Training users, the first ones; all of them where there are no more.")
    points: int = Field(3000, ge=2, description="Rows drawn from theirs; all of them where there are no more.")
    perplexity: float = Field(30, gt=0, description="Of t-SNE: about how many neighbours of a point it keeps near.")

    @model_validator(mode="after")
    def _more_points_than_neighbours(self) -> Self:
        if self.perplexity >= self.points:
            raise ValueError(f"perplexity {self.perplexity:g} needs more points than {self.points}; lower it")
        return self
