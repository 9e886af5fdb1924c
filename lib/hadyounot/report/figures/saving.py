"""Figures as files: the same bytes every time."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ...study import store

PNG_WIDTH = 1200  # pixels at most: the report crops wider pictures


def save(figure: Figure, path: str | Path) -> tuple[Path, Path]:
    """Write ``<path>.pdf`` and ``<path>.png``, without dates in them; the figure is closed.

    Returns:
        the two paths.
    """
    written = Path(f"{path}.pdf"), Path(f"{path}.png")
    dpi = min(160, PNG_WIDTH / figure.get_figwidth())
    for file, options in zip(written, ({"metadata": {"CreationDate": None}}, {"dpi": dpi}), strict=True):
        with store.atomic(file) as temporary:
            figure.savefig(temporary, **options)
    plt.close(figure)  # else pyplot keeps all that a process draws
    return written
