"""The recorded outcomes of a run, to be given away: who wants other surrogates need not run Algorithm 1 again.

python -m hadyounot.workflow.archive build STUDY RUN FOLDER    write FOLDER, with a data card, and FOLDER.zip
python -m hadyounot.workflow.archive verify FOLDER [--rows N]  retrain random rows and compare them bit for bit
"""

import argparse
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ..method.outcomes import Outcomes, record
from ..rng import generator
from ..settings import ConfigError
from ..study import paths, schemas, store
from ..study.cell import Cell
from ..study.config import StudyConfig, digest, load_study, standalone
from ..study.stages import STAGES

STUDY, CARD, SUMS, PROVENANCE = "study.yaml", "README.md", "SHA256SUMS", "provenance.json"
ROWS = 100  # verified of each cell, unless told otherwise


def load_outcomes(path: str | Path) -> Outcomes:
    """What one file of an archive, or of ``results/<dataset>/<model>/outcomes``, holds: Algorithm 1, recorded raw.

    Args:
        path: a parquet file of schema ``schemas.OUTCOMES``.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it is damaged, or holds something else.
    """
    fix = "give a file of outcomes, or unpack the archive again (of a run: delete it and run snakemake again)"
    return Outcomes.of(store.read_parquet(path, schemas.OUTCOMES, fix))


def build(file: Path, run: Path, folder: Path) -> None:
    """Write the outcomes of the finished ``run`` of the study ``file`` to ``folder``, which is new, and to a zip of it.

    Raises:
        ConfigError: the study is wrong, or of other training users than the run; or the folder is there.
        StoreError: the run has not come so far, or a file of it is damaged.
    """
    study = load_study(file)
    if folder.exists():
        raise ConfigError(f"{folder} is there; remove it, or name another folder")
    with store.atomic(folder.with_name(f"{folder.name}.zip")) as archive, tempfile.TemporaryDirectory() as temporary:
        place, cells, rows = Path(temporary), Cell.all_of(study, run, file), []
        for cell in cells:
            frame = pd.concat(
                [cell.read(paths.OUTCOMES, block=block) for block in cell.study.counterfactual.blocks],
                ignore_index=True,
            )
            if {*frame["user"]} != {*cell.training_users.tolist()}:
                raise ConfigError(f"{run} was made by other settings than {file} has now: run the study again first")
            store.write_parquet(place / _name(cell), frame, schemas.OUTCOMES)
            rows.append((cell, len(frame), frame["user"].nunique()))
        for cell in {cell.dataset: cell for cell in cells}.values():
            for pattern, what in ((paths.USERS, "users"), (paths.ITEMS, "items")):
                ids = cell.read(pattern)[["id"]]
                ids.to_csv(place / f"{cell.dataset}_{what}.csv", index=False, lineterminator="\n")
        (place / STUDY).write_text(standalone(file), encoding="utf-8")
        store.write_json(place / PROVENANCE, store.made_by(digest(study), study.seed))
        (place / CARD).write_text(_card(study, rows), encoding="utf-8")
        names = sorted(each.name for each in place.iterdir())
        sums = "".join(f"{store.sha256(place / name)}  {name}\n" for name in names)
        (place / SUMS).write_text(sums, encoding="utf-8")
        with zipfile.ZipFile(archive, "w") as zipped:  # what is in it is compressed already
            for name in (*names, SUMS):
                member = zipfile.ZipInfo(
                    f"{folder.name}/{name}", (1980, 1, 1, 0, 0, 0)
                )  # no time: the same bytes again
                member.external_attr = 0o644 << 16
                zipped.writestr(member, (place / name).read_bytes())
        folder.mkdir()
        for name in (*names, SUMS):
            shutil.copy(place / name, folder)


