"""Random numbers that depend on (root seed, names) and on nothing else."""

import hashlib
from operator import index

import numpy as np


def generator(root_seed: int, *names: str | int) -> np.random.Generator:
    """A generator of its own for every (root_seed, *names).

    Two calls with the same arguments draw the same numbers, whatever else was drawn before and in
    whichever process or order; different names give independent streams (as LensKit derives its seeds). An integer is
    the same name whatever its type, as an element of an array is not of Python's.
    """
    spelled = "\x1f".join(f"str:{name}" if isinstance(name, str) else f"int:{index(name)}" for name in names)
    words = np.frombuffer(hashlib.sha256(spelled.encode()).digest(), dtype=np.uint32)
    return np.random.default_rng(np.random.SeedSequence([root_seed, *words.tolist()]))
