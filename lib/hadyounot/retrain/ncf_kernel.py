"""Neural collaborative filtering (NeuMF) with Adam, all lanes of ``simd`` at once."""

# compiled with simd.py 34c9337453999541: whether the machine code that numba kept is old, it sees by this file alone

from collections.abc import Sequence
from typing import NamedTuple, Self

import numba
import numpy as np

from .simd import any_positive, load, multiply_add, sigmoid, splat, square_root, store, where_positive

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
        store(values, k, load(of_users, user + net.gmf_factors + k))
        store(values, net.half + k, load(of_items, item + net.gmf_factors + k))
    for layer in range(len(net.inputs)):
        x, y, fan_in, fan_out = net.units[layer], net.units[layer + 1], net.inputs[layer], net.outputs[layer]
        matrix = net.matrices[layer]
        biases = matrix + fan_in * fan_out
        j = 0
        while j + 4 <= fan_out:  # four at a time: an input is read once for all
            row_0 = matrix + j * fan_in
            row_1, row_2, row_3 = row_0 + fan_in, row_0 + 2 * fan_in, row_0 + 3 * fan_in
            sum_0, sum_1 = load(weights, biases + j), load(weights, biases + j + 1)
            sum_2, sum_3 = load(weights, biases + j + 2), load(weights, biases + j + 3)
            for k in range(fan_in):
                value = load(values, x + k)
                sum_0 = multiply_add(load(weights, row_0 + k), value, sum_0)
                sum_1 = multiply_add(load(weights, row_1 + k), value, sum_1)
                sum_2 = multiply_add(load(weights, row_2 + k), value, sum_2)
                sum_3 = multiply_add(load(weights, row_3 + k), value, sum_3)
            store(values, y + j, where_positive(sum_0, sum_0))
            store(values, y + j + 1, where_positive(sum_1, sum_1))
            store(values, y + j + 2, where_positive(sum_2, sum_2))
            store(values, y + j + 3, where_positive(sum_3, sum_3))
            j += 4
        while j < fan_out:
            total = load(weights, biases + j)
            for k in range(fan_in):
                total = multiply_add(load(weights, matrix + j * fan_in + k), load(values, x + k), total)
            store(values, y + j, where_positive(total, total))
            j += 1
    logit = load(weights, net.n_weights - 1)
    for k in range(net.gmf_factors):
        product = load(of_users, user + k) * load(of_items, item + k)
        logit = multiply_add(product, load(weights, net.out + k), logit)
    for j in range(net.outputs[-1]):
        logit = multiply_add(load(values, net.units[-1] + j), load(weights, net.out + net.gmf_factors + j), logit)
    return logit


@numba.njit(nogil=True, cache=True)
def _add(table, place, value):
    store(table, place, load(table, place) + value)


@numba.njit(nogil=True, cache=True)
def _backward(
    net, embeddings, weights, gradients, weight_gradients, values, slopes, user, item, user_slot, item_slot, slope
):
    """Adds the gradients of one example, whose loss has this ``slope`` in the logit."""
    _add(weight_gradients, net.n_weights - 1, slope)
    for k in range(net.gmf_factors):
        p, q, weight = load(embeddings, user + k), load(embeddings, item + k), load(weights, net.out + k)
        _add(weight_gradients, net.out + k, slope * (p * q))
        _add(gradients, user_slot + k, slope * weight * q)
        _add(gradients, item_slot + k, slope * weight * p)
    for j in range(net.outputs[-1]):
        _add(weight_gradients, net.out + net.gmf_factors + j, slope * load(values, net.units[-1] + j))
        store(slopes, net.units[-1] + j, slope * load(weights, net.out + net.gmf_factors + j))
    for back in range(len(net.inputs)):
        layer = len(net.inputs) - 1 - back
        x, y, fan_in, fan_out = net.units[layer], net.units[layer + 1], net.inputs[layer], net.outputs[layer]
        matrix = net.matrices[layer]
        for k in range(fan_in):
            store(slopes, x + k, splat(np.float32(0)))
        for j in range(fan_out):
            unit = load(values, y + j)
            if any_positive(unit):  # nothing flows back through a unit that is dead in all lanes
                own = where_positive(unit, load(slopes, y + j))
                _add(weight_gradients, matrix + fan_in * fan_out + j, own)
                row = matrix + j * fan_in
                for k in range(fan_in):
                    gradient = load(weight_gradients, row + k)
                    store(weight_gradients, row + k, multiply_add(own, load(values, x + k), gradient))
                    below = load(slopes, x + k)
                    store(slopes, x + k, multiply_add(own, load(weights, row + k), below))
    for k in range(net.half):
        _add(gradients, user_slot + net.gmf_factors + k, load(slopes, k))
        _add(gradients, item_slot + net.gmf_factors + k, load(slopes, net.half + k))


