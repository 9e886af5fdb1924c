"""Writes one table or figure: ``python -m hadyounot.report NAME --params JSON``."""

import argparse
import json
import os
import sys
from pathlib import Path

from ..settings import ConfigError
from ..study.config import StudyConfig


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 for success."""
    parser = argparse.ArgumentParser(prog="python -m hadyounot.report", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("name", help="a table, a figure, examples, or finding")
    parser.add_argument(
        "--params",
        required=True,
        type=json.loads,
        metavar="JSON",
        help="settings: the whole study, as StudyConfig.part says it; and folder: of the finished run",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of numba, where models are retrained")
    given = parser.parse_args(arguments)
    os.environ["NUMBA_NUM_THREADS"] = str(given.threads)  # read when numba is first imported
    from ..study.store import StoreError
    from ..survey.answers import AnswersError
    from .writing import write

    try:
        write(given.name, StudyConfig.given(given.params["settings"]), Path(given.params["folder"]))
    except (AnswersError, ConfigError, OSError, StoreError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
