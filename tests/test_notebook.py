"""The strict runner, against real kernels; and the digests of code."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import nbformat
import psutil
import pytest
from hadyounot.workflow import digest, notebook
from hadyounot.workflow.digest import NotebookError, code_digest, module_digest
from hadyounot.workflow.notebook import run
from nbformat import v4

PARAMETERS = """\
'''The toy cell.'''
seed: int = 0  # root of every random number
rate: float = 0.5
name: str = "toy"
sizes: list[int] = [1, 2]
fast = False
"""


def write(path, *cells, parameters=PARAMETERS, hide=()):
    """A notebook of code cells after a parameters cell."""
    book = v4.new_notebook(cells=[v4.new_markdown_cell("# 00 · A `toy` & more\n\nText")])
    if parameters is not None:
        book.cells.append(v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    for i, source in enumerate(cells):
        book.cells.append(v4.new_code_cell(source, metadata={"tags": ["hide"]} if i in hide else {}))
    nbformat.write(book, path)
    return path


def wait_for(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# -- a run that succeeds ----------------------------------------------------------------------------------------------

TELLS = """\
import json, os, sys
hidden_input = 1
names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "MPLBACKEND"]
names.append("PYTHONHASHSEED")
told = {"python": sys.executable, "cwd": os.getcwd(), "env": {name: os.environ.get(name) for name in names}}
told |= {"seed": seed, "rate": repr(rate), "name": name, "sizes": sizes, "fast": fast}
told |= {"started": "started" in globals(), "asserts": __debug__, "inspects": sys.flags.inspect}
open("told.json", "w").write(json.dumps(told));
"""
# What two runs may interleave differently: the kernel sends either stream when its clock says so.
CHATTERS = """\
import time
for i in range(30):
    print("line", i, flush=True)
    print("warning", i, file=sys.stderr, flush=True)
    time.sleep(0.01)
