"""What learning adds at the paper's counts: the product with nothing learnt beside ours, user by user.

    python benchmarks/unlearned.py            half an hour or so; writes benchmarks/results/unlearned*.csv
    python benchmarks/unlearned.py --quick    MovieLens-100K × mf alone; only prints

The run that docs/results/paper keeps is older than the method `unlearned`, and takes hours. The method needs nothing
of them: it is asked about the same recommendations of the same users, and what it names is deleted for real. README.md
beside this file says what the numbers mean.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import tempfile
from pathlib import Path

import numba
import pandas as pd
from hadyounot.compare import statistics
from hadyounot.study import paths
from hadyounot.study.cell import Cell
from hadyounot.study.config import load_study
from hadyounot.study.methods import METHOD
from hadyounot.study.stages import STAGES
from hadyounot.study.stages.explain import explain
from hadyounot.study.stages.verify import verify
from timing import HERE, QUICK, machine, publish

KEPT = HERE.parent / "docs/results/paper"
ASKED, OURS = "unlearned", "linear_reg_aware"
AGAIN = ("random", "knn", "knn_cosine")  # they need no surrogate either: what they say and what comes of it must repeat


def measured(kept: Cell, folder: Path) -> list[dict[str, object]]:
    """A row of the table for each K; ``folder`` is for what is made of the cell anew."""
    cell = Cell(kept.study, kept.dataset, kept.model, folder, makes=True)
    for stage in ("10_dataset", "20_recommender"):
        STAGES[stage].run(cell)
    explained, _ = explain(cell, [METHOD[name] for name in (ASKED, *AGAIN)], {})
    tested, _ = verify(cell, explained)
    before = kept.read(paths.EVALUATION)
    same = ["user", "target", "method", "items", "rank_before", "rank_after"]
    verdicts = [
        table[table["method"].isin(AGAIN)][same].assign(items=lambda rows: rows["items"].map(frozenset))
        for table in (before, tested)
    ]
    repeated = len(pd.merge(*verdicts))
    ranks = statistics.ranks(pd.concat([before, tested[tested["method"] == ASKED]]))
    rows = []
    for top_k in cell.study.explanation.top_k:
        asked, ours = (ranks[name].to_numpy() > top_k for name in (ASKED, OURS))
        only_asked, only_ours, p_value = statistics.discordant(asked, ours)
        rows.append(
            {
                "dataset": cell.dataset,
                "model": cell.model,
                "top_k": top_k,
                "n_users": len(ranks),
                ASKED: 100 * asked.mean(),
                "ours": 100 * ours.mean(),
                f"only_{ASKED}": only_asked,
                "only_ours": only_ours,
                "p_value": p_value,
                "verdicts": len(verdicts[0]),
                "repeated": repeated,
            }
        )
    return rows


def main():
    numba.set_num_threads(1)
    load, rows = os.getloadavg()[0], []
    for kept in Cell.all_of(load_study(KEPT / "study.yaml"), KEPT)[: 1 if QUICK else None]:
        with tempfile.TemporaryDirectory() as folder:
            rows += measured(kept, Path(folder))
        publish({"unlearned_machine": machine(load, ()), "unlearned": pd.DataFrame(rows)})


if __name__ == "__main__":
    main()
