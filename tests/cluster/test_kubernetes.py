"""The smoke study by the profile of Kubernetes: planned, and run with empty folders for pods: ``make test-cluster``."""

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hadyounot.study import paths

PROFILE = ["--workflow-profile", "profiles/kubernetes", "--configfile", "config/smoke.yaml"]
CELL = ["--config", 'cells=[{"dataset": "toy", "model": "mf", "analysed": true}]']
WANTED = "results/toy/mf/evaluation.parquet", "results/toy/mf/naive.parquet", "tables/table3_mf.csv"
TIMED = {"generation_time.parquet"}  # seconds

POD = """#!/bin/sh
# a job is told no folder, so it works in this one; what it is called is said, and goes on
pod=$(mktemp -d "{pods}/XXXXXX")
cp "$1" "$pod/job"
(cd "$pod" && env PATH="{path}:$PATH" sh job > said 2>&1; echo $? > "$pod/code") > /dev/null 2>&1 &
echo "$pod"
"""
STATUS = """#!/bin/sh
test -e "$1/code" || {{ echo running; exit; }}
test "$(cat "$1/code")" = 0 && echo success || echo failed
"""


@pytest.fixture
def project(tmp_path) -> Path:
    """What git knows of the project, as far as a run reads it, in a repository of its own."""
    folder = tmp_path / "project"
    for name in ("config", "envs", "notebooks", "profiles"):
        shutil.copytree(paths.PROJECT / name, folder / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    shutil.copy(paths.PROJECT / "Snakefile", folder)
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def snakemake(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "snakemake", *options]
    run = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert run.returncode == 0, run.stdout
    return run.stdout


def jobs(printed: str) -> list[str]:
    return sorted(re.findall(r"^Job \d+: (.+)", printed, re.M))


def test_a_dry_run_by_the_profile_plans_what_one_without_it_does_and_stores_it_in_the_volume(project):
    planned = snakemake(project, *PROFILE, "--dry-run")
    assert jobs(planned) == jobs(snakemake(project, "--configfile", "config/smoke.yaml", "--dry-run"))
    assert "/runs/results/toy/mf/evaluation.parquet (in storage)" in planned
    missing = re.findall(r"Missing output files: (.+?)(?:;|$)", planned, re.M)
    assert len(missing) > 50
    assert all(each.startswith("/runs/") for line in missing for each in line.split(", "))


def test_pods_that_share_nothing_but_the_volume_make_the_same_bytes(project, tmp_path):
    volume, pods, here = (tmp_path / name for name in ("volume", "pods", "here"))
    for folder in (volume, pods, here):
        folder.mkdir()
    told = []
    for name, text in (("submit-cmd", POD), ("status-cmd", STATUS)):
        script = tmp_path / name
        script.write_text(text.format(pods=pods, path=Path(sys.executable).parent))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        told += [f"--cluster-generic-{name}", str(script)]
    deployed = ["--executor", "cluster-generic", "--job-deploy-sources", "--shared-fs-usage", "none", "--jobs", "2"]
    snakemake(project, *WANTED, *PROFILE, *deployed, *told, "--default-storage-prefix", str(volume), *CELL)
    assert not (project / "results").exists()
    assert len([*pods.iterdir()]) == 9  # jobs

    local = ["--cores", "2", "--directory", str(here), "--configfile", "config/smoke.yaml", *CELL]
    snakemake(project, *WANTED, *local)
    made = [path.relative_to(volume) for path in volume.glob("**/*") if path.is_file()]
    made = [path for path in made if path.parts[0] in ("results", "tables") and path.suffix != ".html"]
    assert {str(path) for path in made} > {*WANTED}
    unlike = {path.name for path in made if (volume / path).read_bytes() != (here / path).read_bytes()}
    assert unlike <= TIMED | {path.name for path in made if path.name.endswith(".provenance.json")}