"""
DRAWS = (
    "%load_ext autoreload\nimport sys\nimport matplotlib.pyplot as plt\n"
    "print('UserWarning: mind this', file=sys.stderr)\nplt.plot([1, 2]);"
)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """The same run twice, where a user's own Jupyter and IPython files and variables would like to interfere."""
    folder = tmp_path_factory.mktemp("a {b} $HOME `c`")
    book = write(folder / "book.ipynb", TELLS, CHATTERS, DRAWS, hide=[0])
    before = book.read_bytes()
    files = {
        "share/kernels/python3/kernel.json": json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}),
        "ipython/profile_default/startup/00.py": "started = True",
        "startup.py": "started = True",
        "ipython_kernel_config.py": "c.IPKernelApp.exec_lines = ['started = True']",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("JUPYTER_PATH", str(folder / "share"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("PYTHONSTARTUP", str(folder / "startup.py"))
        patch.setenv("PYTHONOPTIMIZE", "1")
        patch.setenv("PYTHONINSPECT", "1")
        patch.setenv("MPLBACKEND", "TkAgg")
        patch.setenv("OMP_NUM_THREADS", "7")
        environment = dict(os.environ)
        given = {"seed": 3, "rate": 1, "name": 'O\'Brien "{x}" é\n', "sizes": [], "fast": True}
        said = []
        with pytest.MonkeyPatch.context() as streams:
            for name in ("one", "two"):
                with open(folder / f"{name}.txt", "w+", encoding="utf-8") as stdout:
                    streams.setattr(sys, "stdout", stdout)
                    run(Path("book.ipynb"), given, f"{{l}}ogs/{name}.ipynb", f"html/{name}.html", threads=2)
                said.append((folder / f"{name}.txt").read_text(encoding="utf-8"))
        assert dict(os.environ) == environment
    assert book.read_bytes() == before
    return folder, given, said


def test_kernel_is_this_interpreter_in_the_caller_s_folder(two_runs):
    folder, given, _ = two_runs
    told = json.loads((folder / "told.json").read_text())
    assert told["python"] == sys.executable
    assert told["cwd"] == str(folder)
    assert (told["started"], told["asserts"], told["inspects"]) == (False, True, 0)
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    assert told["env"] == one | {
        "NUMBA_NUM_THREADS": "2",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONHASHSEED": "0",
    }
    assert {name: told[name] for name in given} == given | {"rate": "1.0"}  # an int where a float is declared


def test_two_runs_are_the_same_bytes(two_runs):
    folder, _, said = two_runs
    log = (folder / "{l}ogs" / "one.ipynb").read_bytes()
    assert log == (folder / "{l}ogs" / "two.ipynb").read_bytes()
    assert (folder / "html" / "one.html").read_bytes() == (folder / "html" / "two.html").read_bytes()
    assert str(folder) not in log.decode()
    chatter = next(cell for cell in json.loads(log)["cells"] if "".join(cell["source"]) == CHATTERS)
    assert [output["name"] for output in chatter["outputs"]] == ["stdout", "stderr"]
    assert all(text == "".join(f"line {i}\n" for i in range(30)) for text in said)
    assert sorted(os.listdir(folder / "{l}ogs")) == ["one.ipynb", "two.ipynb"]
    nbformat.validate(nbformat.read(folder / "{l}ogs" / "one.ipynb", as_version=4))


def test_page_needs_no_network_and_shows_what_is_not_hidden(two_runs):
    page = (two_runs[0] / "html" / "one.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#|["'])[^>]{0,80}|import\(["']http""", page)
    assert "data:image/png;base64" in page
    assert "hidden_input" not in page
    assert "plot" in page
    assert "line 29" in page
    assert "warning 29" not in page  # of stderr, which the log has
    assert "UserWarning: mind this" in page.replace("&#39;", "'").replace("print('UserWarning: mind this'", "")


def test_given_parameters_are_hidden_where_their_defaults_are():
    def page_of(*tags):
        defaults = v4.new_code_cell("n: int = 1", metadata={"tags": ["parameters", *tags]})
        given = v4.new_code_cell("n = 22", metadata={"tags": ["injected-parameters"]})
        return notebook._page(v4.new_notebook(cells=[defaults, given]), "book")

    assert ">22<" in page_of()
    assert ">22<" not in page_of("hide")


def test_page_is_called_as_the_notebook_calls_itself(two_runs):
    assert "<title>00 · A toy &amp; more</title>" in (two_runs[0] / "html" / "one.html").read_text()
    untitled = v4.new_notebook(
        cells=[v4.new_markdown_cell("Text\n# Not at its head"), v4.new_markdown_cell("# Nor here")]
    )
    assert "<title>book</title>" in notebook._page(untitled, "book")


def test_formulas_of_a_page_need_no_script_and_code_keeps_its_dollars():
    text = "Of $\\hat y_u$, `$HOME` and `$PATH`:\n\n$$\\frac{1}{n} \\sum_i x_i \\qquad (1)$$\n\nIt costs 3 $."
    page = notebook._page(v4.new_notebook(cells=[v4.new_markdown_cell(text)]), "book")
    assert re.findall('<math[^>]* display="(.*?)"', page) == ["inline", "block"]
    assert "<mfrac><mrow><mn>1</mn></mrow><mrow><mi>n</mi></mrow></mfrac>" in page
    assert "<code>$HOME</code> and <code>$PATH</code>" in page
    assert "It costs 3 $." in page


# -- runs that fail ---------------------------------------------------------------------------------------------------


def failing(folder, *cells, **options):
    """The message of a failing run, the kept notebook's cells."""
    book = write(folder / "bad book.ipynb", *cells, "open('after', 'w')")
    with pytest.raises(NotebookError) as raised:
        run(book, {"seed": 5}, folder / "logs" / "x.ipynb", folder / "x.html", **options)
    assert not Path("after").exists()
    assert os.listdir(folder / "logs") == ["x.ipynb"]
    assert not (folder / "x.html").exists()
    return str(raised.value), nbformat.read(folder / "logs" / "x.ipynb", as_version=4).cells


def words_in_bash(command):
    listing = f"printf '%s\\0' {command.replace(' && ', ' then ')}"
    done = subprocess.run(["bash", "-c", listing], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("study", ["", "a shop"])
def test_a_failing_notebook_is_kept_and_said_how_to_run_again(tmp_path, monkeypatch, study):
    path = os.pathsep.join([study, *filter(None, [os.environ.get("PYTHONPATH")])])
    for name, value in {"HADYOUNOT_STUDY": study, "PYTHONPATH": path}.items():
        monkeypatch.setenv(name, value) if study else monkeypatch.delenv(name, raising=False)
    folder = tmp_path / 'it\'s "cost$HOME" `x` {2}'
    folder.mkdir()
    monkeypatch.chdir(folder)
    cells = "def deep():\n    return {}['missing']", "print('so far')\n\nx = deep()  # here"
    message, kept = failing(folder, *cells)
    book, log = str(folder / "bad book.ipynb"), str(folder / "logs" / "x.ipynb")
    lines = message.splitlines()
    assert lines[0] == f"{book}, cell [4], line 3:"  # parameters, given ones, deep, this
    assert lines[1].strip() == "x = deep()  # here"
    assert lines[2] == "KeyError: 'missing'"
    assert words_in_bash(lines[3].partition(":  ")[2]) == [
        *("cd", str(folder), "then", sys.executable, "-m", "jupyter", "lab", log)
    ]
    words = words_in_bash(lines[4].partition(":  ")[2])
    if study:  # beside which a module of its own may lie
        assert words[3:6] == ["env", "HADYOUNOT_STUDY=a shop", f"PYTHONPATH={path}"]
        del words[3:6]
    assert words[:6] == ["cd", str(folder), "then", sys.executable, "-m", "hadyounot.workflow.notebook"]
    assert words[6:10] == [book, "--params", '{"seed": 5}', "--log"]
    assert words[10:] == [log, "--html", str(folder / "x.html"), "--threads", "1"]
    failed = next(cell for cell in kept if "deep()  # here" in cell.source)
    assert [output.output_type for output in failed.outputs] == ["stream", "error"]


@pytest.mark.parametrize(
    ("cell", "place", "reason"),
    [
        ("import sys\nsys.exit(0)", r"cell \[3\]", "SystemExit: 0"),
        ("import os\nos._exit(0)", r"cell \[3\]", "DeadKernelError: the kernel died"),
        ("1 +", r"cell \[3\], line 1:\n    1 \+", "SyntaxError: invalid syntax"),
    ],
    ids=["sys.exit", "dead kernel", "syntax"],
)
def test_other_ways_to_fail(tmp_path, cell, place, reason):
    message, kept = failing(tmp_path, cell)
    assert re.search(place, message)
    assert re.search(reason, message)
    failed = next(c for c in kept if c.source == cell)
    assert "error" in [output.output_type for output in failed.outputs]


@pytest.mark.parametrize("what", ["log", "html"])
def test_no_room_for_what_is_kept_names_it_and_the_fix(tmp_path, what):
    """A page has styles of its own, and so more than its notebook."""
    book = write(tmp_path / "00_toy.ipynb", "print(50_000 * 'x')" if what == "log" else "")
    kept = {"log": tmp_path / "logs/00_toy.ipynb", "html": tmp_path / "pages/00_toy.html"}
    command = [sys.executable, "-m", "hadyounot.workflow.notebook", book]
    command += [part for name, path in kept.items() for part in (f"--{name}", path)]
    limit = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    ran = subprocess.run([sys.executable, "-c", limit, *map(str, command)], capture_output=True, text=True)
    assert ran.returncode == 1
    assert (
        ran.stderr.splitlines()[-1] == f"{kept[what]} cannot be written: File too large; make room for it and run again"
    )


WRONG = [
    ({"sede": 1}, "there is no parameter 'sede'; did you mean 'seed'?"),
    ({"zzz": 1}, "there is no parameter 'zzz'; it has seed, rate, name, sizes, fast"),
    ({"seed": "1"}, 'parameter seed = "1": input should be a valid integer'),
    ({"seed": 1.0}, "parameter seed = 1.0: input should be a valid integer"),
    ({"seed": True}, "parameter seed = true: input should be a valid integer"),
    ({"seed": None}, "parameter seed = null: input should be a valid integer"),
    ({"rate": "0.1"}, 'parameter rate = "0.1": input should be a valid number'),
    ({"rate": True}, "parameter rate = true: input should be a valid number"),
    ({"name": 1}, "parameter name = 1: input should be a valid string"),
    ({"sizes": [1, "2"]}, 'parameter sizes[1] = "2": input should be a valid integer'),
    ({"fast": 1}, "parameter fast = 1: input should be a valid boolean"),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_wrong_parameters_are_refused_before_anything_runs(tmp_path, given, message):
    book = write(tmp_path / "book.ipynb", "open('ran', 'w')")
    with pytest.raises(NotebookError, match=re.escape(f"{book}: {message}")):
        run(book, given, tmp_path / "log.ipynb")
    assert os.listdir(tmp_path) == ["book.ipynb"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (None, "0 cells are tagged 'parameters'"),
        ("n = 3\nm = n * 2", "line 2: 'm = n * 2' must give a literal value"),
        ("import os", "line 1: 'import os' is not `name: type = value`"),
        ("a = b = 1", "line 1: 'a = b = 1' is not"),
        ("n: int = None", "line 1: 'n: int = None' must give a literal value of a built-in type"),
        ("n: Path = 'x'", "line 1: \"n: Path = 'x'\" must give"),
        ("n: int", "line 1: 'n: int' is not"),
        ("%matplotlib inline", "the parameters cell, line 1: not plain Python"),
    ],
)
def test_wrong_parameters_cells(tmp_path, parameters, message):
    with pytest.raises(NotebookError, match=re.escape(message)):
        run(write(tmp_path / "book.ipynb", parameters=parameters), {}, tmp_path / "log.ipynb")


def test_two_parameters_cells(tmp_path):
    book = nbformat.read(write(tmp_path / "book.ipynb"), as_version=4)
    book.cells.append(v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]}))
    nbformat.write(book, tmp_path / "book.ipynb")
    with pytest.raises(NotebookError, match="2 cells are tagged 'parameters'; tag exactly one"):
        run(tmp_path / "book.ipynb", {}, tmp_path / "log.ipynb")


