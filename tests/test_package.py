"""What importing the package costs, and which of its rooms know each other."""

import ast
import os
import shutil
import subprocess
import sys

import hadyounot
import pytest
from hadyounot.study.paths import PROJECT

PACKAGE = PROJECT / "lib/hadyounot"
MODULES = sorted(PACKAGE.rglob("*.py"))


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


ROOMS = ("retrain", "method", "compare", "survey", "study", "report", "workflow")
OUTSIDE = ("rng", "settings")  # which every room may import, and which import none


def rooms_imported(path):
    """Rooms, and modules outside of them, that a module of the library imports anywhere."""
    package = ("hadyounot", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            yield from [base[1]] if base[1:] and base[1] else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")[1:2] if node.module.startswith("hadyounot.") else []
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("hadyounot."))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_those_below_it(room):
    below = {*OUTSIDE, *ROOMS[: ROOMS.index(room) + 1]}
    modules = [path for path in MODULES if path.is_relative_to(PACKAGE / room)]
    assert modules
    for path in modules:
        assert set(rooms_imported(path)) <= below, path


def test_the_package_is_its_rooms():
    places = {path.relative_to(PACKAGE).parts[0] for path in MODULES}
    assert places == {*ROOMS, *(f"{name}.py" for name in OUTSIDE), "__init__.py"}


def test_a_new_method_is_one_row(tmp_path):
    """Figures know it too: they mark methods without a list of their own."""
    package = shutil.copytree(PACKAGE, tmp_path / "hadyounot")
    path, after = package / "study/methods.py", '    Method("unlearned",'
    row = 'Method("knn_city", "KNN (city block)", "#e9c75c", headline=True, baseline="nearest", option="cityblock")'
    before, _, rest = path.read_text().partition(after)
    path.write_text(f"{before}    {row},\n{after}{rest}")
    program = (
        "from hadyounot.report.figures import marks, verification, worlds\n"
        "from hadyounot.study.methods import HEADLINES, METHOD\n"
        "assert 'knn_city' in HEADLINES\n"
        "print(marks.MARKERS['knn_city'], list(marks.places(METHOD)).index('knn_city'))"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert said.stdout.split()[1] == "4"
