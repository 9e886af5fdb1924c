"""Stochastic gradient descent on matrix factorisation, all lanes of ``simd`` at once.

A user's parameters stay in registers, so the loop over factors is unrolled by hand.
"""

# compiled with simd.py 34c9337453999541: whether the machine code that numba kept is old, it sees by this file alone

import functools
from collections.abc import Callable

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import BYTES, INT, LANES, VECTOR, WIDE, call, constant, spread

PREFETCH = 4  # ratings ahead: the next items' rows are on their way while this one is computed


@intrinsic(prefer_literal=True)
def _visit_user(
    context, factors, biased, users, items, means, steps, row_items, values, row_steps, user, begin, end, decay
):
    """SGD over one user's ratings, whose parameters stay in registers from the first to the last of them."""
    count = factors.literal_value + 1  # the bias is the last row
    signature = types.void(
        factors, biased, users, items, means, steps, row_items, values, row_steps, user, begin, end, types.float32
    )

    def generate(context, builder, signature, args):
        b = builder
        fetch = cgutils.get_or_insert_function(
            b.module,
            ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, INT, INT, INT]),
            "llvm.prefetch.p0",
        )
        user_table, item_table, mean_row, step_table, row_items, values, row_steps = (
            context.make_array(signature.args[k])(context, b, args[k]).data for k in range(2, 9)
        )
        user, begin, end, decay = args[9:]

        def wide(number):
            return ir.Constant(WIDE, number)

        def at(table, start, row=0):
            return b.bitcast(b.gep(table, [b.add(start, wide(row * LANES))]), VECTOR.as_pointer())

        def load(*place):
            return b.load(at(*place), align=BYTES)

        def store(vector, *place):
            b.store(vector, at(*place), align=BYTES)

        def multiply_add(x, y, z):
            return call(b, "fmuladd", [x, y, z])

        def row_start(index, width=count):
            return b.mul(index, wide(width * LANES))

        def item_at(row):
            return row_start(b.sext(b.load(b.gep(row_items, [row])), WIDE))

        user_start = row_start(user)
        before = [load(user_table, user_start, k) for k in range(count)]
        mean, shrink, one = load(mean_row, wide(0)), spread(b, b.fneg(decay)), constant(1.0)
        entry, loop, done = b.block, b.append_basic_block("rating"), b.append_basic_block("done")
        b.cbranch(b.icmp_signed("<", begin, end), loop, done)

        b.position_at_end(loop)
        row = b.phi(WIDE)
        p = [b.phi(VECTOR) for _ in range(count)]
        ahead = item_at(b.add(row, wide(PREFETCH)))
        for offset in range(0, count * BYTES, 64):
            place = b.bitcast(b.gep(item_table, [b.add(ahead, wide(offset // 4))]), cgutils.voidptr_t)
            b.call(fetch, [place, *(ir.Constant(INT, flag) for flag in (1, 3, 1))])  # to write, keep, data
        item_start = item_at(row)
        q = [load(item_table, item_start, k) for k in range(count)]
        step = load(step_table, row_start(b.sext(b.load(b.gep(row_steps, [row])), WIDE), 1))
        # r - mean - b_u - b_i - p.q in four chains, so that one addition need not wait for the last
        rest = b.fsub(spread(b, b.load(b.gep(values, [row]))), mean)
        chains = [b.fsub(b.fsub(rest, p[-1]), q[-1])]
        for k in range(count - 1):
            minus_p = b.fneg(p[k])
            if k < 3:
                chains.append(b.fmul(minus_p, q[k]))
            else:
                chains[k % 4] = multiply_add(minus_p, q[k], chains[k % 4])
        while len(chains) > 1:
            chains = [
                b.fadd(*pair) if len(pair) == 2 else pair[0]
                for pair in (chains[k : k + 2] for k in range(0, len(chains), 2))
            ]
        pull = b.fmul(step, chains[0])  # step * error
        keep = multiply_add(step, shrink, one)  # 1 - step * regularization
        after = []
        for k in range(count - 1):
            # p and q together overflow the registers: read q again (a compiler fence) rather than spill p
            b.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], True)
            q[k] = load(item_table, item_start, k)
            after.append(multiply_add(pull, q[k], b.fmul(keep, p[k])))
            store(multiply_add(pull, p[k], b.fmul(keep, q[k])), item_table, item_start, k)
        if biased.literal_value:
            after.append(b.fadd(pull, b.fmul(keep, p[-1])))
            store(b.fadd(pull, b.fmul(keep, q[-1])), item_table, item_start, count - 1)
        else:
            after.append(p[-1])  # stays 0
        following = b.add(row, wide(1))
        b.cbranch(b.icmp_signed("<", following, end), loop, done)
        for phi, first, later in ((row, begin, following), *zip(p, before, after, strict=True)):
            phi.add_incoming(first, entry)
            phi.add_incoming(later, loop)

        b.position_at_end(done)
        final = [b.phi(VECTOR) for _ in range(count)]
        for phi, first, later in zip(final, before, after, strict=True):
            phi.add_incoming(first, entry)
            phi.add_incoming(later, loop)
        for k, vector in enumerate(final):
            store(vector, user_table, user_start, k)
        return context.get_dummy_value()

    return signature, generate


@functools.cache
def factor_kernel(factors: int, biased: bool) -> Callable[..., None]:
    """SGD on matrix factorisation with ``factors`` factors, all lanes at once, in place.

    Without ``biased`` the biases stay as they are, 0. Both arguments are constants of the compiled code. (Made literal
    by ``numba.literally`` they would cost a type inference, milliseconds under a global lock, at every call.) The
    kernel takes

        users: float32 (n_users, f + 1, LANES), embeddings and, last, the bias; from ``lane_zeros``.
        items: float32 (n_items, f + 1, LANES), likewise.
        means: float32 (LANES,), each lane's global mean.
        steps: float32 (m, LANES), learning rates; row 0 for ratings that no lane skips, 0 where a lane skips.
        visits: int64 (v,), user of each run of ratings, in the order of training.
        starts: int64 (v + 1,), where each run begins.
        row_items: int32 (n + PREFETCH,), item of each rating, run by run.
        values: float32 (n,), the ratings.
        row_steps: int32 (n,), which row of ``steps`` each rating uses.
        regularization: float32, L2.
        epochs: int, passes over the ratings.
    """

    updates_biases = int(biased)

    @numba.njit(nogil=True, cache=True)
    def train(users, items, means, steps, visits, starts, row_items, values, row_steps, regularization, epochs):
        for _ in range(epochs):
            for visit in range(len(visits)):
                _visit_user(
                    factors, updates_biases, users, items, means, steps, row_items, values, row_steps,
                    visits[visit], starts[visit], starts[visit + 1], regularization,
                )  # fmt: skip

    return train


@numba.njit(nogil=True, cache=True)
def lane_scores(users, items, means, lane_users, scores):
    """Scores of all items, into ``scores`` (at most LANES, n_items), for one user of each lane."""
    bias = items.shape[1] - 1
    for item in range(items.shape[0]):
        for lane in range(len(lane_users)):
            user = lane_users[lane]
            score = means[lane] + users[user, bias, lane] + items[item, bias, lane]
            for k in range(bias):
                score += users[user, k, lane] * items[item, k, lane]
            scores[lane, item] = score
