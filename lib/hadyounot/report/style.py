"""One look for every figure, in colour and in grey."""

from collections.abc import Iterable
from itertools import cycle

import numpy as np
import seaborn

INK, FAINT, BAND = "#1a1a1a", "#8a8a8a", "#f0f0f0"
ACCENT, HIGHLIGHT = "#c4560a", "#ffe3ad"
FILL, HEADER = "#3a83b8", "#0b3055"

FAMILY = "DejaVu Sans"  # comes with matplotlib: the same glyphs on every machine

PAGE = 6.9  # inches: two columns of a page, as wide as every figure is, with text of at least 7 points


def use() -> None:
    """Set the look of all figures drawn from now on."""
    seaborn.set_theme(
        context="paper",
        style="ticks",
        font_scale=0.85,
        rc={
            "axes.edgecolor": FAINT,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "figure.constrained_layout.use": True,
            "font.family": FAMILY,
            "legend.frameon": False,
            "pdf.fonttype": 42,  # TrueType, which publishers ask for and editors can edit
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
