"""What several test files share."""

import gc
import os
import shutil
import sys
from contextlib import contextmanager

# so that tests of many threads have many on any machine, whatever was set; read when numba is first imported
os.environ["NUMBA_NUM_THREADS"] = "4"
# as notebooks are run; more would wait for each other in a busy loop where other work runs beside
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hadyounot.retrain.ratings import Ratings
from hadyounot.study import datasets
from playwright.sync_api import sync_playwright


@pytest.fixture(autouse=True, scope="module")
def nothing_imported_is_garbage():
    """Statsmodels looks for garbage whenever it corrects p-values: not in what was there before, which takes long."""
    gc.freeze()


@contextmanager
def numba_threads(count: int):
    """As many threads of numba, and afterwards as before."""
    import numba  # slow, and most files need it not

    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@pytest.fixture(autouse=True)
def one_torch_thread():
    """Numba gives torch, with which it shares OpenMP, as many as its own: on fewer cores they wait for each other."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def ml100k() -> Ratings:
    """The real MovieLens-100K, from HADYOUNOT_DATA or else kept in data/ once it was downloaded."""
    return datasets.obtain("ml-100k", datasets.data_folder()).ratings


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium: the system's, as no package index has one; .ci/run installs it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip(reason="there is no browser to test pages in: install chromium (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()
