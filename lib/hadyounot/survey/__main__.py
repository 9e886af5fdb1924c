"""``hyn-survey check FOLDER``: what is wrong with people's answers, whom the paper excludes, what the others say."""

import argparse
import sys
from pathlib import Path

from .analysis import compared, kept, ratings, reasons
from .answers import AnswersError, collect


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 if every file is in order."""
    parser = argparse.ArgumentParser(prog="hyn-survey", description="A survey's answers (docs/survey.md).")
    check = parser.add_subparsers(required=True, metavar="check").add_parser("check", help="read a folder of answers")
    check.add_argument("folder", type=Path, help="survey.json, and a JSON or CSV file of each participant")
    given = parser.parse_args(arguments)
    try:
        found = collect(given.folder)
    except AnswersError as error:
        print(error, file=sys.stderr)
        return 1
    for error in found.errors:
        print(error, file=sys.stderr)
    remaining = kept(found.answers)
    print(f"{len(found.answers)} participants read, {len(remaining)} kept; {len(found.errors)} errors")
    for each in found.answers:
        if why := reasons(each):
            print(f"participant {each.participant} is excluded: {', '.join(why)}")
    try:
        table = compared(ratings(remaining, found.survey), found.survey.tested)
        print(table.to_string(index=False, na_rep="", float_format="{:.3f}".format))
    except AnswersError as error:
        print(error)
    return 1 if found.errors else 0


if __name__ == "__main__":
    sys.exit(main())
