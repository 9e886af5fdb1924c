"""Names that README has taught; they live in ``hadyounot.retrain.peers``."""

from ..retrain.peers import ImplicitALS, SurpriseSVD

__all__ = ["ImplicitALS", "SurpriseSVD"]
