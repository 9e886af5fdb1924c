"""Names that README teaches; they live in ``hadyounot.method.outcomes``."""

from .method.outcomes import candidates, ranks

__all__ = ["candidates", "ranks"]