def test_files_that_are_no_notebooks(tmp_path):
    (tmp_path / "bad.ipynb").write_text("{")
    for name in ("bad.ipynb", "missing.ipynb"):
        with pytest.raises(NotebookError, match=f"{name}: cannot be read as a notebook"):
            run(name, {}, "log.ipynb")
    with pytest.raises(NotebookError, match=r"book\.ipynb: the log would overwrite the notebook"):
        run(write(tmp_path / "book.ipynb"), {}, "book.ipynb")


def test_command_line_errors(tmp_path, capsys):
    write(tmp_path / "book.ipynb")
    given = ["book.ipynb", "--log", "log.ipynb", "--params"]
    for params, message in (("[1]", "not a JSON object"), ("{", "is not JSON")):
        with pytest.raises(SystemExit, match="2"):
            notebook.main([*given, params])
        assert message in capsys.readouterr().err
    command = [sys.executable, "-m", "hadyounot.workflow.notebook", *given, '{"sede": 1}']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "did you mean 'seed'?" in done.stderr
    assert "Traceback" not in done.stderr


# -- whoever asked for the run is gone --------------------------------------------------------------------------------

TICKS = """\
import os, time
open("kernel", "w").write(str(os.getpid()))
while True:
    open("ticks", "a").write(".")
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Two processes that asked, as Snakemake does, a shell for a run that never ends; each run's folder."""
    folders = [tmp_path_factory.mktemp("asked") for _ in range(2)]
    askers = []
    try:
        for folder in folders:
            book = write(folder / "book.ipynb", TICKS)
            runner = [sys.executable, "-X", "importtime", "-m", "hadyounot.workflow.notebook", str(book)]
            runner += ["--log", "log.ipynb", "--params", '{"seed": 1}']
            command = f"set -e; {shlex.join(runner)} 2> said; true"
            asks = f"import subprocess; subprocess.run(['bash', '-c', {command!r}])"
            askers.append(subprocess.Popen([sys.executable, "-c", asks], cwd=folder, start_new_session=True))
        wait_for(lambda: all((folder / "ticks").exists() for folder in folders), 30)
        yield list(zip(askers, folders, strict=True))
    finally:
        for asker in askers:
            asker.kill()
            asker.wait()


