"""hadyounot: had you not interacted with these items, we would not recommend it. Explanations checked by retraining."""

import importlib

_HOMES = {  # imported when first used: the workflow looks into this package often, and needs no compiler for that
    "BlackBox": "retrain.blackbox",
    "Deletion": "retrain.ratings",
    "MatrixFactorization": "retrain.mf",
    "NeuralCollaborativeFiltering": "retrain.ncf",
    "Ratings": "retrain.ratings",
    "TruncatedSVD": "retrain.svd",
    "explain": "compare.verified",
    "load_outcomes": "workflow.archive",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