@numba.njit(nogil=True, cache=True)
def _move(table, first, second, place, count, distance, first_decay, second_decay):
    """Against m / √v, over all steps up to the next gradient; the moments are left as they are before it."""
    distance, first_decay = splat(distance), splat(first_decay)
    second_decay, never = splat(second_decay), splat(np.float32(1e-18))  # 0 / never is 0: nothing was learnt
    for k in range(place, place + count):
        m, v = load(first, k), load(second, k)
        store(table, k, load(table, k) - distance * m / (square_root(v) + never))
        store(first, k, m * first_decay)
        store(second, k, v * second_decay)


@numba.njit(nogil=True, cache=True)
def _learn(first, second, place, count, gradients, slot):
    """Moments take up the gradient, which is cleared."""
    keep_first, take_first = splat(np.float32(FIRST_DECAY)), splat(np.float32(1 - FIRST_DECAY))
    keep_second, take_second = splat(np.float32(SECOND_DECAY)), splat(np.float32(1 - SECOND_DECAY))
    for k in range(count):
        gradient = load(gradients, slot + k)
        store(gradients, slot + k, splat(np.float32(0)))
        store(first, place + k, multiply_add(keep_first, load(first, place + k), take_first * gradient))
        squared = take_second * gradient * gradient
        store(second, place + k, multiply_add(keep_second, load(second, place + k), squared))


@numba.njit(nogil=True, cache=True)
def train_neural(net, work, users, targets, steps, epoch, has_negatives):
    """One epoch of Adam on minibatches, all lanes at once, in place.

    Adam is the dense one: momentum moves every row at every step. But a row that no example of a minibatch touches
    coasts: its moments decay by constants, so with ε = 0 its next k moves are m / √v times a number that depends on the
    step alone. Hence each row is written once for each minibatch that touches it, with the sum of these numbers up
    to the next that does.

    Args:
        net: the architecture.
        work: see ``ncf._Workspace``.
        users: int32 (n,), row of ``embeddings`` of each rating's user.
        targets: float32 (m,), of each example, on [0, 1]; see ``ncf._Epoch``.
        steps: float32 (m, LANES), 1, or 0 where a lane skips; see ``skip``.
        epoch: see ``ncf._Epoch``.
        has_negatives: whether cross-entropy is minimised, and not the squared error.
    """
    for row in range(len(epoch.coast_distances)):
        _move(
            work.embeddings, work.first, work.second, row * net.width, net.width,
            epoch.coast_distances[row], epoch.coast_first_decays[row], epoch.coast_second_decays[row],
        )  # fmt: skip
    one = splat(np.float32(1))
    for batch in range(len(epoch.starts) - 1):
        begin, end = epoch.starts[batch], epoch.starts[batch + 1]
        scale = splat(np.float32((1 if has_negatives else 2) / (end - begin)))
        for place in range(begin, end):
            example = epoch.order[place]
            row = example % len(users)
            user, item = np.int64(users[row]) * net.width, np.int64(epoch.items[example]) * net.width
            share = sigmoid(_forward(net, work.embeddings, user, work.embeddings, item, work.weights, work.values))
            error = share - splat(targets[example])
            slope = scale * load(steps, np.int64(work.row_steps[row])) * error
            if not has_negatives:
                slope = slope * share * (one - share)
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
    """Scores of all items on [0, 1], into ``scores`` (at most LANES, n_items).

    Args:
        net: the architecture.
        of_users: float32 (net.width, LANES), each lane's user.
        of_items: float32 (n_items, net.width, LANES).
        weights: float32 (net.n_weights, LANES).
        values, share: float32 (n_units, LANES) and (1, LANES), room to work in.
        scores: overwritten.
    """
    for item in range(scores.shape[1]):
        store(share, 0, sigmoid(_forward(net, of_users, 0, of_items, item * net.width, weights, values)))
        for lane in range(scores.shape[0]):
            scores[lane, item] = share[0, lane]
