"""What a job of the workflow is given, and what makes it run again. Cheap to import, as the Snakefile does it often."""

import errno
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from ..retrain.settings import RECOMMENDERS, BlackBoxConfig
from ..settings import ConfigError
from ..study import factory, paths
from ..study.config import StudyConfig
from ..study.methods import FAMILIES
from ..survey import TEMPLATE
from .digest import code_digest, module_digest, package_digest

# how things look changes no number, and what a study says is given
UNCOUNTED = (
    *("report", "workflow", "settings", "retrain.settings", "method.settings", "compare.settings", "survey.settings"),
    *("study.claims", "study.config", "study.published", "study.yaml_file"),
)


class Jobs:
    """Jobs of one study; ``wildcards`` are Snakemake's: names as attributes and as keys.

    Args:
        study: the study.
        project: the folder of the notebooks.

    Raises:
        ConfigError: the project or the run lies where Snakemake cannot work; or as ``factory.located``.
    """

    def __init__(self, study: StudyConfig, project: Path):
        self.study, self.project = study, project
        for folder in (project, Path.cwd()):
            if {"{", "}"} & {*str(folder)}:
                raise ConfigError(f"{folder}: Snakemake takes braces in a folder's name for wildcards; rename it")
        for cell in study.cells:
            if isinstance(settings := study.models[cell.model], BlackBoxConfig):
                factory.located(settings)  # here one line, where Snakemake asks for a digest a traceback

    def given(self, fields: Sequence[str], wildcards: Mapping[str, str]) -> str:
        """The parameters of a notebook, as JSON: names, and the ``fields`` of its cell's study that decide what
        it writes; or the whole study, for what is of no cell: the provenance of tables and figures tells of all of it.
        """
        names = dict(wildcards.items())
        if not names:
            return json.dumps({"settings": self.study.part(), "folder": "."})
        cells = [cell for cell in self.study.cells if cell.dataset == names["dataset"]]
        if not cells:
            raise ConfigError(f"the study has no cell of {names['dataset']}; it has {sorted(self.study.titles)}")
        block, varied = names.get("block"), names.get("family")
        if varied:
            fields = [*fields, *(f"ablations.{field}" for field in FAMILIES[varied][1])]
        of_cell = self.study.of(
            names["dataset"], names.get("model") or cells[0].model, None if block is None else int(block), varied
        )
        return json.dumps({"settings": of_cell.part("seed", *fields), "folder": ".", **names})

    def code(self, notebook: str, fields: Collection[str], wildcards: Mapping[str, str]) -> list[str | dict[str, str]]:
        """Digests of what a notebook does; where ``fields`` let it train, of its cell's recommender, and of its factory
        where others wrote that; of a survey's page; and where they let it read a dataset, of the files in the data
        folder.
        """
        found = [code_digest(self.project / paths.NOTEBOOK.format(notebook=notebook), UNCOUNTED)]
        if "models" in fields:
            settings = self.study.models[wildcards["model"]]
            found.append(package_digest(RECOMMENDERS[settings.kind].module, UNCOUNTED))
            if isinstance(settings, BlackBoxConfig):
                module = factory.located(settings)
                ours = module.name.startswith("hadyounot.")
                found.append(package_digest(module.name, UNCOUNTED) if ours else module_digest(module))
        if "survey" in fields:
            found.append(hashlib.sha256(TEMPLATE.read_bytes()).hexdigest())
        if "datasets" in fields:
            from ..study.datasets import data_folder, digests

            found.append(digests(wildcards["dataset"], data_folder(), self.study.datasets))
        return found

    @property
    def answers(self) -> list[str]:
        """Files of people's answers; none where the study names no folder of any.

        Raises:
            ConfigError: it is not there, or a name in it has braces.
        """
        if not self.study.answers:
            return []
        folder = Path(self.study.answers)
        if not folder.is_dir():
            raise ConfigError(f"answers: there is no folder {folder} below {Path.cwd()}; make it, or leave answers out")
        found = sorted(map(str, folder.iterdir()))
        if braced := next((each for each in found if {"{", "}"} & {*each}), None):
            raise ConfigError(f"{braced}: Snakemake takes braces in a file's name for wildcards; rename it")
        return found

    @property
    def drawing(self) -> str:
        """A digest of the code of all tables and figures."""
        return package_digest("hadyounot.report")

    def start(self, written: Iterable[str]) -> None:
        """Before any job: say on stderr where each cell's data will come from, and see that black boxes can be made,
        that there are enough users and that what is to be ``written`` can be.

        Raises:
            ConfigError: as ``factory.check`` or ``Cell.test_users``; or a dataset has fewer users than are asked for,
                or no more candidates than K.
            DataError: a dataset of no expected size is not as it should be.
            PermissionError: a folder of what is to be written is read-only.
        """
        _check_leave(written)
        self._tell_where_data_are()
        for cell in self.study.cells:
            settings = self.study.models[cell.model]
            if isinstance(settings, BlackBoxConfig):
                factory.check(settings, self.study.seed)
        with tempfile.TemporaryDirectory() as folder:
            for cell in self.study.cells:
                self._check_users(self.study.of(cell.dataset, cell.model), Path(folder))

    def _tell_where_data_are(self) -> None:
        from ..study.datasets import availability, data_folder

        for cell in self.study.cells:
            data = availability(cell.dataset, data_folder(), self.study.datasets)
            blocks = len(self.outcomes([(cell.dataset, cell.model)]))
            print(f"{cell.dataset}, {cell.model}: {blocks} blocks; data {data}", file=sys.stderr)

    def _check_users(self, study: StudyConfig, folder: Path) -> None:
        (cell,) = study.cells
        if expected := study.expected(cell.dataset):  # to count who can be explained, it would have to be read
            asked = study.counterfactual.training_users + study.explanation.test_users
            if asked > expected.users:
                raise ConfigError(
                    f"{cell.dataset} has {expected.users} users, but counterfactual.training_users + "
                    f"explanation.test_users of {cell.model} is {asked}: lower it"
                )
            return
        from ..study.cell import Cell
        from ..study.stages.dataset import dataset

        made = Cell(study, cell.dataset, cell.model, folder, makes=True)
        if not made.path(paths.DATASET).exists():  # for another cell
            dataset(made)
        most = max(int(made.candidates(user).sum()) for user in made.test_users.tolist())
        if (top_k := max(study.explanation.top_k)) >= most:
            raise ConfigError(
                f"explanation.top_k: nobody who is explained on {cell.dataset} has more than {most} candidate items, "
                f"so none can leave the top {top_k}; lower it to {most - 1}"
            )

    def outcomes(self, cells: Iterable[tuple[str, str]]) -> list[str]:
        """Files of all blocks of some cells."""
        return [
            paths.OUTCOMES.format(dataset=dataset, model=model, block=block)
            for dataset, model in cells
            for block in self.study.of(dataset, model).counterfactual.blocks
        ]


def _check_leave(written: Iterable[str]) -> None:
    """Snakemake, which removes a job's outputs before the job is ours, would name a file of the folder and no fix."""
    ids = os.access in os.supports_effective_ids
    for folder in sorted({Path(path).parent for path in written}):
        nearest = next(each for each in (folder, *folder.parents) if each.exists())
        if not os.access(nearest, os.W_OK | os.X_OK, effective_ids=ids):
            why = f"{os.strerror(errno.EACCES)}; make it writable and run again"
            raise PermissionError(errno.EACCES, f"{nearest} cannot be written in: {why}")
