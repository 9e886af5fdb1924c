"""One look for every figure: what methods are called and coloured, in colour and in grey."""

from collections.abc import Iterable
from itertools import cycle

import numpy as np
import pandas as pd
import seaborn

METHOD_LABELS = {
    "random": "Random",
    "reseed": "Reseed (nothing deleted)",
    "knn": "KNN",
    "knn_cosine": "KNN (cosine)",
    "influence": "Influence function",
    "influence_block": "Influence function (block)",
    "linear_reg": "Linear surrogate (reg)",
    "mlp_reg": "MLP surrogate (reg)",
    "linear_clf": "Linear surrogate (clf)",
    "mlp_clf": "MLP surrogate (clf)",
    "linear_reg_aware": "Linear, target-aware (ours)",
    "oracle": "Oracle (really retrained)",
}

NOT_OURS = "published, not reproducible from code"

MEASURE_LABELS = {
    "embedding_distance": "Embedding distance",
    "cosine_distance": "Cosine distance",
    **{name: METHOD_LABELS[name] for name in METHOD_LABELS if name.startswith(("influence", "linear", "mlp"))},
}

CONTROLS = ("random", "reseed", "oracle")  # the floor, the noise and the ceiling: nothing that explains

# A hue for each family, safe for colour-blind readers; the families differ in lightness too, so grey tells them apart.
METHOD_COLORS = {
    **dict.fromkeys(CONTROLS, "#9a9a9a"),
    "knn": "#d9a406",
    "knn_cosine": "#e9c75c",
    "influence": "#a8440a",
    "influence_block": "#e08a4f",
    "linear_reg": "#0b3055",
    "mlp_reg": "#3a83b8",
    "linear_clf": "#0b3055",
    "mlp_clf": "#3a83b8",
    "linear_reg_aware": "#0d7a5f",
}

MEASURE_COLORS = METHOD_COLORS | {
    "embedding_distance": METHOD_COLORS["knn"],
    "cosine_distance": METHOD_COLORS["knn_cosine"],
}

INK, FAINT, BAND = "#1a1a1a", "#8a8a8a", "#f0f0f0"
ACCENT, HIGHLIGHT = "#c4560a", "#ffe3ad"


FAMILY = "DejaVu Sans"  # comes with matplotlib: the same glyphs on every machine


def use() -> None:
    """Set the look of all figures drawn from now on."""
    seaborn.set_theme(
        context="paper",
        style="ticks",
        rc={
            "axes.edgecolor": FAINT,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "figure.constrained_layout.use": True,
            "font.family": FAMILY,
            "legend.frameon": False,
            "text.hinting": "none",  # text is as wide in PNG as in PDF
            "xtick.color": INK,
            "ytick.color": INK,
        },
    )


def top_k_styles(top_k: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Marker shape and grey level for each K, ascending: the smaller K, the darker."""
    ordered = sorted(set(top_k))
    levels = np.linspace(0, 0.62, len(ordered))
    return {k: (shape, f"{level:.2f}") for k, shape, level in zip(ordered, cycle("os^Dv"), levels, strict=False)}


def span(counts: pd.Series) -> str:
    """'200', or '80 to 200' where the counts differ."""
    return " to ".join(str(count) for count in sorted({counts.min(), counts.max()}))
