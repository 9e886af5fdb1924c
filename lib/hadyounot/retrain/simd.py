"""Kernels that train many copies of a model in one pass over the ratings.

A *lane* is one copy of the model. Lanes lie innermost and contiguous in memory, one SIMD vector wide, so every
instruction of the training step works on all lanes at once and a rating is read once for all of them. A deletion
is a lane whose step on the deleted rating is zero, and no lane can see what another one does. Auto-vectorisers do
not find these loops (measured: ``benchmarks/``), so they are written in explicit LLVM vectors; LLVM splits them on
machines with narrower registers. No C compiler is needed.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, overload, register_model

from .base import checked
from .ratings import Deletion, Ratings
from .threads import on_threads

LANES = 16

FLOAT, INT, WIDE = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)
BYTES = LANES * 4


def lane_zeros(*shape: int) -> np.ndarray:
    """float32 zeros (*shape, LANES) whose vectors are aligned as the kernels expect."""
    size = int(np.prod(shape)) * LANES
    raw = np.zeros(size + LANES, dtype=np.float32)
    start = (-raw.ctypes.data % BYTES) // 4
    return raw[start : start + size].reshape(*shape, LANES)


# ---- many deletions, a lane each


class Trainer(Protocol):
    """Ratings laid out for a kernel, shared by all threads."""

    def workspace(self) -> Any:
        """What one thread trains in: as many models as there are lanes."""

    def prepare(self, work: Any, deleted: Sequence[np.ndarray]) -> None:
        """Initial weights in every lane; lane k skips rows ``deleted[k]`` of the ratings, lanes beyond skip none."""

    def train(self, work: Any) -> Iterator[None]:
        """All epochs, in slices of a fraction of a second: a kernel, once it runs, cannot be interrupted."""

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

    def perform(work: Any, batch: slice) -> Iterator[None]:
        trainer.prepare(work, rows[batch])
        yield from trainer.train(work)
        trainer.score(work, users[batch], scores[batch])

    on_threads(batches, trainer.workspace, perform)
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


def only(lanes: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """The step of each lane on each rating, where only some lanes learn from it.

    Args:
        lanes: uint32 (n,), a bit for each lane that learns from a rating, the lowest for lane 0.
        step: of these.

    Returns:
        float32 (m, LANES), and int32 (n,): which row of it holds the steps on each rating.
    """
    kinds, rows = np.unique(lanes, return_inverse=True)
    steps = lane_zeros(len(kinds))
    steps[:] = np.where(kinds[:, None] >> np.arange(LANES, dtype=np.uint32) & 1, np.float32(step), np.float32(0))
    return steps, rows.astype(np.int32)


# ---- a number per lane as a numba type: a kernel is plain Python, and each of its operations one SIMD instruction


class _VectorType(types.Type):
    def __init__(self):
        super().__init__(name=f"float32x{LANES}")


_vector = _VectorType()


@register_model(_VectorType)
class _VectorModel(PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, VECTOR)


def _at(context, builder, signature, args):
    """Where vector number ``args[1]`` of the array ``args[0]`` is, however many dimensions the array has."""
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [builder.mul(args[1], ir.Constant(WIDE, LANES))]), VECTOR.as_pointer())


@intrinsic
def load(context, table, place):
    """Vector number ``place`` of a table."""

    def generate(context, builder, signature, args):
        return builder.load(_at(context, builder, signature, args), align=BYTES)

    return _vector(table, types.int64), generate


@intrinsic
def store(context, table, place, value):
    """Write it."""

    def generate(context, builder, signature, args):
        builder.store(args[2], _at(context, builder, signature, args), align=BYTES)
        return context.get_dummy_value()

    return types.void(table, types.int64, _vector), generate


def spread(builder, number):
    """The vector of one number in every lane."""
    empty = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(empty, number, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, empty, ir.Constant(INTS, [0] * LANES))


@intrinsic
def splat(context, number):
    """The vector of one number in every lane."""

    def generate(context, builder, signature, args):
        return spread(builder, args[0])

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


def constant(number: float) -> ir.Constant:
    """As ``spread``, of a number that is known when the code is compiled."""
    return ir.Constant(VECTOR, [number] * LANES)


def call(builder, name, args):
    """LLVM's intrinsic ``name`` for vectors."""
    function = ir.FunctionType(VECTOR, [VECTOR] * len(args))
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.v{LANES}f32"), args)


def positive(builder, value):
    """Lane by lane, whether it is above 0."""
    return builder.fcmp_ordered(">", value, constant(0))


@intrinsic
def multiply_add(context, x, y, z):
    """x y + z, in one rounding where the processor has that."""

    def generate(context, builder, signature, args):
        return call(builder, "fmuladd", args)

    return _vector(_vector, _vector, _vector), generate


@intrinsic
def square_root(context, x):
    """Lane by lane."""

    def generate(context, builder, signature, args):
        return call(builder, "sqrt", args)

    return _vector(_vector), generate


@intrinsic
def where_positive(context, x, y):
    """y where x > 0, else 0."""

    def generate(context, builder, signature, args):
        return builder.select(positive(builder, args[0]), args[1], constant(0))

    return _vector(_vector, _vector), generate


@intrinsic
def any_positive(context, x):
    """Whether a lane is above 0."""

    def generate(context, builder, signature, args):
        bits = ir.IntType(LANES)
        return builder.icmp_unsigned("!=", builder.bitcast(positive(builder, args[0]), bits), ir.Constant(bits, 0))

    return types.boolean(_vector), generate


@intrinsic
def sigmoid(context, x):
    """1 / (1 + exp(-x)), with expf of the Cephes library: exp(n log 2 + r) = 2^n exp(r), exp(r) by a polynomial."""

    def generate(context, builder, signature, args):
        b = builder
        x = b.fneg(args[0])
        for outside, bound in ((">", constant(88.0)), ("<", constant(-87.0))):  # a NaN stays one
            x = b.select(b.fcmp_ordered(outside, x, bound), bound, x)
        n = call(b, "rint", [b.fmul(x, constant(1.44269504088896341))])
        n = b.select(b.fcmp_ordered("ord", x, x), n, constant(0))
        r = call(b, "fmuladd", [n, constant(-0.693359375), x])
        r = call(b, "fmuladd", [n, constant(2.12194440e-4), r])
        series = constant(1.9875691500e-4)
        for term in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
            series = call(b, "fmuladd", [series, r, constant(term)])
        exp_r = b.fadd(call(b, "fmuladd", [series, b.fmul(r, r), r]), constant(1.0))
        exponent = b.add(b.fptosi(n, INTS), ir.Constant(INTS, [127] * LANES))
        exp = b.fmul(exp_r, b.bitcast(b.shl(exponent, ir.Constant(INTS, [23] * LANES)), VECTOR))
        return b.fdiv(constant(1.0), b.fadd(constant(1.0), exp))

    return _vector(_vector), generate
