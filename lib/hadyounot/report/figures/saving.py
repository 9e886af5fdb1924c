"""Figures as files: the same bytes every time."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ...study import store

DPI = 160  # 1,104 pixels across a page: the report crops pictures wider than 1,200


def save(figure: Figure, path: str | Path, kinds: Sequence[str] = ("pdf", "png")) -> list[Path]:
    """Write ``<path>.pdf`` and ``<path>.png``, or one of them, without dates in them; the figure is closed.

    Returns:
        the paths.
    """
    written = [Path(f"{path}.{kind}") for kind in kinds]
    options = {
        "pdf": {"metadata": {"CreationDate": None}},
        "png": {"dpi": DPI, "pil_kwargs": {"optimize": True}},
    }
    for kind, file in zip(kinds, written, strict=True):
        with store.atomic(file) as temporary:
            figure.savefig(temporary, **options[kind])
    plt.close(figure)  # else pyplot keeps all that a process draws
    return written
