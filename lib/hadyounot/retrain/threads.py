"""Many jobs on threads that can be stopped."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba


def on_threads(
    jobs: Sequence[Any], workspace: Callable[[], Any], perform: Callable[[Any, Any], Iterator[None]]
) -> None:
    """``perform(work, job)`` for every job, on ``numba.get_num_threads()`` threads with a ``workspace`` each.

    What is raised while this waits, by Ctrl-C or by ``perform``, stops all threads where they next yield.
    """
    threads = max(1, min(numba.get_num_threads(), len(jobs)))
    stopped = threading.Event()

    def run(share: Sequence[Any]) -> None:
        try:
            work = workspace()
            for job in share:
                for _ in perform(work, job):
                    if stopped.is_set():
                        return
        except BaseException:
            stopped.set()
            raise

    with ThreadPoolExecutor(threads) as pool:
        try:
            list(pool.map(run, [jobs[k::threads] for k in range(threads)]))
        finally:
            stopped.set()
