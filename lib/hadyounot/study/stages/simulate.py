"""Notebook 30: step 1, Algorithm 1, for one block of training users."""

from ...method import outcomes
from .. import paths
from ..cell import Cell


def simulate(cell: Cell, block: str) -> outcomes.Outcomes:
    """What became of the recommendations of the block's users after each deletion, really retrained."""

    def make() -> tuple:
        study, counts = cell.study, cell.study.counterfactual
        first = int(block) * counts.users_per_block
        users = cell.training_users[first : first + counts.users_per_block]
        recorded = outcomes.simulate(
            cell.recommender(),
            cell.train,
            users,
            study.explanation.explanation_size,
            counts.deletions_per_user,
            counts.n_targets,
            study.seed,
        )
        return (recorded.columns(),)

    return outcomes.Outcomes.of(*cell.kept(make, paths.OUTCOMES, block=block))


def simulated(cell: Cell) -> outcomes.Outcomes:
    """The outcomes of all blocks."""
    blocks = [
        outcomes.Outcomes.of(cell.read(paths.OUTCOMES, block=block)) for block in cell.study.counterfactual.blocks
    ]
    return outcomes.Outcomes.concatenate(blocks)
