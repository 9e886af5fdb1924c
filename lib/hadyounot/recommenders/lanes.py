"""Kernels that train many copies of a model in one pass over the ratings.

A *lane* is one copy of the model. Lanes lie innermost and contiguous in memory, one SIMD vector wide, so every
instruction of the training step works on all lanes at once and a rating is read once for all of them. A deletion
is a lane whose step on the deleted rating is zero, and no lane can see what another one does. Auto-vectorisers do
not find these loops (measured: ``benchmarks/``), so they are written in explicit LLVM vectors; LLVM splits them on
machines with narrower registers. No C compiler is needed.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, Self

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, overload, register_model

from ..ratings import Deletion, Ratings
from .base import checked

LANES = 16
PREFETCH = 4  # ratings ahead: the next items' rows are on their way while this one is computed

_FLOAT, _INT, _WIDE = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)
_BYTES = LANES * 4


def lane_zeros(*shape: int) -> np.ndarray:
    """float32 zeros (*shape, LANES) whose vectors are aligned as the kernels expect."""
    size = int(np.prod(shape)) * LANES
    raw = np.zeros(size + LANES, dtype=np.float32)
    start = (-raw.ctypes.data % _BYTES) // 4
    return raw[start : start + size].reshape(*shape, LANES)


# ---- many deletions, a lane each


class Trainer(Protocol):
    """Ratings laid out for a kernel, shared by all threads."""

    def workspace(self) -> Any:
        """What one thread trains in: as many models as there are lanes."""

    def prepare(self, work: Any, deleted: Sequence[np.ndarray]) -> None:
        """Initial weights in every lane; lane k skips rows ``deleted[k]`` of the ratings, lanes beyond skip none."""

    def train(self, work: Any) -> None:
        """All epochs."""

    def score(self, work: Any, users: np.ndarray, scores: np.ndarray) -> None:
        """Scores of all items, into ``scores`` (at most LANES, n_items), for one user of each lane."""


def retrain(
    trainer: Trainer, ratings: Ratings, deletions: Sequence[Deletion], watched: Sequence[int] | None
) -> np.ndarray:
    """See ``Recommender.retrain``; on ``numba.get_num_threads()`` threads.

    Raises:
        ValueError: as ``Recommender.retrain``.
    """
    rows, users = checked(ratings, deletions, watched)
    scores = np.empty((len(deletions), ratings.n_items), dtype=np.float32)
    batches = [slice(start, start + LANES) for start in range(0, len(deletions), LANES)]
    threads = max(1, min(numba.get_num_threads(), len(batches)))

    def run(share: list[slice]) -> None:
        work = trainer.workspace()
        for batch in share:
            trainer.prepare(work, rows[batch])
            trainer.train(work)
            trainer.score(work, users[batch], scores[batch])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, [batches[k::threads] for k in range(threads)]))
    return scores


def skip(row_steps: np.ndarray, deleted: Sequence[np.ndarray], step: float) -> np.ndarray:
    """The step of each lane on each rating.

    Args:
        row_steps: int32 (n,), overwritten: which row of what is returned holds the steps on each rating.
        deleted: for each lane, positions of the ratings that it skips.
        step: of a lane that does not skip.

    Returns:
        float32 (m, LANES): row 0 where no lane skips, then a row for each rating that one does; 0 where it does.
    """
    rows = np.unique(np.concatenate([np.asarray(positions, dtype=np.int64) for positions in deleted]))
    steps = lane_zeros(len(rows) + 1)
    steps[:] = step
    for lane, positions in enumerate(deleted):
        steps[1 + np.searchsorted(rows, positions), lane] = 0
    row_steps[:] = 0
    row_steps[rows] = np.arange(1, len(rows) + 1)
    return steps


# ---- matrix factorisation: a user's parameters stay in registers, so the loop over factors is unrolled by hand


@intrinsic(prefer_literal=True)
def _visit_user(context, factors, users, items, means, steps, row_items, values, row_steps, user, begin, end, decay):
    """SGD over one user's ratings, whose parameters stay in registers from the first to the last of them."""
    count = factors.literal_value + 1  # the bias is the last row
    signature = types.void(
        factors, users, items, means, steps, row_items, values, row_steps, user, begin, end, types.float32
    )

    def generate(context, builder, signature, args):
        b = builder
        fma = cgutils.get_or_insert_function(
            b.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
        )
        fetch = cgutils.get_or_insert_function(
            b.module,
            ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, _INT, _INT, _INT]),
            "llvm.prefetch.p0",
        )
        user_table, item_table, mean_row, step_table, row_items, values, row_steps = (
            context.make_array(signature.args[k])(context, b, args[k]).data for k in range(1, 8)
        )
        user, begin, end, decay = args[8:]

        def wide(number):
            return ir.Constant(_WIDE, number)

        def at(table, start, row=0):
            return b.bitcast(b.gep(table, [b.add(start, wide(row * LANES))]), _VECTOR.as_pointer())

        def load(*place):
            return b.load(at(*place), align=_BYTES)

        def store(vector, *place):
            b.store(vector, at(*place), align=_BYTES)

        def splat(scalar):
            empty = ir.Constant(_VECTOR, ir.Undefined)
            first = b.insert_element(empty, scalar, ir.Constant(_INT, 0))
            return b.shuffle_vector(first, empty, ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES))

        def multiply_add(x, y, z):
            return b.call(fma, [x, y, z])

        def row_start(index, width=count):
            return b.mul(index, wide(width * LANES))

        def item_at(row):
            return row_start(b.sext(b.load(b.gep(row_items, [row])), _WIDE))

        user_start = row_start(user)
        before = [load(user_table, user_start, k) for k in range(count)]
        mean, shrink, one = load(mean_row, wide(0)), splat(b.fneg(decay)), ir.Constant(_VECTOR, [1.0] * LANES)
        entry, loop, done = b.block, b.append_basic_block("rating"), b.append_basic_block("done")
        b.cbranch(b.icmp_signed("<", begin, end), loop, done)

        b.position_at_end(loop)
        row = b.phi(_WIDE)
        p = [b.phi(_VECTOR) for _ in range(count)]
        ahead = item_at(b.add(row, wide(PREFETCH)))
        for offset in range(0, count * _BYTES, 64):
            place = b.bitcast(b.gep(item_table, [b.add(ahead, wide(offset // 4))]), cgutils.voidptr_t)
            b.call(fetch, [place, *(ir.Constant(_INT, flag) for flag in (1, 3, 1))])  # to write, keep, data
        item_start = item_at(row)
        q = [load(item_table, item_start, k) for k in range(count)]
        step = load(step_table, row_start(b.sext(b.load(b.gep(row_steps, [row])), _WIDE), 1))
        # r - mean - b_u - b_i - p.q in four chains, so that one addition need not wait for the last
        rest = b.fsub(splat(b.load(b.gep(values, [row]))), mean)
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
        after.append(b.fadd(pull, b.fmul(keep, p[-1])))
        store(b.fadd(pull, b.fmul(keep, q[-1])), item_table, item_start, count - 1)
        following = b.add(row, wide(1))
        b.cbranch(b.icmp_signed("<", following, end), loop, done)
        for phi, first, later in ((row, begin, following), *zip(p, before, after, strict=True)):
            phi.add_incoming(first, entry)
            phi.add_incoming(later, loop)

        b.position_at_end(done)
        final = [b.phi(_VECTOR) for _ in range(count)]
        for phi, first, later in zip(final, before, after, strict=True):
            phi.add_incoming(first, entry)
            phi.add_incoming(later, loop)
        for k, vector in enumerate(final):
            store(vector, user_table, user_start, k)
        return context.get_dummy_value()

    return signature, generate


@functools.cache
def factor_kernel(factors: int) -> Callable[..., None]:
    """SGD on biased matrix factorisation with ``factors`` factors, all lanes at once, in place.

    The number of factors is a constant of the compiled code. (As an argument made literal by ``numba.literally``
    it would cost a type inference, milliseconds under a global lock, at every call.) The kernel takes

        users: float32 (n_users, f + 1, LANES), embeddings and, last, the bias; from ``lane_zeros``.
        items: float32 (n_items, f + 1, LANES), likewise.
        means: float32 (LANES,), each lane's global mean.
        steps: float32 (m, LANES), learning rates; row 0 for ratings that no lane skips, 0 where a lane skips.
        starts: int64 (n_users + 1,), where each user's ratings begin.
        row_items: int32 (n + PREFETCH,), item of each rating, grouped by user.
        values: float32 (n,), the ratings.
        row_steps: int32 (n,), which row of ``steps`` each rating uses.
        regularization: float32, L2.
        epochs: int, passes over the ratings.
    """

    @numba.njit(nogil=True, cache=True)
    def train(users, items, means, steps, starts, row_items, values, row_steps, regularization, epochs):
        for _ in range(epochs):
            for user in range(len(starts) - 1):
                _visit_user(
                    factors, users, items, means, steps, row_items, values, row_steps,
                    user, starts[user], starts[user + 1], regularization,
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


# ---- a number per lane as a numba type: a kernel is plain Python, and each of its operations one SIMD instruction


class _VectorType(types.Type):
    def __init__(self):
        super().__init__(name=f"float32x{LANES}")


_vector = _VectorType()


@register_model(_VectorType)
class _VectorModel(PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, _VECTOR)


def _at(context, builder, signature, args):
    """Where vector number ``args[1]`` of the array ``args[0]`` is, however many dimensions the array has."""
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [builder.mul(args[1], ir.Constant(_WIDE, LANES))]), _VECTOR.as_pointer())


@intrinsic
def _load(context, table, place):
    def generate(context, builder, signature, args):
        return builder.load(_at(context, builder, signature, args), align=_BYTES)

    return _vector(table, types.int64), generate


@intrinsic
def _store(context, table, place, value):
    def generate(context, builder, signature, args):
        builder.store(args[2], _at(context, builder, signature, args), align=_BYTES)
        return context.get_dummy_value()

    return types.void(table, types.int64, _vector), generate


@intrinsic
def _splat(context, number):
    def generate(context, builder, signature, args):
        empty = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(empty, args[0], ir.Constant(_INT, 0))
        return builder.shuffle_vector(first, empty, ir.Constant(_INTS, [0] * LANES))

    return _vector(types.float32), generate


def _register(python: Callable, instruction: str) -> None:
    @intrinsic
    def operate(context, left, right):
        def generate(context, builder, signature, args):
            return getattr(builder, instruction)(*args)

        return _vector(_vector, _vector), generate

    @overload(python)
    def _(left, right):
        if isinstance(left, _VectorType) and isinstance(right, _VectorType):
            return lambda left, right: operate(left, right)


for _python, _instruction in zip(
    (operator.add, operator.sub, operator.mul, operator.truediv), ("fadd", "fsub", "fmul", "fdiv"), strict=True
):
    _register(_python, _instruction)


def _constant(number: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [number] * LANES)


def _call(builder, name, args):
    function = ir.FunctionType(_VECTOR, [_VECTOR] * len(args))
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.v{LANES}f32"), args)


def _positive(builder, value):
    return builder.fcmp_ordered(">", value, _constant(0))


@intrinsic
def _multiply_add(context, x, y, z):
    def generate(context, builder, signature, args):
        return _call(builder, "fmuladd", args)

    return _vector(_vector, _vector, _vector), generate


@intrinsic
def _square_root(context, x):
    def generate(context, builder, signature, args):
        return _call(builder, "sqrt", args)

    return _vector(_vector), generate


@intrinsic
def _where_positive(context, x, y):
    """y where x > 0, else 0."""

    def generate(context, builder, signature, args):
        return builder.select(_positive(builder, args[0]), args[1], _constant(0))

    return _vector(_vector, _vector), generate


@intrinsic
def _any_positive(context, x):
    def generate(context, builder, signature, args):
        bits = ir.IntType(LANES)
        return builder.icmp_unsigned("!=", builder.bitcast(_positive(builder, args[0]), bits), ir.Constant(bits, 0))

    return types.boolean(_vector), generate


@intrinsic
def _sigmoid(context, x):
    """1 / (1 + exp(-x)), with expf of the Cephes library: exp(n log 2 + r) = 2^n exp(r), exp(r) by a polynomial."""

    def generate(context, builder, signature, args):
        b = builder
        x = b.fneg(args[0])
        for outside, bound in ((">", _constant(88.0)), ("<", _constant(-87.0))):  # a NaN stays one
            x = b.select(b.fcmp_ordered(outside, x, bound), bound, x)
        n = _call(b, "rint", [b.fmul(x, _constant(1.44269504088896341))])
        n = b.select(b.fcmp_ordered("ord", x, x), n, _constant(0))
        r = _call(b, "fmuladd", [n, _constant(-0.693359375), x])
        r = _call(b, "fmuladd", [n, _constant(2.12194440e-4), r])
        series = _constant(1.9875691500e-4)
        for term in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
            series = _call(b, "fmuladd", [series, r, _constant(term)])
        exp_r = b.fadd(_call(b, "fmuladd", [series, b.fmul(r, r), r]), _constant(1.0))
        exponent = b.add(b.fptosi(n, _INTS), ir.Constant(_INTS, [127] * LANES))
        exp = b.fmul(exp_r, b.bitcast(b.shl(exponent, ir.Constant(_INTS, [23] * LANES)), _VECTOR))
        return b.fdiv(_constant(1.0), b.fadd(_constant(1.0), exp))

    return _vector(_vector), generate


# ---- neural collaborative filtering


FIRST_DECAY, SECOND_DECAY = 0.9, 0.999  # of Adam's moments


class Network(NamedTuple):
    """The architecture of NeuMF, and where its parameters lie.

    ``embeddings`` has a row for each user and then for each item: GMF factors, then the MLP's. ``weights`` holds for
    each dense layer its matrix (out, in) and its biases, then the output layer's weights (GMF, then MLP) and its bias.
    Both, with their Adam moments, are from ``lane_zeros``. A place is counted in vectors.
    """

    gmf_factors: int
    half: int  # of the MLP's input: a user's, and an item's
    width: int  # of a row of ``embeddings``
    inputs: tuple[int, ...]  # of each dense layer
    outputs: tuple[int, ...]
    matrices: tuple[int, ...]  # where each dense layer's matrix begins in ``weights``
    units: tuple[int, ...]  # where what each layer of the MLP holds begins, its input first
    out: int  # where the output layer begins in ``weights``
    n_weights: int
    n_units: int

    @classmethod
    def of(cls, gmf_factors: int, mlp_layers: Sequence[int]) -> Self:
        """The network of these sizes."""
        inputs, outputs = tuple(mlp_layers[:-1]), tuple(mlp_layers[1:])
        sizes = [(fan_in + 1) * fan_out for fan_in, fan_out in zip(inputs, outputs, strict=True)]
        half, out = mlp_layers[0] // 2, sum(sizes)
        return cls(
            gmf_factors=gmf_factors,
            half=half,
            width=gmf_factors + half,
            inputs=inputs,
            outputs=outputs,
            matrices=tuple(sum(sizes[:layer]) for layer in range(len(sizes))),
            units=tuple(sum(mlp_layers[:layer]) for layer in range(len(mlp_layers))),
            out=out,
            n_weights=out + gmf_factors + mlp_layers[-1] + 1,
            n_units=sum(mlp_layers),
        )


@numba.njit(nogil=True, cache=True)
def _forward(net, of_users, user, of_items, item, weights, values):
    """The logit; ``values`` takes what each unit of the MLP holds."""
    for k in range(net.half):
        _store(values, k, _load(of_users, user + net.gmf_factors + k))
        _store(values, net.half + k, _load(of_items, item + net.gmf_factors + k))
    for layer in range(len(net.inputs)):
        x, y, fan_in, fan_out = net.units[layer], net.units[layer + 1], net.inputs[layer], net.outputs[layer]
        matrix = net.matrices[layer]
        biases = matrix + fan_in * fan_out
        j = 0
        while j + 4 <= fan_out:  # four at a time: an input is read once for all
            row_0 = matrix + j * fan_in
            row_1, row_2, row_3 = row_0 + fan_in, row_0 + 2 * fan_in, row_0 + 3 * fan_in
            sum_0, sum_1 = _load(weights, biases + j), _load(weights, biases + j + 1)
            sum_2, sum_3 = _load(weights, biases + j + 2), _load(weights, biases + j + 3)
            for k in range(fan_in):
                value = _load(values, x + k)
                sum_0 = _multiply_add(_load(weights, row_0 + k), value, sum_0)
                sum_1 = _multiply_add(_load(weights, row_1 + k), value, sum_1)
                sum_2 = _multiply_add(_load(weights, row_2 + k), value, sum_2)
                sum_3 = _multiply_add(_load(weights, row_3 + k), value, sum_3)
            _store(values, y + j, _where_positive(sum_0, sum_0))
            _store(values, y + j + 1, _where_positive(sum_1, sum_1))
            _store(values, y + j + 2, _where_positive(sum_2, sum_2))
            _store(values, y + j + 3, _where_positive(sum_3, sum_3))
            j += 4
        while j < fan_out:
            total = _load(weights, biases + j)
            for k in range(fan_in):
                total = _multiply_add(_load(weights, matrix + j * fan_in + k), _load(values, x + k), total)
            _store(values, y + j, _where_positive(total, total))
            j += 1
    logit = _load(weights, net.n_weights - 1)
    for k in range(net.gmf_factors):
        product = _load(of_users, user + k) * _load(of_items, item + k)
        logit = _multiply_add(product, _load(weights, net.out + k), logit)
    for j in range(net.outputs[-1]):
        logit = _multiply_add(_load(values, net.units[-1] + j), _load(weights, net.out + net.gmf_factors + j), logit)
    return logit


@numba.njit(nogil=True, cache=True)
def _add(table, place, value):
    _store(table, place, _load(table, place) + value)


@numba.njit(nogil=True, cache=True)
def _backward(
    net, embeddings, weights, gradients, weight_gradients, values, slopes, user, item, user_slot, item_slot, slope
):
    """Adds the gradients of one rating, whose loss has this ``slope`` in the logit."""
    _add(weight_gradients, net.n_weights - 1, slope)
    for k in range(net.gmf_factors):
        p, q, weight = _load(embeddings, user + k), _load(embeddings, item + k), _load(weights, net.out + k)
        _add(weight_gradients, net.out + k, slope * (p * q))
        _add(gradients, user_slot + k, slope * weight * q)
        _add(gradients, item_slot + k, slope * weight * p)
    for j in range(net.outputs[-1]):
        _add(weight_gradients, net.out + net.gmf_factors + j, slope * _load(values, net.units[-1] + j))
        _store(slopes, net.units[-1] + j, slope * _load(weights, net.out + net.gmf_factors + j))
    for back in range(len(net.inputs)):
        layer = len(net.inputs) - 1 - back
        x, y, fan_in, fan_out = net.units[layer], net.units[layer + 1], net.inputs[layer], net.outputs[layer]
        matrix = net.matrices[layer]
        for k in range(fan_in):
            _store(slopes, x + k, _splat(np.float32(0)))
        for j in range(fan_out):
            unit = _load(values, y + j)
            if _any_positive(unit):  # nothing flows back through a unit that is dead in all lanes
                own = _where_positive(unit, _load(slopes, y + j))
                _add(weight_gradients, matrix + fan_in * fan_out + j, own)
                row = matrix + j * fan_in
                for k in range(fan_in):
                    gradient = _load(weight_gradients, row + k)
                    _store(weight_gradients, row + k, _multiply_add(own, _load(values, x + k), gradient))
                    below = _load(slopes, x + k)
                    _store(slopes, x + k, _multiply_add(own, _load(weights, row + k), below))
    for k in range(net.half):
        _add(gradients, user_slot + net.gmf_factors + k, _load(slopes, k))
        _add(gradients, item_slot + net.gmf_factors + k, _load(slopes, net.half + k))


@numba.njit(nogil=True, cache=True)
def _move(table, first, second, place, count, distance, first_decay, second_decay):
    """Against m / √v, over all steps up to the next gradient; the moments are left as they are before it."""
    distance, first_decay = _splat(distance), _splat(first_decay)
    second_decay, never = _splat(second_decay), _splat(np.float32(1e-18))  # 0 / never is 0: nothing was learnt
    for k in range(place, place + count):
        m, v = _load(first, k), _load(second, k)
        _store(table, k, _load(table, k) - distance * m / (_square_root(v) + never))
        _store(first, k, m * first_decay)
        _store(second, k, v * second_decay)


@numba.njit(nogil=True, cache=True)
def _learn(first, second, place, count, gradients, slot):
    """Moments take up the gradient, which is cleared."""
    keep_first, take_first = _splat(np.float32(FIRST_DECAY)), _splat(np.float32(1 - FIRST_DECAY))
    keep_second, take_second = _splat(np.float32(SECOND_DECAY)), _splat(np.float32(1 - SECOND_DECAY))
    for k in range(count):
        gradient = _load(gradients, slot + k)
        _store(gradients, slot + k, _splat(np.float32(0)))
        _store(first, place + k, _multiply_add(keep_first, _load(first, place + k), take_first * gradient))
        squared = take_second * gradient * gradient
        _store(second, place + k, _multiply_add(keep_second, _load(second, place + k), squared))


@numba.njit(nogil=True, cache=True)
def train_neural(net, work, users, items, targets, steps, epoch):
    """One epoch of Adam on minibatches, all lanes at once, in place.

    Adam is the dense one: momentum moves every row at every step. But a row that no rating of a minibatch touches
    coasts: its moments decay by constants, so with ε = 0 its next k moves are m / √v times a number that depends on the
    step alone. Hence each row is written once for each minibatch that touches it, with the sum of these numbers up
    to the next that does.

    Args:
        net: the architecture.
        work: see ``ncf._Workspace``.
        users, items: int32 (n,), row of ``embeddings`` of each rating's user and item.
        targets: float32 (n,), ratings scaled to [0, 1].
        steps: float32 (m, LANES), 1, or 0 where a lane skips; see ``skip``.
        epoch: see ``ncf._Epoch``.
    """
    for row in range(len(epoch.coast_distances)):
        _move(
            work.embeddings, work.first, work.second, row * net.width, net.width,
            epoch.coast_distances[row], epoch.coast_first_decays[row], epoch.coast_second_decays[row],
        )  # fmt: skip
    one = _splat(np.float32(1))
    for batch in range(len(epoch.starts) - 1):
        begin, end = epoch.starts[batch], epoch.starts[batch + 1]
        scale = _splat(np.float32(2 / (end - begin)))
        for place in range(begin, end):
            row = epoch.order[place]
            user, item = np.int64(users[row]) * net.width, np.int64(items[row]) * net.width
            share = _sigmoid(_forward(net, work.embeddings, user, work.embeddings, item, work.weights, work.values))
            error = share - _splat(targets[row])
            slope = scale * _load(steps, np.int64(work.row_steps[row])) * error * share * (one - share)
            _backward(
                net, work.embeddings, work.weights, work.gradients, work.weight_gradients, work.values, work.slopes,
                user, item, np.int64(epoch.user_slots[place]) * net.width,
                np.int64(epoch.item_slots[place]) * net.width, slope,
            )  # fmt: skip
        for touch in range(epoch.touch_starts[batch], epoch.touch_starts[batch + 1]):
            place, slot = np.int64(epoch.touched[touch]) * net.width, (touch - epoch.touch_starts[batch]) * net.width
            _learn(work.first, work.second, place, net.width, work.gradients, slot)
            _move(
                work.embeddings, work.first, work.second, place, net.width,
                epoch.distances[touch], epoch.first_decays[touch], epoch.second_decays[touch],
            )  # fmt: skip
        _learn(work.weight_first, work.weight_second, 0, net.n_weights, work.weight_gradients, 0)
        _move(
            work.weights, work.weight_first, work.weight_second, 0, net.n_weights,
            epoch.weight_distances[batch], np.float32(1), np.float32(1),
        )  # fmt: skip


@numba.njit(nogil=True, cache=True)
def score_neural(net, of_users, of_items, weights, values, share, scores):
    """Predicted ratings of all items on [0, 1], into ``scores`` (at most LANES, n_items).

    Args:
        net: the architecture.
        of_users: float32 (net.width, LANES), each lane's user.
        of_items: float32 (n_items, net.width, LANES).
        weights: float32 (net.n_weights, LANES).
        values, share: float32 (n_units, LANES) and (1, LANES), room to work in.
        scores: overwritten.
    """
    for item in range(scores.shape[1]):
        _store(share, 0, _sigmoid(_forward(net, of_users, 0, of_items, item * net.width, weights, values)))
        for lane in range(scores.shape[0]):
            scores[lane, item] = share[0, lane]
