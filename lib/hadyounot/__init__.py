"""hadyounot: had you not interacted with these items, we would not recommend it. Explanations checked by retraining."""

from .ratings import Deletion, Ratings
from .recommenders.mf import MatrixFactorization
from .recommenders.ncf import NeuralCollaborativeFiltering

__all__ = ["Deletion", "MatrixFactorization", "NeuralCollaborativeFiltering", "Ratings"]
