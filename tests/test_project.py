"""The repository itself: pins, generated pages, README's code, formats, and nothing in it that should not be."""

import ast
import doctest
import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib

import numpy as np
import pandas as pd
import pytest
import yaml
from hadyounot.report import output
from hadyounot.study import paths
from hadyounot.study.config import load_study
from hadyounot.study.methods import METHOD, family
from hadyounot.workflow import docs
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from PIL import Image

PROJECT = paths.PROJECT


def tracked():
    """Every file that git has or would take in."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, cwd=PROJECT, capture_output=True, text=True, check=True)
    return [PROJECT / name for name in sorted(set(done.stdout.split("\0"))) if name and (PROJECT / name).is_file()]


FILES = tracked()


def requirements(name):
    """Those of a requirements file: name to requirement."""
    lines = [line.partition("#")[0].strip() for line in (PROJECT / "envs" / name).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


# -- pins -------------------------------------------------------------------------------------------------------------


def test_the_lock_pins_exactly_with_hashes_and_covers_what_is_needed():
    wanted = requirements("requirements.in") | requirements("tests.in")
    lock = (PROJECT / "envs/requirements.lock").read_text()
    entries = re.findall(r"^(\S+) \\\n((?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", lock, re.M)
    assert len(entries) == len(re.findall(r"^[^#\s]", lock, re.M)), "a package without hashes"
    pinned = {canonicalize_name(Requirement(entry).name): Requirement(entry) for entry, _ in entries}
    assert set(wanted) - set(pinned) == {"torch"}
    for name, requirement in (pinned | {"torch": wanted["torch"]}).items():
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert not Version(pin.version).local, f"{name}: {pin.version} is one machine's build"
        if name in wanted:
            assert wanted[name].specifier.contains(pin.version), name


def test_set_up_takes_a_python_whose_path_has_a_space(tmp_path):
    python = tmp_path / "an environment" / "python3.11"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho asked $1; exit 3\n")
    python.chmod(0o755)
    shutil.copy(PROJECT / "Makefile", tmp_path)
    for name in ("envs/requirements.lock", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    done = subprocess.run(["make", ".venv/ready", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "asked -c" in done.stdout.splitlines()  # make of make says more


def test_every_pin_takes_the_oldest_python_that_the_package_does():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    (oldest,) = (part.version for part in SpecifierSet(project["requires-python"]) if part.operator == ">=")
    lock = (PROJECT / "envs/requirements.lock").read_text()
    for name in re.findall(r"^(\S+)==", lock, re.M):
        # a backport that Snakemake brings may answer, whose [] raises where nothing is said
        needed = importlib.metadata.metadata(name).get("Requires-Python", "")
        assert SpecifierSet(needed).contains(f"{oldest}.0"), f"{name} needs Python {needed}: pin an older one"


def test_every_direct_need_has_its_reason():
    texts = [(PROJECT / "envs" / name).read_text() for name in ("requirements.in", "tests.in")]
    for line in "\n".join(texts).splitlines():
        if line and not line.startswith("#"):
            assert re.search(r"\S  *# \S.{5,}|^(pytest|hypothesis)$", line), line


def test_the_package_and_conda_take_the_same_pins():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"] == ["envs/requirements.in"]
    peers = {canonicalize_name(name) for name in project["project"]["optional-dependencies"]["peers"]}
    assert peers <= set(requirements("tests.in"))
    conda = (PROJECT / "envs/environment.yaml").read_text()
    assert "--requirement requirements.lock" in conda
    minor = re.search(r"python=(3\.\d+)", conda)[1]
    assert project["project"]["requires-python"].startswith(f">={minor}")
    imported = {
        name.partition(".")[0]
        for path in (PROJECT / "lib").rglob("*.py")
        for name in re.findall(r"^\s*(?:import|from) (\w[\w.]*)", path.read_text(), re.M)
    } - sys.stdlib_module_names
    names = {"sklearn": "scikit-learn", "yaml": "pyyaml", "PIL": "pillow"}
    direct = set(requirements("requirements.in"))
    # which numba, papermill, nbconvert and ipykernel need at versions of their own choice
    pulled = {"llvmlite", "ipython", "nbformat", "nbclient", "jupyter-client", "traitlets"}
    assert {canonicalize_name(names.get(name, name)) for name in imported} <= direct | pulled | {"hadyounot"}


# -- pages made from code ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", docs.PAGES)
def test_generated_pages_are_up_to_date(place):
    page = docs.PAGES[place]()
    assert (PROJECT / place).read_text(encoding="utf-8") == page, "run: python -m hadyounot.workflow.docs"


def test_the_numbers_in_the_findings_are_those_of_the_kept_tables():
    kept = PROJECT / "docs/results/paper"
    text = " ".join((PROJECT / "docs/findings.md").read_text(encoding="utf-8").split())
    tables = {name: pd.read_csv(kept / f"tables/{name}.csv") for name in ("ablations", "signal", "surrogate_quality")}
    tables |= {name: pd.read_csv(kept / f"tables/{name}.csv") for name in ("table3_mf", "table4_ncf", "mcnemar")}
    # 2: on users held out, and on users never seen
    papers = ["linear_reg", "mlp_reg"]
    fits = [json.loads(path.read_text()) for path in kept.glob("results/*/*/surrogates.json")]
    assert (
        f"at most {max(fit['fits'][fit['methods'][name]]['r2'] for fit in fits for name in papers):.3f} in every"
        in text
    )
    more: dict[str, list[float]] = {}
    for path in kept.glob("results/*/*/surrogates.json"):
        fit = json.loads(path.read_text())
        told = [fit["fits"][fit["methods"][name]] for name in ("linear_clf", "mlp_clf")]
        more[path.parent.name] = [100 * (each["accuracy"] - each["majority"]) for each in told]
    neural = more["ncf"] + more["ncf-netflix"]
    factors = [each for name, some in more.items() if name.startswith("mf") for each in some]
    assert f"for at most {max(factors):.1f} points more rows" in text
    assert f"for {min(neural):.1f} to {max(neural):.1f} more on the two neural models that move" in text
    quality = tables["surrogate_quality"].query("predictor in @papers").groupby("n_targets")["r2"].max()
    assert f"at most {quality[20]:z.3f} over the top 20 items and {quality[1]:.2f} of the top one" in text
    # 5: nothing deleted, beside the best that retrains nothing
    validity = pd.concat([tables["table3_mf"], tables["table4_ncf"]])
    shares = 100 * validity[validity["top_k"] == 1].pivot(index="model", columns="method", values="validity")
    told = shares[[name for name in shares if METHOD[name].role != "control" and not METHOD[name].proves]].max(axis=1)
    less = shares.index[shares["reseed"] < told]
    assert less.tolist() == ["mf-netflix", "ncf-netflix"]
    (reseed, best), (neural, neural_best) = zip(shares.loc[less, "reseed"], told[less], strict=True)
    assert (
        f"{reseed:.1f} % at K = 1, where ours has {best:.1f}, on Netflix × ncf {neural:.1f} and {neural_best:.1f}"
        in text
    )
    # 6
    signal = tables["signal"].set_index("model")["ratio"]
    lowest = signal.sort_values()
    assert lowest.index[:2].tolist() == ["ncf", "ncf-netflix"]
    assert (
        f"{lowest.iloc[0]:.0f} times as much as a stranger's on MovieLens-100K × ncf, {lowest.iloc[1]:.0f} on" in text
    )
    assert f"and {np.floor(lowest.iloc[2]):.0f} times or more elsewhere" in text
    # 7, 8
    variants = 100 * tables["ablations"].query("top_k == 1").set_index("variant")["validity"]
    with_residual = f"with it {variants['lasso-residual']:.1f} % (`lasso-residual`)"
    assert (
        f"without the residual {variants['lasso-target']:.1f} % hold at K = 1 (`lasso-target`), {with_residual}" in text
    )
    compared = pd.read_csv(PROJECT / "benchmarks/results/unlearned.csv")
    more = compared["only_ours"] - compared["only_unlearned"]
    apart = compared[compared["p_value"] < 0.05]
    assert apart[["dataset", "model", "top_k"]].values.tolist() == [["ml-100k", "ncf", k] for k in (1, 3)]
    first, third = more[apart.index] / 2  # of 200 users
    assert f"on MovieLens-100K × ncf learning adds {first:g} and {third:g} points at K = 1 and 3" in text
    factors = more[compared["model"].str.startswith("mf")]
    assert f"of valid users of the two differ by at most {factors.abs().max()} of 200 at any K" in text
    assert f"and all {compared['repeated'][compared['top_k'] == 1].sum():,} are the run's" in text
    assert (compared["repeated"] == compared["verdicts"]).all()
    # 10
    pairs = tables["mcnemar"].groupby(["model", "top_k"]).size()
    assert f"over the {pairs.unique().item()} pairs of methods of a cell and K" in text


def test_the_page_on_python_speaks_the_truth():
    page = "docs/python.md"
    blocks = re.findall(r"^```python\n(.*?)^```", (PROJECT / page).read_text(encoding="utf-8"), re.M | re.S)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page, page, 0)
    assert test.examples
    report = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.DocTestRunner(optionflags=flags).run(test, out=report.append).failed == 0, "".join(report)


def headings(page) -> set[str]:
    """What GitHub makes of the headings of a page, to link to."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def test_links_of_the_pages_lead_somewhere():
    for page in (path for path in FILES if path.suffix == ".md"):
        for target, _, heading in re.findall(r"\]\(([^)#\s]*)(#([^)\s]+))?\)", page.read_text(encoding="utf-8")):
            if not re.match(r"https?:|mailto:", target):
                there = page.parent / target if target else page
                assert there.exists(), f"{page.name}: {target}"
                assert not heading or heading in headings(there), f"{page.name}: {target}#{heading}"


