"""One look for every figure, in colour and in grey."""

from collections.abc import Iterable
from itertools import cycle

import matplotlib.style
import numpy as np
from matplotlib import cycler

INK, FAINT, BAND = "#1a1a1a", "#8a8a8a", "#f0f0f0"
ACCENT, HIGHLIGHT = "#c4560a", "#ffe3ad"
FILL, HEADER = "#3a83b8", "#0b3055"

FAMILY = "DejaVu Sans"  # comes with matplotlib: the same glyphs on every machine

PAGE = 6.9  # inches: two columns of a page, as wide as every figure is, with text of at least 7 points


# seaborn's theme for its context "paper" and style "ticks", with texts of 0.85 of their size (a test says so). Written
# out, as importing seaborn takes a second and a half, in every process that draws.
THEME = {
    "axes.axisbelow": True,
    "axes.labelcolor": ".15",
    "axes.labelsize": 8.16,
    "axes.linewidth": 1,
    "axes.prop_cycle": cycler(
        color=(
            *("#4C72B0", "#DD8452", "#55A868", "#C44E52", "#8172B3"),
            *("#937860", "#DA8BC3", "#8C8C8C", "#CCB974", "#64B5CD"),
        )
    ),
    "axes.titlesize": 8.16,
    "font.size": 8.16,
    "grid.color": ".8",
    "legend.fontsize": 7.48,
    "legend.title_fontsize": 8.16,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.8,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "patch.linewidth": 0.8,
    "text.color": ".15",
    "xtick.labelsize": 7.48,
    "xtick.major.size": 4.8,
    "xtick.major.width": 1,
    "xtick.minor.size": 3.2,
    "xtick.minor.width": 0.8,
    "ytick.labelsize": 7.48,
    "ytick.major.size": 4.8,
    "ytick.major.width": 1,
    "ytick.minor.size": 3.2,
    "ytick.minor.width": 0.8,
}


def use() -> None:
    """Set the look of all figures drawn from now on, whatever a matplotlibrc says."""
    own = {
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
    }
    matplotlib.style.use(["default", THEME, own])


def top_k_styles(top_k: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Marker shape and grey level for each K, ascending: the smaller K, the darker."""
    ordered = sorted(set(top_k))
    levels = np.linspace(0, 0.62, len(ordered))
    return {k: (shape, f"{level:.2f}") for k, shape, level in zip(ordered, cycle("os^Dv"), levels, strict=False)}
