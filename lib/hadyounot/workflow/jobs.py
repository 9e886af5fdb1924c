"""What a job of the workflow is given, and what makes it run again. Cheap to import, as the Snakefile does it often."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..study import paths
from ..study.config import StudyConfig
from .digest import code_digest, module_digest

UNCOUNTED = ("config", "toy", "figures", "style", "tables")  # modules that change no number of a stage


class Jobs:
    """Jobs of one study; ``wildcards`` are Snakemake's: names as attributes and as keys.

    Args:
        study: the study.
        project: the folder of the notebooks.
    """

    def __init__(self, study: StudyConfig, project: Path):
        self.study, self.project = study, project
        self.resolved = json.loads(study.model_dump_json())

    def because(
        self,
        notebook: str,
        wildcards: Iterable[str] = (),
        settings: Iterable[str] = (),
        ignore: Iterable[str] = UNCOUNTED,
    ) -> dict[str, Any]:
        """Snakemake's ``params``: what the notebook is given; its code with the library code it imports; and the
        part of the study that decides its numbers. Neither how it looks counts nor config.py, whose values do.
        """
        return {
            "given": lambda w: json.dumps(
                {"config": paths.STUDY, "folder": "."} | {name: w[name] for name in wildcards}
            ),
            "code": code_digest(self.project / paths.NOTEBOOK.format(notebook=notebook), ignore),
            "settings": json.dumps({field: self.resolved[field] for field in ("seed", *settings)}),
        }

    def recommender(self, wildcards: Mapping[str, str]) -> str:
        """Settings of the cell's recommender, and the code of one that others wrote."""
        settings = self.resolved["models"][wildcards["model"]]
        modules = [settings["factory"].partition(":")[0]] if "factory" in settings else []
        return json.dumps([settings, *map(module_digest, modules)])

    def simulation(self, wildcards: Mapping[str, str]) -> str:
        """What decides a block beside: more training users are more blocks, and change none that is there."""
        counts = self.study.simulation(wildcards["dataset"], wildcards["model"]).model_dump()
        start = int(wildcards["block"]) * counts["users_per_block"]
        counts["training_users"] = min(counts["users_per_block"], counts["training_users"] - start)
        return json.dumps([counts, self.study.explanation.explanation_size])

    def training_users(self, wildcards: Mapping[str, str]) -> int:
        """How many of the cell's users are not tested."""
        return self.study.simulation(wildcards["dataset"], wildcards["model"]).training_users

    def blocks(self, dataset: str, model: str) -> list[str]:
        """Names of the cell's blocks."""
        return [paths.block_name(block) for block in range(self.study.simulation(dataset, model).n_blocks)]