def processes(folder):
    """The runner's, the kernel's."""
    kernel = int((folder / "kernel").read_text())
    return psutil.Process(kernel).ppid(), kernel


def test_kill_9_of_the_asker_leaves_no_writer(asked):
    asker, folder = asked[0]
    runner, kernel = processes(folder)
    asker.kill()
    wait_for(lambda: gone(runner) and gone(kernel))
    left = (folder / "ticks").read_bytes(), (folder / "log.ipynb").read_bytes()
    time.sleep(0.3)
    assert left == ((folder / "ticks").read_bytes(), (folder / "log.ipynb").read_bytes())


def test_a_terminated_runner_takes_its_kernel_along(asked):
    _, folder = asked[1]
    runner, kernel = processes(folder)
    os.kill(runner, signal.SIGTERM)
    wait_for(lambda: gone(runner))
    assert gone(kernel)


def test_a_run_imports_nothing_slow_that_it_does_not_need(asked):
    imported = {line.rpartition("|")[2].strip() for line in (asked[1][1] / "said").read_text().splitlines()}
    assert {"papermill", "jsonschema"} <= imported
    assert not imported & {
        "lark",
        "blib2to3",
        "pyarrow",
        "pandas",
        "nbconvert",
    }  # lark is the grammar's, blib2to3 black's


