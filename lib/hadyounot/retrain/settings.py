"""Settings of the recommenders."""

import json
import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, field_validator

from ..settings import Strict


class RecommenderConfig(Strict):
    """What every recommender is told."""

    seed: int = Field(
        0, ge=0, description="Root of its random numbers; in a study beside the study's own, which 0 leaves as it is."
    )
    remove_seen: bool = Field(
        True, description="Whether items of the user's history, deleted ones too, are left out of recommendations."
    )

    @property
    def learns_choices(self) -> bool:
        """Whether it learns that items were chosen: a rating counts as 1, whatever it says."""
        return False

    @property
    def passes(self) -> str:
        """The field that says how many passes over the ratings a retraining makes, of a recommender that makes some."""
        return "warm_epochs" if getattr(self, "protocol", "pinned") == "warm" else "epochs"


class MatrixFactorizationConfig(RecommenderConfig):
    """Matrix factorisation trained by stochastic gradient descent."""

    kind: Literal["mf"] = Field("mf", description="Which recommender this is.")
    factors: int = Field(16, ge=1, description="Length of a user's and an item's embedding.")
    epochs: int = Field(20, ge=1, description="Passes over the training ratings.")
    learning_rate: float = Field(0.01, gt=0, description="Step of the gradient descent.")
    regularization: float = Field(0.02, ge=0, description="Weight of the squared norm in the loss (L2).")
    init_scale: float = Field(0.1, ge=0, description="Standard deviation of the initial embeddings.")
    biased: bool = Field(
        True, description="Whether a score has the mean rating and biases of user and item beside their embeddings."
    )
    protocol: Literal["pinned", "rebuilt", "reseeded", "reshuffled", "warm"] = Field(
        "pinned",
        description="What a retraining keeps of the original's: ids, initial weights and order of ratings (pinned); "
        "none of the ids, which are given anew by first appearance in the ratings left, and with them initial weights "
        "and order, as by toolkits that build a fresh training set (rebuilt); all but the initial weights (reseeded); "
        "all but the order, a permutation of the ratings left (reshuffled); the trained weights too (warm).",
    )
    warm_epochs: int = Field(5, ge=1, description="Passes of a retraining that starts from the trained weights.")


class NeuralCollaborativeFilteringConfig(RecommenderConfig):
    """NeuMF: matrix factorisation and a perceptron under one output layer, trained by Adam on minibatches."""

    kind: Literal["ncf"] = Field("ncf", description="Which recommender this is.")
    gmf_factors: int = Field(8, ge=1, description="Length of the embeddings of its generalised matrix factorisation.")
    mlp_layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (16, 8),
        min_length=2,
        description="Units of its perceptron: the first is a user's and an item's embedding side by side, half each.",
    )
    epochs: int = Field(3, ge=1, description="Passes over the training ratings.")
    batch_size: int = Field(512, ge=1, description="Examples in a minibatch: ratings, and their negatives.")
    learning_rate: float = Field(0.003, gt=0, description="Step of Adam.")
    init_scale: float = Field(0.01, ge=0, description="Standard deviation of the initial embeddings.")
    protocol: Literal["pinned", "reseeded"] = Field(
        "pinned",
        description="What a retraining keeps of the original's: ids, initial weights and order of ratings (pinned), or "
        "all but the initial weights (reseeded).",
    )
    negatives: int = Field(
        0,
        ge=0,
        description="0 learns ratings, by squared error; more learns what is chosen, by cross-entropy: any rating "
        "counts as chosen, and this many items that its user did not rate, sampled anew in each epoch, as not.",
    )

    @property
    def learns_choices(self) -> bool:
        """See ``RecommenderConfig``."""
        return self.negatives > 0

    @field_validator("mlp_layers")
    @classmethod
    def _two_halves(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        if layers[0] % 2:
            raise ValueError(f"the first of {list(layers)} is split between user and item: make it even")
        return layers


class TruncatedSVDConfig(RecommenderConfig):
    """Truncated singular value decomposition of the matrix of ratings, zero where there is none (PureSVD)."""

    kind: Literal["svd"] = Field("svd", description="Which recommender this is.")
    factors: int = Field(16, ge=1, description="Length of a user's and an item's embedding: singular vectors kept.")
    binary: bool = Field(False, description="Whether the matrix holds 1 for each rating, whatever it says.")
    tolerance: float = Field(
        1e-10,
        gt=0,
        description="When retraining has converged: residual of its vectors relative to the largest eigenvalue.",
    )

    @property
    def learns_choices(self) -> bool:
        """See ``RecommenderConfig``."""
        return self.binary


class BlackBoxConfig(RecommenderConfig):
    """A recommender that others wrote, with `fit` and `scores`, retrained once per deletion."""

    kind: Literal["blackbox"] = Field("blackbox", description="Which recommender this is.")
    factory: str = Field(
        description="`package.module:name` of what is called with `settings`, and with the study's `seed` if it takes "
        "one, for a fresh one; the folder of the study's file is looked in too.",
    )
    settings: dict[str, Any] = Field({}, description="Keyword arguments of the factory beside `seed`.")
    factors: int = Field(
        16, ge=1, description="Length of the embeddings, a truncated SVD of the ratings, of a recommender without any."
    )

    @field_validator("factory")
    @classmethod
    def _module_and_name(cls, factory: str) -> str:
        if re.fullmatch(r"[\w.]+(?<!\.py):\w+", factory):
            return factory
        *modules, name = re.findall(r"\w+", re.sub(r"\.py\b", "", factory)) or [""]
        near = f": {'.'.join(modules)}:{name}" if modules else ""
        raise ValueError(f"should be package.module:name, without .py{near}")

    @field_validator("settings")
    @classmethod
    def _plain_and_without_the_seed(cls, settings: dict) -> dict:
        if "seed" in settings:
            raise ValueError("the study gives the seed: leave it out")
        for name, value in settings.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                plain = "a number, true, false, null or text in quotes, or a list or mapping of these"
                raise ValueError(f"{name}: {error}; write {plain}") from None
        return settings


def lacking(recommender: object) -> list[str]:
    """What a black box needs and an object has not."""
    return [name for name in ("fit", "scores") if not callable(getattr(recommender, name, None))]


class Kind(NamedTuple):
    """A kind of recommender: what people call it, and its class, imported where one is used."""

    title: str
    module: str
    name: str


RECOMMENDERS = {
    "mf": Kind("matrix factorisation", "hadyounot.retrain.mf", "MatrixFactorization"),
    "ncf": Kind("neural collaborative filtering", "hadyounot.retrain.ncf", "NeuralCollaborativeFiltering"),
    "svd": Kind("truncated SVD", "hadyounot.retrain.svd", "TruncatedSVD"),
    "blackbox": Kind("black box", "hadyounot.retrain.blackbox", "BlackBox"),
}
