"""Figures as files: the same bytes every time."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ...study import store

PNG_SIZE = 1200, 690  # pixels at most: the report crops wider pictures, and higher ones are not seen at once
DPI = 100, 160  # at least, where so many panels are to be seen at once that nobody could read them; and at most


def save(figure: Figure, path: str | Path) -> tuple[Path, Path]:
    """Write ``<path>.pdf`` and ``<path>.png``, without dates in them; the figure is closed.

    Returns:
        the two paths.
    """
    written = Path(f"{path}.pdf"), Path(f"{path}.png")
    fitting = (most / inches for most, inches in zip(PNG_SIZE, figure.get_size_inches(), strict=True))
    dpi = max(DPI[0], min(DPI[1], *fitting))
    for file, options in zip(written, ({"metadata": {"CreationDate": None}}, {"dpi": dpi}), strict=True):
        with store.atomic(file) as temporary:
            figure.savefig(temporary, **options)
    plt.close(figure)  # else pyplot keeps all that a process draws
    return written
