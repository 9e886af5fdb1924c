"""Settings of the surrogates."""

from typing import Annotated

from pydantic import Field

from ..settings import Strict


class LassoConfig(Strict):
    """Linear surrogate of the regression effect, eq. (3)."""

    penalties: int = Field(
        100, ge=50, description="Penalties on the path, geometric from the smallest that zeroes every weight."
    )
    path_ratio: float = Field(1e-4, gt=0, lt=1, description="Smallest penalty over largest.")


class LogisticConfig(Strict):
    """Linear surrogate of the classification effect, eq. (4)."""

    penalties: list[Annotated[float, Field(gt=0)]] = Field(
        [1e-4, 1e-3, 1e-2, 1e-1, 1.0],
        min_length=1,
        description="L2 penalties per row that cross-validation chooses from.",
    )


class MlpConfig(Strict):
    """Three-layer perceptron surrogates of both effects."""

    hidden: list[Annotated[int, Field(ge=1)]] = Field(
        [64, 32], min_length=1, description="Units of each hidden layer; the output layer is the third."
    )
    batch_size: int = Field(4096, ge=1, description="Rows in a minibatch.")
    learning_rate: float = Field(1e-3, gt=0, description="Step of Adam.")
    max_epochs: int = Field(20, ge=1, description="Passes over the rows at most, which cross-validation chooses from.")
    patience: int = Field(
        3, ge=1, description="Epochs without a better loss on held-out users before no more are tried."
    )


class SetNetworkConfig(Strict):
    """Learned representations of the set of deleted items: one budget for all."""

    hidden: int = Field(32, ge=4, multiple_of=4, description="Width of every layer.")
    learning_rates: list[Annotated[float, Field(gt=0)]] = Field(
        [3e-4, 1e-3, 3e-3], min_length=1, description="Steps of Adam; the best on held-out users is kept."
    )
    batch_size: int = Field(4096, ge=1, description="Rows in a minibatch.")
    max_epochs: int = Field(20, ge=1, description="Passes over the rows at most.")
    patience: int = Field(3, ge=1, description="Epochs without a better loss on held-out users before training stops.")
    held_out_share: float = Field(0.2, gt=0, lt=1, description="Share of the training users held out.")
    max_candidates: int = Field(10_000, ge=1, description="Candidate subsets scored for an explanation.")


class SurrogateConfig(Strict):
    """Step 2: surrogates."""

    folds: int = Field(5, ge=2, description="Folds of the cross-validation, grouped by user.")
    lasso: LassoConfig = Field(LassoConfig(), description="LASSO.")
    logistic: LogisticConfig = Field(LogisticConfig(), description="Logistic regression.")
    mlp: MlpConfig = Field(MlpConfig(), description="Multi-layer perceptrons.")
