"""Figures as files: the same bytes every time."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from ...study import store

PNG_SIZE = 1200, 690  # pixels at most: the report crops wider pictures, and higher ones are not seen at once
DPI = 100, 160  # at least, where so many panels are to be seen at once that nobody could read them; and at most


def save(figure: Figure, path: str | Path, kinds: Sequence[str] = ("pdf", "png")) -> list[Path]:
    """Write ``<path>.pdf`` and ``<path>.png``, or one of them, without dates in them; the figure is closed.

    Returns:
        the paths.
    """
    written = [Path(f"{path}.{kind}") for kind in kinds]
    fitting = (most / inches for most, inches in zip(PNG_SIZE, figure.get_size_inches(), strict=True))
    dpi = max(DPI[0], min(DPI[1], *fitting))
    for kind, file in zip(kinds, written, strict=True):
        with store.atomic(file) as temporary:
            if kind == "pdf":
                figure.savefig(temporary, metadata={"CreationDate": None})
                continue
            drawn = BytesIO()
            figure.savefig(drawn, format="png", dpi=dpi)
            # of 256 colours, which takes a third of the room: a browser opens no embedded page of over 2 MB
            few = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
            few.save(temporary, "PNG", optimize=True, dpi=(dpi, dpi))
    plt.close(figure)  # else pyplot keeps all that a process draws
    return written
