"""The numbers printed in the paper: strict models of published.yaml."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from ..settings import Strict
from .registry import CountsConfig, FolderName
from .yaml_file import CONFIG_FOLDER, load

Percentages = Annotated[list[Annotated[float, Field(ge=0, le=100)]], Field(min_length=3, max_length=3)]


def paper_kind(kind: str) -> str:
    """The paper's recommender that a kind of ours stands for: matrix factorisation by gradient descent and truncated
    singular value decomposition both go by "SVD", and the paper does not say how it factorised.
    """
    return "mf" if kind == "svd" else kind


class PublishedValidityConfig(Strict):
    """Rows of one dataset in the paper's tables of validity: percent at K = 1, 3, 5."""

    knn: Percentages = Field(description="KNN.")
    influence: Percentages = Field(description="Influence Function.")
    linear_reg: Percentages = Field(description="Linear Surrogate (reg).")
    mlp_reg: Percentages = Field(description="MLP Surrogate (reg).")
    linear_clf: Percentages = Field(description="Linear Surrogate (clf).")
    mlp_clf: Percentages = Field(description="MLP Surrogate (clf).")


class PublishedRatingConfig(Strict):
    """One column of the paper's Table 1."""

    mean: float = Field(ge=1, le=5, description="Average rating of the method's explanations.")
    sd: float = Field(gt=0, description="What the paper prints behind ±.")
    p_value: float | None = Field(
        None, gt=0, lt=1, description="One-sided paired t-test: linear_reg is rated higher than this method."
    )


class PublishedUserStudyConfig(Strict):
    """Section 6 and Table 1: how satisfied people were with an explanation, from 1 to 5."""

    collected: int = Field(ge=2, description="Responses collected.")
    kept: int = Field(ge=2, description="Responses that passed the quality control.")
    questions: int = Field(ge=1, description="Questions; each shows one explanation of every method.")
    knn: PublishedRatingConfig = Field(description="KNN.")
    influence: PublishedRatingConfig = Field(description="Influence Function.")
    linear_reg: PublishedRatingConfig = Field(description="Linear Surrogate (reg).")
    mlp_reg: PublishedRatingConfig = Field(description="MLP Surrogate (reg).")


Pearson = Annotated[float, Field(ge=-1, le=1)]


class PublishedCorrelationConfig(Strict):
    """Pearson correlations with the score decrease that the paper's Figure 7 prints, for one user."""

    embedding_distance: Pearson = Field(description="Mean distance of the items from the recommended one.")
    influence: Pearson = Field(description="Influence function value of the items.")


class PublishedConfig(Strict):
    """The numbers printed in the paper."""

    user_study: PublishedUserStudyConfig = Field(description="The user study.")
    table2: dict[FolderName, CountsConfig] = Field(description="Sizes, by dataset.")
    table3: dict[FolderName, PublishedValidityConfig] = Field(description="Matrix factorisation, by dataset.")
    table4: dict[FolderName, PublishedValidityConfig] = Field(description="Neural collaborative filtering, by dataset.")
    ablations: dict[FolderName, dict[str, dict[str, float]]] = Field(
        description="Change of validity in percentage points at K = 1 on matrix factorisation, by dataset, family and "
        "variant of notebook 70."
    )
    figure7: dict[FolderName, PublishedCorrelationConfig] = Field(
        description="Correlations on matrix factorisation, by dataset."
    )

    def ablation(self, kind: str, dataset: str, family: str, variant: str, top_k: int) -> float | None:
        """Change of validity as a fraction, of a variant against linear_reg; None where the paper has none."""
        if (family, variant) == ("effect", "clf"):
            table = self.validity(kind, dataset)
            return table["linear_clf", top_k] - table["linear_reg", top_k] if ("linear_reg", top_k) in table else None
        if (paper_kind(kind), top_k) != ("mf", 1):
            return None
        percent = self.ablations.get(dataset, {}).get(family, {}).get(variant)
        return None if percent is None else percent / 100

    def validity(self, kind: str, dataset: str) -> dict[tuple[str, int], float]:
        """Validity as a fraction by (method, K), of a kind of recommender; empty where the paper has none."""
        rows = {"mf": self.table3, "ncf": self.table4}.get(paper_kind(kind), {}).get(dataset, ())
        return {(method, k): percent / 100 for method, row in rows for k, percent in zip((1, 3, 5), row, strict=True)}

    def correlations(self, kind: str, dataset: str) -> dict[str, float]:
        """Pearson correlation by measure, of a kind of recommender; empty where the paper has none."""
        return dict(self.figure7.get(dataset, ())) if paper_kind(kind) == "mf" else {}


def load_published(path: Path = CONFIG_FOLDER / "published.yaml") -> PublishedConfig:
    """The paper's own numbers, to be shown beside ours.

    Raises:
        ConfigError: the file is missing or no YAML, or a field is wrong.
    """
    return load(path, PublishedConfig)
