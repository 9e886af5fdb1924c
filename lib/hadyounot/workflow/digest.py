"""Tells when the code of a notebook has changed. Cheap to import: the workflow asks whenever it looks at the study."""

import ast
import contextlib
import functools
import hashlib
import json
import sysconfig
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
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
        ignore: modules that do not count, nor what they alone import: ``"report.style"``, or a package for all of its
            modules, ``"report"``.

    Raises:
        NotebookError: a cell is not Python, the file is not a notebook, or what is ignored is not there.
    """
    notebook = Path(notebook)
    sources = ["".join(cell["source"]) for cell in cells_of(notebook) if cell["cell_type"] == "code"]
    cells = [_read(notebook, f"code cell {i}", plain_python(source)) for i, source in enumerate(sources, 1)]
    imports = {imported for _, imports in cells for imported in imports}
    return _digest([*(digest for digest, _ in cells), *_modules(imports, ignore)])


def package_digest(name: str, ignore: Iterable[str] = ()) -> str:
    """sha256 of all modules of a package of ours (or of one module) and all that they import, as ``code_digest``."""
    inside = [(module,) for module in _files(PACKAGE) if f"{module}.".startswith(f"{name}.")]
    return _digest(_modules(inside, ignore))


@functools.cache  # the workflow asks for each of its notebooks, tables and figures
def _files(package: Path) -> dict[str, Path]:
    """The modules of a package, and its packages, by their names."""
    files = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def _modules(imports: Iterable[tuple[str, ...]], ignore: Iterable[str]) -> list[str]:
    """Digests of all modules of this package that are imported, directly or not, in the order of their names."""
    files = _files(PACKAGE)
    ignored = {f"{PACKAGE.name}.{name}" for name in ignore}
    if strangers := ignored - set(files):  # else a module that was renamed would count, unnoticed
        raise NotebookError(f"there is no module {', '.join(sorted(strangers))} to ignore; what is it called now?")
    return _followed(imports, files.get, tuple(f"{name}." for name in ignored))


def _followed(
    imports: Iterable[tuple[str, ...]], file_of: Callable[[str], Path | None], ignored: tuple[str, ...] = ()
) -> list[str]:
    """Digests of all modules that have a file and are imported, directly or not, in the order of their names."""
    modules: dict[str, str] = {}
    wanted = set(imports)
    while wanted:
        name = next((name for name in wanted.pop() if file_of(name)), None)
        if name and name not in modules and not f"{name}.".startswith(ignored):
            path = file_of(name)
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            modules[name], imported = _read(path, "module", path.read_text(encoding="utf-8"), package)
            wanted |= imported
    return [modules[name] for name in sorted(modules)]


def module_digest(spec: ModuleSpec) -> str:
    """sha256 of the code of one module, of any package, as in ``code_digest``, and of the modules beside it that it
    imports, directly or not, unless it is installed. Of one that is no text, its bytes count; of one without a file, as
    built-in ones are, its name.

    Raises:
        NotebookError: one is not Python.
    """
    if not spec.has_location:
        return _digest([spec.name])
    path = Path(spec.origin)
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    root = path.parents[spec.name.count(".") + (path.name == "__init__.py")].resolve()
    if root in {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")}:
        return _read(path, "module", path.read_text(encoding="utf-8"))[0]

    def file_of(name: str) -> Path | None:
        base = root.joinpath(*name.split("."))
        return next((each for each in (base.with_suffix(".py"), base / "__init__.py") if each.is_file()), None)

    return _digest(_followed([(spec.name,)], file_of))


@functools.cache  # the notebooks of the study share most modules
def _read(path: Path, place: str, source: str, package: str = "") -> tuple[str, frozenset[tuple[str, str]]]:
    """A digest of what counts of a source in ``package``, and what it imports anywhere, below ``%%time`` too.

    Of each import, the names that it may mean: the first of them that is a module.
    """
    tree = parse_cell(path, place, source)
    imports: set[tuple[str, str]] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                imports |= {(alias.name, alias.name) for alias in names}
            case ast.ImportFrom(module, names, level):
                above = package.split(".")[: package.count(".") + 2 - level] if level else []
                base = ".".join([*above, *filter(None, [module])])
                imports |= {(f"{base}.{alias.name}", base) for alias in names}
            case ast.Call(ast.Attribute(attr="run_line_magic" | "run_cell_magic"), [*_, ast.Constant(str(text))]):
                with contextlib.suppress(NotebookError):  # not Python: %%bash, say
                    imports |= _read(path, place, plain_python(text))[1]
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                match node.body:
                    case [ast.Expr(ast.Constant(str())), *rest]:
                        node.body = rest
    return _digest([ast.dump(tree)]), frozenset(imports)


def cells_of(notebook: Path) -> list[dict[str, Any]]:
    """The cells of a notebook, as its JSON says.

    Raises:
        NotebookError: it cannot be read, or is no notebook.
    """
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
    """The syntax tree of a source at a ``place`` of ``path``.

    Raises:
        NotebookError: it is not Python.
    """
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise NotebookError(f"{path}: {place}, line {error.lineno}: not plain Python: {error.msg}") from None


def _digest(codes: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{code}\n" for code in codes).encode()).hexdigest()
