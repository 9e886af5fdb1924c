"""What each notebook does: made and written as the workflow goes, read where a finished run is opened."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..cell import Cell


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        does: module of this package and name of its function: of a cell, and of the name of a part where there are.
        needs: notebooks that it reads of, but for what they need themselves.
        parts: "block" or "family" where each has a notebook run of its own.
        analysed: whether it is run on those cells alone that are analysed.
    """

    does: str
    needs: tuple[str, ...] = ()
    parts: str = ""
    analysed: bool = False

    def of(self, cell: "Cell") -> list[str]:
        """Its parts for a cell; one without a name where it is whole."""
        if self.parts == "block":
            return cell.study.counterfactual.blocks
        return cell.study.ablations.families if self.parts == "family" else [""]

    def run(self, cell: "Cell") -> None:
        """All of it, for a cell."""
        module, _, name = self.does.partition(":")
        function = getattr(importlib.import_module(f".{module}", __name__), name)
        for part in self.of(cell):
            function(cell, *filter(None, [part]))


STAGES = {
    "10_dataset": Stage("dataset:dataset"),
    "20_recommender": Stage("recommender:recommender", ("10_dataset",)),
    "30_simulate": Stage("simulate:simulate", ("10_dataset",), "block"),
    "40_surrogates": Stage("learn:surrogates", ("20_recommender", "30_simulate")),
    "50_explain": Stage("explain:explanations", ("40_surrogates",)),
    "60_evaluate": Stage("verify:evaluation", ("50_explain",)),
    "65_naive": Stage("naive:naive", ("10_dataset",), analysed=True),
    "67_verification": Stage("verification:verification", ("60_evaluate",), analysed=True),
    "75_correlation": Stage("correlate:correlate", ("40_surrogates",), analysed=True),
    "70_ablations": Stage("ablate:ablate", ("60_evaluate", "75_correlation"), "family", analysed=True),
    "80_tsne": Stage("project:project", ("20_recommender", "30_simulate"), analysed=True),
    "85_survey": Stage("survey:survey", ("60_evaluate",)),
}
"""By notebook, in an order in which they can run."""
