"""Runs one notebook strictly.

``python -m hadyounot.workflow.notebook NOTEBOOK --params JSON --log LOG.ipynb`` is papermill with the gaps closed:
an unknown or mistyped parameter is an error, the kernel is this very interpreter, a failing notebook is
kept and said how to reopen, and nothing goes on writing once whoever asked for the run is gone.
Importing this module is cheap: the workflow calls the digests whenever it looks at the study.
"""

import argparse
import ast
import contextlib
import copy
import difflib
import json
import os
import re
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .digest import NotebookError, cells_of, parse_cell

# Optional needs of papermill's needs: a grammar of IRIs that is compiled for a second, a file system, a formatter
# (which would have a say in the log). Nothing here uses them.
UNUSED = ("rfc3987_syntax", "pyarrow.fs", "black")


def run(
    notebook: str | Path,
    parameters: dict[str, Any],
    log: str | Path,
    html: str | Path | None = None,
    threads: int = 1,
) -> None:
    """Run ``notebook`` with ``parameters`` in a kernel of this interpreter, in the current folder.

    Args:
        notebook: the notebook; it is only read.
        parameters: values for names assigned in its one cell tagged ``parameters``; the others keep their defaults.
        log: where the executed notebook is written as it goes, and stays, whether it fails or not. Of two runs
            that print the same, the logs are the same bytes: times and random cell ids are left out.
        html: where to put a page of it that needs no network, after success only. Cells tagged ``hide`` show
            their outputs alone.
        threads: threads of numba's kernels. BLAS and OpenMP have one, as their sums depend on how many there are.

    Raises:
        NotebookError: the notebook or a parameter is not as it must be, or a cell failed, called ``sys.exit``,
            or killed the kernel; or there is no room, or no leave, to write the log or the page.
    """
    notebook, log = Path(notebook), Path(log)
    if log.resolve() == notebook.resolve():
        raise NotebookError(f"{notebook}: the log would overwrite the notebook; give another --log")
    checked = _check(notebook, parameters)
    with _writing(log):
        with _absent(UNUSED), tempfile.TemporaryDirectory() as folder:
            error = _execute(notebook, checked, log, _kernel_manager(threads, folder))
        import nbformat

        executed = nbformat.read(log, as_version=4)
        failed = _failed_cell(executed, error)
        _strip(executed)
        _write(log, nbformat.writes(executed) + "\n")
    if failed is not None:
        options = {"log": log, "html": html, "threads": threads}
        raise NotebookError(_failure(notebook, parameters, options, executed, failed))
    if html is not None:
        with _writing(Path(html)):
            _write(Path(html), _page(executed, notebook.stem))


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Makes the folder of ``path``; NotebookError where there is no room, or no leave, to write what is to be there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        from ..study.store import unwritable  # slow, and seldom needed

        told = unwritable(path, error)
        if told is None:
            raise
        raise NotebookError(told.strerror) from error


@contextlib.contextmanager
def _absent(modules: Iterable[str]) -> Iterator[None]:
    """Lets ``modules`` seem not installed."""
    loaded = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(dict.fromkeys(modules))
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
        sys.modules.update(loaded)


