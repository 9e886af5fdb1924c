"""What importing the package costs, and which of its rooms know each other."""

import subprocess
import sys

import hadyounot
import pytest


def imported(statement: str) -> set[str]:
    """What is in ``sys.modules`` of a fresh interpreter after the statement."""
    script = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    assert not imported("import hadyounot") & {"numba", "numpy", "pandas", "scipy", "sklearn", "torch"}


@pytest.mark.parametrize("name", hadyounot.__all__)
def test_every_public_name_is_there(name):
    assert getattr(hadyounot, name).__name__ == name
    assert name in dir(hadyounot)


def test_retraining_knows_no_study():
    modules = ("blackbox", "mf", "ncf", "peers", "ratings", "settings")
    loaded = imported("import " + ", ".join(f"hadyounot.retrain.{module}" for module in modules))
    assert "hadyounot.retrain.blackbox" in loaded
    assert not {name for name in loaded if name.startswith("hadyounot.study")}
