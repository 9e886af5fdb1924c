"""What a retrained model costs: ours beside Cornac, Surprise and a plain loop, on one core and the same ratings.

    python benchmarks/retrain.py            some minutes; writes benchmarks/results/*.csv
    python benchmarks/retrain.py --quick    fewer repeats; only prints
    python benchmarks/retrain.py --shipped  one number, of whichever hadyounot is on the path; used by this script

Everything is timed by the wall clock, in interleaved repeats, on the training part of MovieLens-100K: run it on a
machine that does nothing else. README.md beside this file says what the numbers mean.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import sys

import cornac
import numba
import numpy as np
import pandas as pd
import surprise
from hadyounot import Deletion, MatrixFactorization, Ratings
from hadyounot.retrain import mf_kernel, simd
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic
from timing import QUICK, REPEATS, compared, deletions, edited, machine, movielens, publish, race

SETTINGS = {"factors": 16, "epochs": 20, "learning_rate": 0.01, "regularization": 0.1, "init_scale": 0.1, "seed": 0}
MF = MatrixFactorization(**SETTINGS)


def flops(factors: int) -> int:
    """Additions and multiplications of one step on one rating in one model, as the kernel computes it.

    2f + 3 for the error, 1 + 2 for step * error and the decay, 2 * 3f and 2 * 2 for the new embeddings and biases.
    """
    return 8 * factors + 10


# Competitors


@numba.njit
def plain_loop(p, q, bu, bi, mean, users, items, values, lr, reg, epochs):
    """One model, one rating after another, as anyone would write it; float32."""
    for _ in range(epochs):
        for n in range(len(values)):
            u, i = users[n], items[n]
            error = values[n] - mean - bu[u] - bi[i]
            for k in range(p.shape[1]):
                error -= p[u, k] * q[i, k]
            bu[u] += lr * (error - reg * bu[u])
            bi[i] += lr * (error - reg * bi[i])
            for k in range(p.shape[1]):
                p_k = p[u, k]
                p[u, k] += lr * (error * q[i, k] - reg * p_k)
                q[i, k] += lr * (error * p_k - reg * q[i, k])


LANES = simd.LANES


@numba.njit(fastmath=True, nogil=True)
def auto_vectorised(users, items, means, steps, visits, starts, row_items, values, row_steps, regularization, epochs):
    """The kernel of mf_kernel.py as loops over lanes, innermost and contiguous, of a length known when compiling."""
    factors = users.shape[1] - 1
    error, keep = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for _ in range(epochs):
        for visit in range(len(visits)):
            p = users[visits[visit]]
            for row in range(starts[visit], starts[visit + 1]):
                q, step = items[row_items[row]], steps[row_steps[row]]
                for lane in range(LANES):
                    error[lane] = values[row] - means[lane] - p[factors, lane] - q[factors, lane]
                for k in range(factors):
                    for lane in range(LANES):
                        error[lane] -= p[k, lane] * q[k, lane]
                for lane in range(LANES):
                    error[lane] *= step[lane]
                    keep[lane] = np.float32(1) - step[lane] * regularization
                for k in range(factors):
                    for lane in range(LANES):
                        p_k = p[k, lane]
                        p[k, lane] = keep[lane] * p_k + error[lane] * q[k, lane]
                        q[k, lane] = keep[lane] * q[k, lane] + error[lane] * p_k
                for lane in range(LANES):
                    p[factors, lane] = keep[lane] * p[factors, lane] + error[lane]
                    q[factors, lane] = keep[lane] * q[factors, lane] + error[lane]


def with_auto_vectorised_loops(ratings: Ratings, chosen: list[Deletion]) -> np.ndarray:
    """``MF.retrain`` on that kernel."""
    shipped, mf_kernel.factor_kernel = mf_kernel.factor_kernel, lambda factors, biased: auto_vectorised
    try:
        return MF.retrain(ratings, chosen)
    finally:
        mf_kernel.factor_kernel = shipped


# Edits of the kernels in retrain/, each timed in a copy of the library
ALTERNATIVES = {
    "as shipped": [],
    "8 lanes": [("LANES = 16", "LANES = 8")],
    "32 lanes": [("LANES = 16", "LANES = 32")],
    "prefetch 1 rating ahead": [("PREFETCH = 4", "PREFETCH = 1")],
    "prefetch 2 ratings ahead": [("PREFETCH = 4", "PREFETCH = 2")],
    "prefetch 8 ratings ahead": [("PREFETCH = 4", "PREFETCH = 8")],
    "no prefetch": [("            b.call(fetch, [", "            _ = (fetch, [")],
    "error in one chain of additions": [("if k < 3:", "if k < 0:"), ("chains[k % 4]", "chains[0]")],
    "no fence: p and q held in registers": [("            b.asm(", "            (")],
}


def fma_peak() -> float:
    """GFLOP/s of this core in 12 independent chains of fused multiply-adds, in vectors as wide as the lanes."""
    vector = ir.VectorType(ir.FloatType(), simd.LANES)

    @intrinsic
    def burst(context, count, numbers):
        def generate(context, b, signature, args):
            fma = cgutils.get_or_insert_function(
                b.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{simd.LANES}f32"
            )
            place = b.bitcast(context.make_array(numbers)(context, b, args[1]).data, vector.as_pointer())
            x = b.load(place, align=4)
            entry, loop, done = b.block, b.append_basic_block("loop"), b.append_basic_block("done")
            b.branch(loop)
            b.position_at_end(loop)
            turn, chains = b.phi(ir.IntType(64)), [b.phi(vector) for _ in range(12)]
            following, later = b.add(turn, turn.type(1)), [b.call(fma, [chain, x, x]) for chain in chains]
            b.cbranch(b.icmp_signed("<", following, args[0]), loop, done)
            for phi, first, second in zip([turn, *chains], [turn.type(0), *[x] * 12], [following, *later], strict=True):
                phi.add_incoming(first, entry)
                phi.add_incoming(second, loop)
            b.position_at_end(done)
            total = later[0]
            for chain in later[1:]:
                total = b.fadd(total, chain)
            b.store(total, place, align=4)
            return context.get_dummy_value()

        return numba.types.void(count, numbers), generate

    @numba.njit
    def run(count, numbers):
        burst(count, numbers)

    turns, half = 200_000, np.full(simd.LANES, 0.5, np.float32)
    seconds = min(race({"peak": lambda: run(turns, half.copy())}, 30)["peak"])
    return turns * 12 * simd.LANES * 2 / seconds / 1e9


# The tables


def peers(ratings: Ratings) -> pd.DataFrame:
    """Seconds per model: ours in a batch, ours alone, and the others."""
    order, _ = ratings.rows_by_user
    users, items, values = ratings.users[order], ratings.items[order], ratings.values[order]
    triples = list(zip(users, items, values, strict=True))
    dataset = cornac.data.Dataset.build(triples, fmt="UIR")
    frame = pd.DataFrame({"user": users, "item": items, "rating": values})
    trainset = surprise.Dataset.load_from_df(frame, surprise.Reader(rating_scale=(1, 5))).build_full_trainset()
    common = {"lr": SETTINGS["learning_rate"], "reg": SETTINGS["regularization"]}
    chosen = deletions(ratings, 8 * simd.LANES)

    def cornac_fit():  # a seed makes it use one thread
        cornac.models.MF(
            k=MF.factors, max_iter=MF.epochs, learning_rate=common["lr"], lambda_reg=common["reg"], seed=0
        ).fit(dataset)

    def surprise_fit():
        surprise.SVD(
            n_factors=MF.factors, n_epochs=MF.epochs, lr_all=common["lr"], reg_all=common["reg"], random_state=0
        ).fit(trainset)

    def plain_fit():
        p, q = (table.copy() for table in MF.initial_embeddings(ratings))
        bu, bi = np.zeros(len(p), np.float32), np.zeros(len(q), np.float32)
        lr, reg = np.float32(common["lr"]), np.float32(common["reg"])
        plain_loop(p, q, bu, bi, values.mean(), users, items, values, lr, reg, MF.epochs)

    seconds = race({
        "hadyounot retrain": lambda: MF.retrain(ratings, chosen),
        "hadyounot fit, alone": lambda: MF.fit(ratings),
        "plain numba loop, one model": plain_fit,
        "Cornac MF fit": cornac_fit,
        "Surprise SVD fit": surprise_fit,
    })  # fmt: skip
    seconds["hadyounot retrain"] = [each / len(chosen) for each in seconds["hadyounot retrain"]]
    ours = np.median(seconds["hadyounot retrain"])
    return pd.DataFrame([
        {
            "what": what,
            "models_per_call": len(chosen) if what == "hadyounot retrain" else 1,
            "ms_per_model": 1e3 * np.median(each),
            "ms_min": 1e3 * min(each),
            "ms_max": 1e3 * max(each),
            "ns_per_rating_and_model": 1e9 * np.median(each) / len(ratings) / MF.epochs,
            "times_ours": np.median(each) / ours,
        }
        for what, each in seconds.items()
    ])  # fmt: skip


def scaling(ratings: Ratings, peak: float) -> pd.DataFrame:
    """The cost of ``retrain`` when one thing is varied; all of it is timed: set-up of a batch, training, scores."""
    order = np.random.default_rng(1).permutation(len(ratings))
    whole = 4 * simd.LANES
    points = [("ratings", n, ratings.select(np.sort(order[:n])), MF, whole, 1) for n in (8_750, 17_500, 35_000)]
    points += [("ratings", len(ratings), ratings, MF, whole, 1)]
    for factors in (4, 8, 16, 32, 64):
        points += [("factors", factors, ratings, MF.model_copy(update={"factors": factors}), whole, 1)]
    points += [("lanes used", used, ratings, MF, used, 1) for used in (1, 2, 4, 8, 16) if used <= simd.LANES]
    points += [("threads", n, ratings, MF, whole, n) for n in (1, 2) if n <= numba.config.NUMBA_NUM_THREADS]

    def timed(subset, mf, models, threads):
        chosen = deletions(subset, models)

        def run():
            numba.set_num_threads(threads)
            mf.retrain(subset, chosen)

        return run

    runs = {(varied, value): timed(*how) for varied, value, *how in points}
    rows = []
    for (varied, value, subset, mf, models, threads), each in zip(
        points, race(runs, max(3, REPEATS // 3)).values(), strict=True
    ):
        ns = 1e9 * np.median(each) / models / len(subset) / mf.epochs
        gflops = flops(mf.factors) / ns
        rows.append({
            "varied": varied,
            "value": value,
            "ms_per_model": 1e3 * np.median(each) / models,
            "ns_per_rating_and_model": ns,
            "ns_per_rating_factor_and_model": ns / mf.factors,
            "gflops": gflops,
            "share_of_fma_peak": gflops / peak / threads,
        })  # fmt: skip
    numba.set_num_threads(1)
    return pd.DataFrame(rows)


def alternatives(ratings: Ratings) -> pd.DataFrame:
    """What was tried for the kernel and lost."""
    chosen = deletions(ratings, 2 * simd.LANES)
    np.testing.assert_allclose(with_auto_vectorised_loops(ratings, chosen), MF.retrain(ratings, chosen), atol=1e-3)
    per_model = 1e9 / len(chosen) / len(ratings) / MF.epochs
    loops = race({"loops": lambda: with_auto_vectorised_loops(ratings, chosen)}, max(2, REPEATS // 5))["loops"]
    ns = edited(__file__, ALTERNATIVES, 1 if QUICK else 5)
    ns["loops over lanes, auto-vectorised"] = [per_model * each for each in loops]
    return compared("kernel", ns, "ns_per_rating_and_model")


def main():
    numba.set_num_threads(1)
    ratings = movielens()
    if "--shipped" in sys.argv:
        chosen = deletions(ratings, 64)  # full batches of 8, 16 and 32 lanes
        seconds = np.median(race({"": lambda: MF.retrain(ratings, chosen)}, 3 if QUICK else 5)[""])
        print(1e9 * seconds / len(chosen) / len(ratings) / MF.epochs)
        return
    load = os.getloadavg()[0]
    peak = fma_peak()
    publish({
        "machine": machine(
            load, ("cornac", "scikit-surprise"), fma_peak_gflops=round(peak, 1), lanes=simd.LANES,
            prefetch=mf_kernel.PREFETCH, ratings=len(ratings),
        ),
        "peers": peers(ratings),
        "scaling": scaling(ratings, peak),
        "alternatives": alternatives(ratings),
    })  # fmt: skip


if __name__ == "__main__":
    main()
