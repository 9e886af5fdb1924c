"""Writes one table or figure: ``python -m hadyounot.report NAME --settings JSON --folder RUN``."""

import argparse
import json
import sys
from pathlib import Path

from ..study.config import StudyConfig
from ..study.reading import ConfigError


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 for success."""
    parser = argparse.ArgumentParser(prog="python -m hadyounot.report", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("name", help="a table, a figure, or examples")
    parser.add_argument(
        "--settings", required=True, metavar="JSON", help="the whole study, as StudyConfig.part says it"
    )
    parser.add_argument("--folder", type=Path, default=Path(), help="of the finished run (default: this one)")
    given = parser.parse_args(arguments)
    from ..study.store import StoreError
    from .output import write

    try:
        write(given.name, StudyConfig.given(json.loads(given.settings)), given.folder)
    except (ConfigError, StoreError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
