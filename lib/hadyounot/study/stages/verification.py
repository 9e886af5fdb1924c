"""Notebook 67: what it costs to prove an explanation before it is shown."""

import pandas as pd

from .. import paths, schemas
from ..cell import Cell
from .explain import provable, prover, targets


def verification(cell: Cell) -> pd.DataFrame:
    """Prove an explanation to the first test users for each K and budget, of the size that all explanations have; and
    with the largest budget, of as few items as can be found. One at a time, on one core.

    Returns:
        schema ``schemas.VERIFICATION``; a user has no row for a K that nothing can take the target's place for.
    """

    def make() -> tuple:
        settings, size, prove, rows = cell.study.verification, cell.study.explanation.explanation_size, prover(cell), []
        budgets = sorted(set(settings.budgets))
        asked = [*((size, budget) for budget in budgets), (None, budgets[-1])]
        for user, target in list(targets(cell).items())[: settings.users]:
            for top_k in provable(cell, user):
                for wanted, budget in asked:
                    found = prove(user, target, top_k, wanted, budget)
                    told = (len(found.items), found.rank_after, found.valid, found.retrained, found.seconds)
                    rows.append((cell.dataset, cell.model, user, target, top_k, wanted, budget, *told))
        frame = pd.DataFrame(rows, columns=list(schemas.VERIFICATION.columns))
        return (frame.astype({"size": "Int64"}),)

    return cell.kept(make, paths.VERIFICATION)[0]