# -- digests of code --------------------------------------------------------------------------------------------------


def test_code_digest_follows_what_the_code_does(tmp_path):
    def digest(*cells):
        return code_digest(write(tmp_path / "book.ipynb", *cells))

    base = digest("def f(x):\n    return x + 1", "f(1)")
    assert base == digest('def f(x):\n    """Adds."""\n    return (x +\n            1)  # one', "f( 1 )")
    assert base != digest("def f(x):\n    return x + 2", "f(1)")
    assert base != digest("f(1)", "def f(x):\n    return x + 1")
    book = nbformat.read(tmp_path / "book.ipynb", as_version=4)
    before = code_digest(tmp_path / "book.ipynb")
    book.cells.insert(0, v4.new_markdown_cell("Text"))
    book.cells[-1].outputs = [v4.new_output("stream", text="2")]
    book.cells[-1].execution_count = 9
    nbformat.write(book, tmp_path / "book.ipynb")
    assert code_digest(tmp_path / "book.ipynb") == before
    with pytest.raises(NotebookError, match=r"book\.ipynb: code cell 3, line 2: not plain Python"):
        digest("x = 1", "%autoreload 2\nx = = 2")


@pytest.mark.parametrize(
    ("cell", "other"),
    [
        ("%load_ext autoreload\n%autoreload 2", "%load_ext autoreload\n%autoreload 1"),
        ("files = !ls", "files = !ls -a"),
        ("for n in 1, 2:\n    !echo {n}", "for n in 1, 2:\n    !echo {n} again"),
        ("%%bash\nls | grep '", "%%bash\nls | grep x"),
        ("x = 1\nlen?", "x = 1\nlen??"),
    ],
)
def test_code_digest_takes_what_only_ipython_understands_by_its_text(tmp_path, cell, other):
    book = write(tmp_path / "book.ipynb", "x = 1", cell)
    first = code_digest(book)
    assert first == code_digest(book)
    assert first != code_digest(write(book, "x = 1", other))
    assert first != code_digest(write(book, "x = 1"))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in which `heart` imports, in every way, all modules but `stranger`."""
    folder = tmp_path / "hadyounot"
    modules = dict.fromkeys(("__init__", "two", "three", "four", "six", "seven", "on", "stranger", "sub/__init__"), "")
    modules |= {
        "heart": "from .one import a\nfrom . import two\nimport hadyounot.three\nfrom hadyounot import four\n"
        "def later():\n    from .sub.five import c\n    import numpy, json as one_more",
        "one": "from hadyounot.six import x",
        "sub/five": "from ..seven import x\nfrom .eight import y",
        "sub/eight": "",
    }
    for name, text in modules.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(f"'''Doc.'''\n{text}\na = 1  # one\n")
    monkeypatch.setattr(digest, "PACKAGE", folder)
    return folder


@pytest.fixture
def digest_of(package, tmp_path):
    """The digest of a notebook that imports a module."""

    def digest(module, ignore=()):
        return code_digest(write(tmp_path / "book.ipynb", f"import numpy\nimport hadyounot.{module}"), ignore)

    return digest


@pytest.mark.parametrize("name", ["heart", "one", "two", "three", "four", "sub/five", "six", "seven", "sub/eight"])
def test_code_digest_follows_the_imports(package, digest_of, name):
    path = package / f"{name}.py"
    before, text = digest_of("heart"), path.read_text()
    path.write_text(text.replace("'''Doc.'''", "'''Another.'''").replace("# one", ""))
    assert digest_of("heart") == before
    path.write_text(text.replace("a = 1", "a = 2"))
    assert digest_of("heart") != before


def test_code_digest_leaves_out_strangers_the_ignored_and_what_these_alone_import(package, digest_of):
    before, without_one = digest_of("heart"), digest_of("heart", ["one"])
    (package / "stranger.py").write_text("a = 2")
    assert digest_of("heart") == before
    one = package / "one.py"
    one.write_text(one.read_text().replace("a = 1", "a = 2"))
    assert digest_of("heart", ["one"]) == without_one
    assert digest_of("heart") != before
    (package / "six.py").write_text("a = 2")  # which only `one` imports
    assert digest_of("heart", ["one"]) == without_one


@pytest.mark.parametrize(
    "cell", ["%%time\nimport hadyounot.one", "%time import hadyounot.one", "!ls\nimport hadyounot.one"]
)
def test_code_digest_follows_imports_beside_and_below_magics(package, tmp_path, cell):
    book = write(tmp_path / "book.ipynb", cell)
    before = code_digest(book)
    (package / "stranger.py").write_text("a = 2")
    assert code_digest(book) == before
    (package / "six.py").write_text("a = 2")
    assert code_digest(book) != before


def test_code_digest_ignores_a_package_whole_and_no_name_that_only_begins_alike(package, digest_of):
    before = digest_of("heart", ["sub"])
    for name in ("sub/five", "sub/eight"):
        path = package / f"{name}.py"
        path.write_text(path.read_text().replace("a = 1", "a = 2"))
    assert digest_of("heart", ["sub"]) == before
    (package / "seven.py").write_text("a = 2")  # which only `sub` imports
    assert digest_of("heart", ["sub"]) == before != digest_of("heart")
    assert digest_of("heart", ["sub.eight"]) != before
    assert digest_of("heart", ["on"]) == digest_of("heart")
    with pytest.raises(NotebookError, match=r"no module hadyounot\.moved, hadyounot\.sub\.gone to ignore"):
        digest_of("heart", ["sub.gone", "moved", "one"])


def test_code_digest_counts_a_package_only_for_who_imports_from_it(package, digest_of):
    (package / "stranger.py").write_text("from . import a")
    imports_from_it, does_not = digest_of("stranger"), digest_of("heart")
    (package / "__init__.py").write_text("a = 2")
    assert digest_of("stranger") != imports_from_it
    assert digest_of("heart") == does_not


def test_code_digest_reads_every_module_of_the_library(tmp_path, monkeypatch):
    modules = {path for path in digest.PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    assert digest.PACKAGE / "study/store.py" in modules
    names = [".".join(path.relative_to(digest.PACKAGE).with_suffix("").parts) for path in modules]
    read, seen = digest._read, set()
    monkeypatch.setattr(digest, "_read", lambda path, *what: seen.add(path) or read(path, *what))
    code_digest(write(tmp_path / "book.ipynb", "\n".join(f"import hadyounot.{name}" for name in names)))
    assert modules == {path for path in seen if path.suffix == ".py" and path.name != "__init__.py"}


def test_importing_the_modules_and_reading_plain_notebooks_is_cheap(tmp_path):
    write(tmp_path / "book.ipynb", "import hadyounot.rng")
    reads = "from hadyounot.workflow import digest, notebook\ndigest.code_digest('book.ipynb')"
    command = [sys.executable, "-c", f"{reads}\nimport sys\nprint(*sys.modules)"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "hadyounot.workflow.digest" in loaded
    assert not {"IPython", "nbformat", "numpy", "pandas", "papermill", "psutil", "pydantic"} & set(loaded)


def test_a_module_of_somebody_elses_has_a_digest_of_its_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "shop_recommender.py"
    module.write_text('"""What it is."""\nK = 3\n')
    spec = find_spec("shop_recommender")
    first = module_digest(spec)
    module.write_text('"""What it is, said better."""\nK = 3  # as before\n')
    assert module_digest(spec) == first
    module.write_text("K = 4\n")
    assert module_digest(spec) != first
    (tmp_path / "a_package").mkdir()
    named = (
        "a_package",
        "builtins",
        "numpy._core._multiarray_umath",
    )  # of no file, of none, and of one that is no text
    others = [module_digest(find_spec(name)) for name in named]
    assert len({first, *others}) == 4


def test_what_a_module_of_somebody_elses_imports_from_beside_it_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    own, helper, inner = (tmp_path / name for name in ("own_one.py", "helper_of_own.py", "parts_of_own/inner.py"))
    inner.parent.mkdir()
    (inner.parent / "__init__.py").write_text("from .inner import K\n")
    own.write_text("import json\nimport numpy as np\nfrom helper_of_own import WEIGHT\n")
    helper.write_text("from parts_of_own import K\nWEIGHT = 1\n")
    inner.write_text("import own_one\nK = 1\n")
    seen = [module_digest(find_spec("own_one"))]
    for file in (helper, inner):
        file.write_text(file.read_text().replace("= 1", "= -1"))
        seen.append(module_digest(find_spec("own_one")))
    (tmp_path / "another.py").write_text("")
    assert len(set(seen)) == 3
    assert module_digest(find_spec("own_one")) == seen[-1]
    again = module_digest(find_spec("parts_of_own"))  # re-exported by a package
    inner.write_text("import own_one\nK = 2\n")
    assert module_digest(find_spec("parts_of_own")) != again