# -- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "check",
    [
        "ruff check .",
        "ruff format --check .",
        "snakefmt --check Snakefile",
        "nbstripout --verify --keep-id {notebooks}",
    ],
)
def test_format(check):
    module, *arguments = check.split()
    notebooks = [str(path) for path in FILES if path.suffix == ".ipynb"]
    arguments = [word for argument in arguments for word in (notebooks if argument == "{notebooks}" else [argument])]
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# -- what is in the repository ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "Makefile", ".ci/run"])
def test_the_files_that_a_reader_looks_for(name):
    assert PROJECT / name in FILES


def test_one_version_everywhere():
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (PROJECT / "CITATION.cff").read_text()
    assert f"\n## {version}" in (PROJECT / "CHANGELOG.md").read_text()


def test_a_checker_finds_what_the_manifest_promises():
    study = load_study(PROJECT / "config/study.yaml")
    made = {path for name in output.names(study) for path in output.written(name, study).values()}
    manifest = yaml.safe_load((PROJECT / "codecheck.yml").read_text())["manifest"]
    assert {each["file"] for each in manifest} <= made


def test_a_checker_compares_with_the_study_that_make_runs():
    study, kept = load_study(PROJECT / "config/study.yaml"), PROJECT / "docs/results/make"
    tables = {name: pd.read_csv(kept / f"{name}.csv") for name in ("table3_mf", "table4_ncf", "ablations")}
    assert {tuple(table["n_users"].unique()) for table in tables.values()} == {(study.explanation.test_users,)}
    size, ablations = study.explanation.explanation_size, tables["ablations"]
    for name in study.ablations.families:
        kept_variants = set(ablations.loc[ablations["family"] == name, "variant"])
        assert kept_variants == {variant.name for variant in family(name, study.ablations, size)}
    counts = study.counterfactual
    told = f"{counts.training_users} training users × {counts.deletions_per_user} deletions"
    said = " ".join((kept / "README.md").read_text(encoding="utf-8").split())
    assert f"{told}, {study.explanation.test_users} test users" in said


