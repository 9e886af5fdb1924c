"""What several test files share."""

import os

# so that tests of many threads have many on any machine, whatever was set; read when numba is first imported
os.environ["NUMBA_NUM_THREADS"] = "4"
# as notebooks are run; more would wait for each other in a busy loop where other work runs beside
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hadyounot.retrain.ratings import Ratings
from hadyounot.study import datasets


@pytest.fixture(scope="session")
def ml100k() -> Ratings:
    """The real MovieLens-100K, from HADYOUNOT_DATA or else kept in data/ once it was downloaded."""
    return datasets.obtain("ml-100k", datasets.data_folder()).ratings