def _execute(notebook: Path, parameters: dict[str, Any], log: Path, kernel_manager: type) -> tuple[str, str] | None:
    """Let papermill run it and write the log; name and message of what stopped a cell from outside, if anything did."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    try:
        papermill.execute_notebook(
            *(str(path).replace("{", "{{").replace("}", "}}") for path in (notebook, log)),  # papermill formats
            parameters,
            kernel_name="python3",
            language="python",
            kernel_manager_class=kernel_manager,
            coalesce_streams=True,  # else outputs are cut where the kernel's clock flushed them
            progress_bar=False,
            store_widget_state=False,  # of widgets whose kernel is gone, under random ids
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            extra_arguments=["--log-level=CRITICAL"],  # of the kernel itself: no word on transport or shutdown
        )
    except DeadKernelError:
        return "DeadKernelError", "the kernel died: killed from outside, or out of memory"
    except PapermillExecutionError:
        pass  # the cell holds the error
    return None


def _check(notebook: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters, once they are known to fit the notebook's parameters cell (an int for a float becomes one)."""
    from pydantic import TypeAdapter, ValidationError

    types = {}
    cells = [cell for cell in cells_of(notebook) if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if len(cells) != 1:
        raise NotebookError(f"{notebook}: {len(cells)} cells are tagged 'parameters'; tag exactly one")
    for statement in parse_cell(notebook, "the parameters cell", "".join(cells[0]["source"])).body:
        match statement:
            case ast.Expr(ast.Constant(str())):
                continue
            case ast.Assign([ast.Name(name)], value):
                annotation = None
            case ast.AnnAssign(ast.Name(name), annotation, ast.expr() as value):
                pass
            case _:
                raise NotebookError(
                    f"{notebook}: parameters cell, line {statement.lineno}: {ast.unparse(statement)!r} is not"
                    " `name: type = value`; derive other values in a later cell"
                )
        try:
            default = ast.literal_eval(value)
            types[name] = TypeAdapter(eval(ast.unparse(annotation)) if annotation else type(default))
            types[name].validate_python(default, strict=True)
        except (ValueError, NameError, TypeError) as error:
            raise NotebookError(
                f"{notebook}: parameters cell, line {statement.lineno}: {ast.unparse(statement)!r} must give a"
                f" literal value of a built-in type: {error}"
            ) from None
    checked = {}
    for name, value in parameters.items():
        if name not in types:
            near = difflib.get_close_matches(name, types, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(types) or 'none'}"
            raise NotebookError(f"{notebook}: there is no parameter {name!r}; {hint}")
        try:
            checked[name] = types[name].validate_python(value, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            place = "".join(f"[{key!r}]" for key in first["loc"])
            raise NotebookError(
                f"{notebook}: parameter {name}{place} = {json.dumps(first['input'])}: {first['msg'].lower()}"
            ) from None
    return checked


def _kernel_manager(threads: int, folder: str) -> type:
    """A class that starts kernels of this interpreter, whatever the user's Jupyter, IPython and variables say.

    They are spoken to through sockets in the empty ``folder``. A TCP port is chosen free and bound a second later, by
    when another notebook's kernel may have it; and whoever is on the machine could connect.
    """
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from traitlets import default

    # a start-up file, and ways to run the same code differently: assert would be left out
    unwanted = {"PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONOPTIMIZE"}
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment["NUMBA_NUM_THREADS"] = str(threads)
    environment["PYTHONHASHSEED"] = "0"  # sets of words, of a black box say, have one order in every kernel
    environment["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    environment["IPYTHONDIR"] = str(Path(folder, "ipython"))  # empty: no start-up files, no history

    class Kernel(AsyncKernelManager):
        transport = "ipc"
        connection_file = str(Path(folder, "kernel.json"))

        @default("kernel_spec_manager")
        def _look_in_no_folder(self) -> KernelSpecManager:
            return KernelSpecManager(kernel_dirs=[])  # so python3 is this interpreter's; JUPYTER_PATH could shadow it

        async def start_kernel(self, **options: Any) -> None:
            await super().start_kernel(env=environment, **options)

    return Kernel


def _failed_cell(executed: Any, error: tuple[str, str] | None) -> int | None:
    """Index of the cell that failed. An ``error`` that stopped the cell from outside is written into it."""
    from nbformat.v4 import new_output

    if error is not None:
        name, message = error
        running = [cell for cell in executed.cells if cell.metadata.papermill.start_time][-1]
        running.outputs.append(new_output("error", ename=name, evalue=message, traceback=[f"{name}: {message}"]))
    for index, cell in enumerate(executed.cells):
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return index  # after sys.exit(0) too, which papermill takes for success
    return None


def _strip(executed: Any) -> None:
    """Leave out what differs between two runs of the same: times, paths, random ids, widgets that live in a kernel."""
    executed.metadata.pop("papermill", None)
    for number, cell in enumerate(executed.cells):
        cell.id = str(number)
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)


def _failure(notebook: Path, parameters: dict, options: dict, executed: Any, failed: int) -> str:
    """What to tell: where it failed, why, and how to see and repeat it."""
    cell = executed.cells[failed]
    count = sum(1 for c in executed.cells[: failed + 1] if c.cell_type == "code" and c.source.strip())
    errors = [output for output in cell.outputs if output.output_type == "error"]
    traceback = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(line for error in errors for line in error.traceback))
    lines = [int(line) for line in re.findall(rf"Cell In\[{count}\], line (\d+)", traceback)] or [1]
    beside = [f"{name}={os.environ[name]}" for name in ("HADYOUNOT_STUDY", "PYTHONPATH") if os.environ.get(name)]
    again = ["env", *beside] if beside else []
    again += [sys.executable, "-m", "hadyounot.workflow.notebook", str(notebook), "--params", json.dumps(parameters)]
    for name, value in options.items():
        if value is not None:
            again += [f"--{name}", str(value)]
    last = [line for line in traceback.splitlines() if line.strip()]
    folder, lab = shlex.quote(os.getcwd()), [sys.executable, "-m", "jupyter", "lab", str(options["log"])]
    return (
        f"{notebook}, cell [{count}], line {lines[-1]}:\n"
        f"    {(cell.source.splitlines() or [''])[lines[-1] - 1].strip()}\n"
        f"{last[-1] if last else f'{errors[-1].ename}: {errors[-1].evalue}'}\n"
        f"Open what was done so far:  cd {folder} && {shlex.join(lab)}\n"
        f"Run it again:  cd {folder} && {shlex.join(again)}"
    )


def _write(path: Path, text: str) -> None:
    """Whole or not at all. Not by study.store: to import its libraries takes a third of a small notebook's time."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


def heading(notebook: Any) -> str:
    """What its first words call it; "" if it does not say."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    found = re.match(r"# +(.+)", texts[0]) if texts else None
    return re.sub("[`*]", "", found[1]) if found else ""


def typeset(text: str) -> str:
    """Markdown with its formulas as MathML, which browsers show without a script."""
    from latex2mathml.converter import convert

    def formula(found: re.Match[str]) -> str:
        _, block, inline = found.groups()
        if block or inline:
            return convert(block or inline, display="block" if block else "inline")
        return found[0]  # code, whose dollars mean something else

    return re.sub(r"(`+).*?\1|\$\$(.+?)\$\$|\$([^$\n]+)\$", formula, text, flags=re.DOTALL)


# parameters are one long line, of which the notebook's text does not speak
_STYLE = """
.highlight pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.celltag_injected-parameters pre { max-height: 6em; overflow: auto; }
"""


def _page(executed: Any, name: str) -> str:
    """HTML that asks no network for anything, without the progress that is said on stderr, which is in the log.
    Its title is the notebook's heading, or else ``name``.
    """
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    urls = ("require_js", "mathjax", "mermaid_js", "mermaid_layout_elk_js", "jquery", "jupyter_widgets_base")
    exporter = HTMLExporter(
        config=Config(TagRemovePreprocessor={"enabled": True, "remove_input_tags": {"hide"}}),
        **{f"{name}_url": "" for name in urls},
    )
    page, hidden = copy.deepcopy(executed), False
    for cell in page.cells:
        if cell.cell_type == "markdown" and "$" in cell.source:
            cell.source = typeset(cell.source)
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags and hidden:  # beside their defaults
            tags.append("hide")
        hidden = "hide" in tags
        if cell.cell_type == "code":
            quiet = (output.get("name") == "stderr" and "Warning" not in output["text"] for output in cell.outputs)
            cell.outputs = [output for output, left in zip(cell.outputs, quiet, strict=True) if not left]
    made = exporter.from_notebook_node(page, resources={"metadata": {"name": heading(executed) or name}})[0]
    return made.replace("</head>", f"<style>{_STYLE}</style>\n</head>", 1)


def _quit_with_parent() -> None:
    """End this process and its kernel, at once, when the process that asked for the run is gone.

    Snakemake runs commands through ``bash -c``, which outlives it; so a shell given ``-c`` is watched too.
    """
    import psutil

    chain = [psutil.Process()]
    while (parent := chain[-1].parent()) and parent.name() in {"sh", "bash", "dash"} and "-c" in parent.cmdline():
        chain.append(parent)
    parents = {process: process.ppid() for process in chain}

    def watch() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while all(process.ppid() == parent for process, parent in parents.items()):
                time.sleep(0.5)
        for child in chain[0].children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'{text!r} is not a JSON object such as {{"seed": 0}}')
    return value


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 for success."""
    parser = argparse.ArgumentParser(
        prog="python -m hadyounot.workflow.notebook", description=run.__doc__.splitlines()[0]
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--params", type=_json_object, default={}, metavar="JSON", help="parameters, a JSON object")
    parser.add_argument("--log", type=Path, required=True, help="the executed notebook, kept also when it fails")
    parser.add_argument("--html", type=Path, help="a page of it that works offline, on success")
    parser.add_argument("--threads", type=int, default=1, help="threads of numba (default: 1)")
    given = parser.parse_args(arguments)
    _quit_with_parent()
    for number in (signal.SIGTERM, signal.SIGINT):  # leave by the way that ends the kernel
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        run(given.notebook, given.params, given.log, given.html, given.threads)
    except NotebookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
