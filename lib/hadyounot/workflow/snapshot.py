"""The small files of a run, from which all its tables and figures are drawn again, without any retraining.

    python -m hadyounot.workflow.snapshot keep STUDY RUN FOLDER [NAME ...]   copy them from the folder of a finished run
    python -m hadyounot.workflow.snapshot draw FOLDER [NAME ...]             draw them again

All that the study has, or the tables and figures of such names alone.

No dataset is in a snapshot: what shows titles of a history is drawn where the dataset can be had.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ..report import output, writing
from ..settings import ConfigError
from ..study import paths, store
from ..study.cell import Cell
from ..study.config import StudyConfig, digest, load_study, standalone
from ..study.ratings_file import DataError
from ..study.stages import STAGES

STUDY, PROVENANCE = "study.yaml", "provenance.json"
UNKEPT = ".pdf", ".html", ".rst"  # twins of what is kept; the first page of a report
UNDRAWN = "runtime", "finding", "table1_answers", "figure2_answers"
"""Made from Snakemake's files of a run and all outcomes, which are not small; for a report; from people's answers."""


def names(study: StudyConfig) -> list[str]:
    """The tables and figures that a snapshot can draw."""
    return [name for name in output.names(study) if name not in UNDRAWN]


def _ratings(study: StudyConfig) -> set[str]:
    """Files of a run that hold ratings, which no snapshot has."""
    return {path.format(dataset=cell.dataset) for path in paths.RATED for cell in study.cells}


def _chosen(known: Iterable[str], wanted: Iterable[str], whose: object) -> list[str]:
    """Those of the ``known`` names that begin as one ``wanted``; all where there is none."""
    known, wanted = list(known), tuple(wanted)
    for prefix in wanted:
        if not any(name.startswith(prefix) for name in known):
            raise ConfigError(f"{prefix}: {whose} has no such table or figure; it has {', '.join(known)}")
    return [name for name in known if name.startswith(wanted or "")]


def keep(file: Path, run: Path, folder: Path, wanted: Iterable[str] = ()) -> None:
    """Copy what tables and figures of the finished ``run`` of the study ``file`` are made from to ``folder``, and them.

    Args:
        file: the study's YAML.
        run: folder of the run.
        folder: of the snapshot.
        wanted: names of tables and figures, or how they begin; all where there are none.

    Raises:
        ConfigError: the study is wrong, has nothing of such a name, or the run is not finished.
    """
    study = load_study(file)
    chosen = _chosen(output.names(study), wanted, file)
    needs = {name: output.needs(name, study) for name in output.names(study)}
    chosen += [name for name in needs if any(paths.TABLE.format(table=name) in needs[each] for each in chosen)]
    copied = {each for name in chosen if name not in UNDRAWN for each in needs[name]} - _ratings(study)
    for name in chosen:
        copied |= {str(each) for each in _files(name, study) if each.suffix not in UNKEPT}
    if absent := sorted(each for each in copied if not (run / each).exists()):
        raise ConfigError(f"{run} has no {', '.join(absent)}; finish it: run snakemake again")
    for each in sorted(copied):
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run / each, folder / each)
    (folder / STUDY).write_text(standalone(file), encoding="utf-8")
    made = store.made_by(digest(study), study.seed)
    sums = {each: store.sha256(folder / each) for each in sorted({*copied, STUDY})}
    store.write_json(folder / PROVENANCE, made | {"files": sums})


def draw(folder: Path, wanted: Iterable[str] = ()) -> list[str]:
    """Write the tables and figures of the snapshot in ``folder``, over those that are there; a table whose inputs the
    snapshot does not hold is left as it is, and others are drawn from it.

    Args:
        folder: of the snapshot.
        wanted: names, or how they begin; all that it has where there are none.

    Returns:
        the names of what was drawn.

    Raises:
        ConfigError: the folder is of no snapshot, or the snapshot has nothing of such a name.
        DataError: a dataset whose titles are shown cannot be had; what shows none of them is drawn all the same.
        StoreError: a file of the snapshot is damaged, or not there.
    """
    if not (folder / STUDY).is_file():
        fix = "name the folder of one, such as docs/results/paper"
        raise ConfigError(f"{folder} is no snapshot, as it has no {STUDY}; {fix}")
    study = load_study(folder / STUDY)
    sums = store.read_json(folder / PROVENANCE)["files"]
    kept = [name for name in names(study) if any(str(file) in sums for file in _files(name, study))]
    held = {*sums, *_ratings(study)}
    needs = {name: {each for each in output.needs(name, study) if each.startswith("results/")} for name in kept}
    final = [name for name in kept if not needs[name] <= held]
    kept = [name for name in kept if needs[name] <= held]
    chosen = _chosen(kept, wanted, folder)
    for file, due in sums.items():
        if file.startswith("results/") and not ((folder / file).exists() and store.sha256(folder / file) == due):
            said = f"its sha256 is not the one in {PROVENANCE}, or it is not there; restore the file"
            raise store.StoreError(f"{folder / file}: {said}")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        if (folder / "results").exists():  # some tables are made of what the paper prints alone
            shutil.copytree(folder / "results", place / "results")
        done = list(final)
        for file in (file for name in final for file in _files(name, study) if str(file) in sums):
            (place / file).parent.mkdir(exist_ok=True)
            shutil.copy(folder / file, place / file)
        missing: dict[str, DataError] = {}
        for name in chosen:
            try:
                _draw(name, study, place, done)
            except DataError as error:  # of data that others need not
                missing[name] = error
                continue
            for file in _files(name, study):
                (folder / file).parent.mkdir(exist_ok=True)
                shutil.copy(place / file, folder / file)
    if missing:
        drawn = ", ".join(name for name in chosen if name not in missing) or "nothing"
        raise DataError(
            "\n".join([f"{folder}: drew {drawn}", *(f"not {name}: {error}" for name, error in missing.items())])
        )
    return chosen


def _draw(name: str, study: StudyConfig, place: Path, done: list[str]) -> None:
    """Write one, after whatever it is drawn from, unless that is ``done``."""
    if name in done:
        return
    for path in map(Path, output.needs(name, study)):
        if path.parts[0] == "tables":
            _draw(path.stem, study, place, done)
        elif not (place / path).exists():
            pair = next((cell.dataset, cell.model) for cell in study.cells if cell.dataset == path.parts[1])
            STAGES["10_dataset"].run(Cell(study.of(*pair), *pair, place, makes=True))
    writing.write(name, study, place)
    done.append(name)


def _files(name: str, study: StudyConfig) -> list[Path]:
    """Where a table or figure lies, its twins too."""
    return [Path(path) for path in output.written(name, study).values()]


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 for success."""
    parser = argparse.ArgumentParser(prog="python -m hadyounot.workflow.snapshot", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="keep|draw", dest="command")
    keeping = commands.add_parser("keep", help="copy the small files of a finished run")
    for name, meaning in (("study", "its YAML"), ("run", "its folder"), ("folder", "where to, of the snapshot")):
        keeping.add_argument(name, type=Path, help=meaning)
    keeping.add_argument("names", nargs="*", help="tables or figures, or how their names begin; all by default")
    drawing = commands.add_parser("draw", help="write the tables and figures of a snapshot")
    drawing.add_argument("folder", type=Path, help="of the snapshot")
    drawing.add_argument("names", nargs="*", help="tables or figures, or how their names begin; all by default")
    given = parser.parse_args(arguments)
    try:
        if given.command == "keep":
            keep(given.study, given.run, given.folder, given.names)
        else:
            print(f"{given.folder}: drew {', '.join(draw(given.folder, given.names))}")
    except (OSError, ValueError) as error:  # ConfigError, and what stores and readers raise
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
