"""Tells when the code of a notebook has changed. Cheap to import: the workflow asks whenever it looks at the study."""

import ast
import contextlib
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]


class NotebookError(Exception):
    """A notebook cannot be run, or failed; the message names notebook, place and fix."""


def code_digest(notebook: str | Path, ignore: Iterable[str] = ()) -> str:
    """sha256 of what the notebook does: its code cells and all modules of this package they import, directly or not.

    Outputs, text, comments, layout and docstrings do not count; imports are read, not run. A package's
    ``__init__`` counts only for those who import a name from it.

    Args:
        notebook: the notebook.
        ignore: modules that do not count themselves, though what they import does: ``"report.style"``, or a
            package for all of its modules, ``"report"``.

    Raises:
        NotebookError: a cell is not Python, the file is not a notebook, or what is ignored is not there.
    """
    notebook = Path(notebook)
    sources = ["".join(cell["source"]) for cell in cells_of(notebook) if cell["cell_type"] == "code"]
    cells = [parse_cell(notebook, f"code cell {i}", plain_python(source)) for i, source in enumerate(sources, 1)]
    ignored = {f"{PACKAGE.name}.{name}" for name in ignore}
    if strangers := {name for name in ignored if not _source(name)}:  # else a module that moved counts unnoticed
        raise NotebookError(f"there is no module {', '.join(sorted(strangers))} to ignore; where has it moved to?")
    modules: dict[str, ast.Module] = {}
    wanted = {name for cell in cells for name in _imports(cell, [])}
    while wanted := wanted - set(modules):
        name = wanted.pop()
        path = _source(name)
        modules[name] = parse_cell(path, "module", path.read_text(encoding="utf-8"))
        wanted |= _imports(modules[name], name.split(".") if path.name == "__init__.py" else name.split(".")[:-1])
    prefixes = tuple(f"{name}." for name in ignored)
    return _digest([*cells, *(modules[name] for name in sorted(modules) if not f"{name}.".startswith(prefixes))])


def module_digest(name: str) -> str:
    """sha256 of the code of one module, of any package, as in ``code_digest``; what it imports does not count.

    Raises:
        NotebookError: there is no such module.
    """
    try:
        path = Path(importlib.util.find_spec(name).origin)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise NotebookError(f"there is no module {name!r} ({error}); install it or put it on PYTHONPATH") from None
    return _digest([parse_cell(path, "module", path.read_text(encoding="utf-8"))])


def _source(name: str) -> Path | None:
    """The file of module ``name``, where this package has one."""
    stem = PACKAGE.parent.joinpath(*name.split("."))
    found = [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()]
    return found[0] if found and stem.is_relative_to(PACKAGE) else None


def _imports(tree: ast.Module, package: list[str]) -> set[str]:
    """Modules of this package imported anywhere in ``tree``, a module of ``package``; below ``%%time`` too."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module, names, level):
                above = package[: len(package) - level + 1] if level else []
                base = ".".join([*above, *filter(None, [module])])
                for alias in names:
                    submodule = f"{base}.{alias.name}"
                    found.add(submodule if _source(submodule) else base)
            case ast.Call(ast.Attribute(attr="run_line_magic" | "run_cell_magic"), [*_, ast.Constant(str(text))]):
                with contextlib.suppress(SyntaxError):  # not Python: %%bash, say
                    found |= _imports(ast.parse(plain_python(text)), package)
    return {name for name in found if _source(name)}


def cells_of(notebook: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        raise NotebookError(f"{notebook}: cannot be read as a notebook ({error!r})") from None


def plain_python(source: str) -> str:
    """The cell as IPython runs it: its ``%``, ``!`` and ``?`` lines become calls that hold their text."""
    try:
        ast.parse(source)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager  # slow, and few cells need it

        return TransformerManager().transform_cell(source)
    return source


def parse_cell(path: Path, place: str, source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise NotebookError(f"{path}: {place}, line {error.lineno}: not plain Python: {error.msg}") from None


def _digest(trees: Iterable[ast.Module]) -> str:
    digest = hashlib.sha256()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                match node.body:
                    case [ast.Expr(ast.Constant(str())), *rest]:
                        node.body = rest
        digest.update(ast.dump(tree).encode() + b"\n")
    return digest.hexdigest()