def verify(folder: Path, rows: int = ROWS) -> list[str]:
    """Check every checksum; then retrain without some deletions of each cell and compare all that was recorded of them.

    Args:
        folder: of the archive, unpacked.
        rows: how many of each cell, drawn by the study's seed; all where there are no more.

    Returns:
        a sentence for each cell.

    Raises:
        ConfigError: the folder is of no archive, or a factory of a black box is not at hand.
        DataError: a dataset cannot be had.
        StoreError: a file is not the one that the checksums are of, or a row is not what retraining gives.
    """
    if not (folder / SUMS).exists():
        raise ConfigError(
            f"{folder} has no {SUMS}: run `make archive` first, or name the folder of an unpacked archive"
        )
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        due, name = line.split("  ", 1)
        if store.sha256(folder / name) != due:
            raise store.StoreError(f"{folder / name}: its sha256 is not the one in {SUMS}; unpack the archive again")
    study, told = load_study(folder / STUDY), []
    with tempfile.TemporaryDirectory() as temporary:
        for each in study.cells:
            pair = each.dataset, each.model
            cell = Cell(study.of(*pair), *pair, Path(temporary), makes=True)
            if not cell.path(paths.DATASET).exists():
                STAGES["10_dataset"].run(cell)
            recorded = load_outcomes(folder / _name(cell))
            draw = generator(study.seed, "verify", *pair).permutation(len(recorded.deletions))[:rows]
            chosen = recorded.select(sorted(draw.tolist()))
            again = record(cell.recommender(), cell.train, chosen.deletions, chosen.targets.shape[1], cell.trained)
            _compare(folder / _name(cell), chosen, again, sorted(draw.tolist()))
            told.append(f"{cell.title}: {len(draw)} of {len(recorded.deletions):,} rows, the same to the bit")
    return told


def _compare(path: Path, recorded: Outcomes, again: Outcomes, rows: list[int]) -> None:
    for name, values in again.columns().items():
        for row, *both in zip(rows, recorded.columns()[name], values, strict=True):
            if not np.array_equal(*both):
                one, other = (np.ravel(each)[np.ravel(both[0]) != np.ravel(both[1])][0] for each in both)
                raise store.StoreError(
                    f"{path}: column {name!r}, row {row}: {one} is recorded, and retraining here gives {other}. It is "
                    f"exact on one kind of processor with the packages of {PROVENANCE}: compare those first"
                )


def _name(cell: Cell) -> str:
    return f"{cell.name}.parquet"


def _card(study: StudyConfig, cells: Iterable[tuple[Cell, int, int]]) -> str:
    """The data card."""
    listed = "".join(f"| `{_name(cell)}` | {cell.title} | {users:,} | {rows:,} |\n" for cell, rows, users in cells)
    columns = "".join(f"| `{name}` | {column.meaning} |\n" for name, column in schemas.OUTCOMES.columns.items())
    used = {cell.dataset: study.datasets[cell.dataset] for cell in study.cells}
    terms = "".join(f"- {row.title or name}: {row.terms or 'none are known'}\n" for name, row in used.items())
    return f"""# What became of recommendations when ratings were deleted

Each row is one recommender, trained from scratch without {study.explanation.explanation_size} ratings of one user, and
what it then says of the user's top {study.counterfactual.n_targets} items (Algorithm 1 of Yao, Wang and Li, 2022,
arXiv:2211.09752).

| file | recommender | users | rows |
|---|---|---|---|
{listed}
| column | meaning |
|---|---|
{columns}
Users and items are numbers from 0; their ids stand in that order in `<dataset>_users.csv` and `<dataset>_items.csv`.
`{STUDY}` is the study, `{PROVENANCE}` the code and packages that packed the rows, `{SUMS}` for `sha256sum --check`.
`hadyounot.load_outcomes("<file>")` reads a file, and so does any reader of parquet. `make verify` retrains some rows.

**Before you publish it.** The lists of deleted items tell who rated what, though not how. Terms of the datasets:

{terms}"""


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 for success."""
    parser = argparse.ArgumentParser(prog="python -m hadyounot.workflow.archive", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="build|verify", dest="command")
    building = commands.add_parser("build", help="write the outcomes of a finished run")
    for name, meaning in (("study", "its YAML"), ("run", "its folder"), ("folder", "where to; beside it FOLDER.zip")):
        building.add_argument(name, type=Path, help=meaning)
    verifying = commands.add_parser("verify", help="retrain random rows and compare them bit for bit")
    verifying.add_argument("folder", type=Path, help="of the archive, unpacked")
    verifying.add_argument("--rows", type=int, default=ROWS, help="of each cell (%(default)s)")
    given = parser.parse_args(arguments)
    try:
        if given.command == "build":
            build(given.study, given.run, given.folder)
            print(f"{given.folder}.zip: {', '.join(sorted(each.name for each in given.folder.iterdir()))}")
        else:
            print("\n".join(verify(given.folder, given.rows)))
    except (OSError, ValueError, FloatingPointError, RuntimeError) as error:  # of stores, readers, settings, training
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
