"""What the paper claims: strict models of claims.yaml."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import (
    Field,
)

from ..settings import Strict
from .registry import FolderName
from .yaml_file import CONFIG_FOLDER, load

Names = Annotated[list[str], Field(min_length=1)]
Side = Literal["above", "below"]


class _Claim(Strict):
    claim: str = Field(min_length=1, description="The claim in a few words, with the unit of its number.")
    where: str = Field(min_length=1, description="Where in the paper.")
    command: str = Field(pattern=r"^snakemake \S", description="What regenerates the evidence.")


class PeopleClaim(_Claim):
    """What only people can say: not testable by code."""

    kind: Literal["people"] = "people"
    method: str | None = Field(None, description="Whose `number` in the published user study; none by default.")
    number: Literal["mean", "p_value"] = Field("mean", description="Average rating, or p-value against linear_reg.")


class _OfWorlds(_Claim):
    datasets: list[FolderName] = Field(
        ["ml-100k", "netflix-small", "amazon-music"], min_length=1, description="The paper's datasets it is about."
    )
    recommenders: list[Literal["mf", "ncf"]] = Field(
        ["mf", "ncf"], min_length=1, description="Kinds of recommender it is about."
    )


class DatasetClaim(_OfWorlds):
    """A count in Table 2, to be met exactly."""

    kind: Literal["dataset"] = "dataset"
    count: Literal["users", "items", "interactions"] = Field(description="What is counted.")


class _OfList(_OfWorlds):
    top_k: int = Field(1, ge=1, description="K: length of the recommendation list.")


class ValidityClaim(_OfList):
    """Validity of a method, in percent: the number printed in Tables 3 and 4."""

    kind: Literal["validity"] = "validity"
    method: str = Field(description="The method.")


class DifferenceClaim(_OfList):
    """Each of some methods has a higher validity than each of others, in percentage points: the smallest difference."""

    kind: Literal["difference"] = "difference"
    side: ClassVar[Side] = "above"
    better: Names = Field(description="Methods claimed to be better.")
    worse: Names = Field(description="Than these.")


class FallClaim(_OfList):
    """How far validity falls from K = 1 to `top_k`, in percentage points: by eq. (2) it cannot rise."""

    kind: Literal["fall"] = "fall"
    method: str = Field(description="The method.")


class GapClaim(_OfList):
    """A difference is larger on the first kind of recommender than on the second, in percentage points."""

    kind: Literal["gap"] = "gap"
    side: ClassVar[Side] = "above"
    recommenders: list[Literal["mf", "ncf"]] = Field(
        ["mf", "ncf"], min_length=2, max_length=2, description="The first kind of recommender, and the second."
    )
    better: str = Field(description="The difference is the validity of this method,")
    worse: str = Field(description="less that of this one.")


class AblationClaim(_OfList):
    """A variant of the linear surrogate has another validity, in percentage points."""

    kind: Literal["ablation"] = "ablation"
    family: str = Field(description="What is varied.")
    variant: str = Field(description="How.")
    control: str = Field("linear_reg", description="What it is compared with: that, or a variant of the same family.")
    side: Literal["below"] | None = Field("below", description="Lower, or none: the claim is the number alone.")
    paper: float | None = Field(None, description="The number, where published.yaml has none or says something else.")


class CorrelationClaim(_OfWorlds):
    """Pearson correlation of a measure with the score decrease, how far from 0, or less another: median over users."""

    kind: Literal["correlation"] = "correlation"
    measure: str = Field(description="The measure.")
    minus: str | None = Field(
        None,
        description="A measure whose correlation is subtracted, user by user; that of a distance has its sign turned.",
    )
    side: Side = Field(description="Of `bound`.")
    bound: float = Field(0, ge=-1, le=1, description="On which side of this it is claimed to lie.")


class TimeClaim(_OfWorlds):
    """Generation time as a multiple of another method's: the median over users, of the method that holds least."""

    kind: Literal["time"] = "time"
    methods: Names = Field(description="Methods that are timed.")
    against: str = Field(description="The method they are compared with.")
    side: Side = Field(description="Of `bound`.")
    bound: float = Field(1, gt=0, description="On which side of this it is claimed to lie.")


class SeparabilityClaim(_OfWorlds):
    """Area under the ROC curve of the linear probe of Figure 8, on held-out users."""

    kind: Literal["separability"] = "separability"
    side: ClassVar[Side] = "below"
    bound: float = Field(ge=0.5, le=1, description="Claimed to lie below this.")


TestedClaim = (
    DatasetClaim
    | ValidityClaim
    | DifferenceClaim
    | FallClaim
    | GapClaim
    | AblationClaim
    | CorrelationClaim
    | TimeClaim
    | SeparabilityClaim
)
Claim = Annotated[PeopleClaim | TestedClaim, Field(discriminator="kind")]


class ClaimsConfig(Strict):
    """What the paper claims, and when a number of ours agrees with one of the paper's."""

    tolerance: float = Field(
        ge=0,
        description="Percentage points that a validity, or a difference, may lie from the paper's and still agree.",
    )
    correlation_tolerance: float = Field(ge=0, description="The same of a correlation.")
    claims: list[Claim] = Field(min_length=1, description="The claims, in the paper's order.")


def load_claims(path: Path = CONFIG_FOLDER / "claims.yaml") -> ClaimsConfig:
    """The paper's claims.

    Raises:
        ConfigError: the file is missing or no YAML, or a field is wrong.
    """
    return load(path, ClaimsConfig)
