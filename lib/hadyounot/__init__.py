"""hadyounot: had you not interacted with these items, we would not recommend it. Explanations checked by retraining."""

from .ratings import Deletion, Ratings
from .recommenders.blackbox import BlackBox
from .recommenders.mf import MatrixFactorization
from .recommenders.ncf import NeuralCollaborativeFiltering

__all__ = ["BlackBox", "Deletion", "MatrixFactorization", "NeuralCollaborativeFiltering", "Ratings"]