FOREIGN = {  # a bracket in each keeps this file from matching itself
    "a package registry's host": r"[p]ypi\.(?:org|python)|[p]ythonhosted|[a]naconda\.(?:org|com)|[p]ytorch\.org/whl"
    r"|[r]egistry\.npm|[c]rates\.io|[p]roxy\.golang",
    "a path of one machine": r"""(?<![\w.:/<}*-])/[w]ork/|(?<![\w.:/<}*-])/(?:[h]ome|[r]oot|[U]sers|[m]nt)/|[C]:\\""",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_names(what):
    for path in FILES:
        content = path.read_bytes()
        if b"\0" not in content:
            found = re.search(FOREIGN[what], content.decode("utf-8"))
            assert not found, f"{path.relative_to(PROJECT)}: {found[0]}"


def test_no_file_is_large():
    sizes = {path: path.stat().st_size for path in FILES}
    assert {str(path.relative_to(PROJECT)): size for path, size in sizes.items() if size > 2**20} == {}
    snapshot = PROJECT / "docs/results/paper"
    assert sum(size for path, size in sizes.items() if path.is_relative_to(snapshot)) < 8 * 2**20


def test_no_data_and_no_output_of_a_run_is_kept_outside_the_snapshots():
    snapshots = (PROJECT / "docs/results", PROJECT / "benchmarks/results")
    for path in FILES:
        assert path.suffix not in {".npz", ".npy", ".zip", ".whl", ".data", ".item", ".inter", ".pkl"}, path
        if path.suffix == ".parquet":  # of a snapshot, which holds no rating and no outcome
            snapshot = PROJECT.joinpath(*path.relative_to(PROJECT).parts[:4])
            assert snapshot in {PROJECT / f"docs/results/{name}/results" for name in ("paper", "worlds")}, path
            assert path.stem not in {"ratings", "users", "items"}, path
            assert "outcomes" not in path.parts, path
        if path.suffix in {".csv", ".tsv", ".png", ".pdf", ".html"}:
            assert any(map(path.is_relative_to, (PROJECT / "docs", PROJECT / "examples", *snapshots))), path
    for folder in ("tables", "figures"):  # what a rule writes must not be there in a fresh clone: it would not run
        assert [path.name for path in FILES if path.parent == PROJECT / folder] == ["README.md"]


def test_figures_of_the_paper_s_counts_are_seen_at_once():
    """In a window of 1280 × 720, beside the report's margins."""
    pictures = sorted((PROJECT / "docs/results/paper/figures").glob("*.png"))
    assert pictures
    for path in pictures:
        width, height = Image.open(path).size
        assert (width <= 1200, height <= 690) == (True, True), path


def test_benchmarks_import_what_is_there():
    for path in sorted((PROJECT / "benchmarks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "hadyounot":
                module = importlib.import_module(node.module)
                for alias in node.names:
                    found = hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}")
                    assert found, f"{path.name}: {node.module}.{alias.name}"
