"""The smoke study on a Slurm of this machine, by profile alone: ``make test-cluster``, for Linux, as root."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from hadyounot.report.tables import TABLES
from hadyounot.study import paths, yaml_file

PROJECT = paths.PROJECT
SMOKE = ["--snakefile", str(PROJECT / "Snakefile"), "--configfile", str(PROJECT / "config/smoke.yaml")]
PROFILE = PROJECT / "profiles/slurm"
NODES = "one", "two"
TIMED = {"runtime", "verification"}  # tables that hold seconds

CONFIGURATION = """
ClusterName=hadyounot
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool.%n
SlurmdPidFile={place}/%n.pid
SlurmctldPidFile={place}/controller.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/none
MinJobAge=3600
ReturnToService=2
SlurmdTimeout=60
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def wait_for(what, seconds):
    """Until ``what()`` is true, or an error."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"{what} not within {seconds} s"
        time.sleep(0.2)
    return found


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Cluster(NamedTuple):
    """A controller and the daemons of its nodes."""

    place: Path
    env: dict[str, str]
    daemons: dict[str, subprocess.Popen]

    def start(self, name: str, *command: str) -> None:
        with (self.place / f"{name}.log").open("a") as log:
            self.daemons[name] = subprocess.Popen(command, stdout=log, stderr=log, env=self.env)

    def start_node(self, name: str) -> None:
        self.start(name, "slurmd", "-D", "-N", name, "-f", str(self.place / "slurm.conf"))

    def says(self, *command: str) -> str:
        return subprocess.run(command, env=self.env, capture_output=True, text=True).stdout

    def running(self) -> list[str]:
        """Numbers of jobs."""
        return self.says("squeue", "--noheader", "--states=RUNNING", "--format=%i").split()


@pytest.fixture(scope="module")
def cluster():
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name)]
    if missing or os.geteuid():
        pytest.fail(f"{', '.join(missing)} missing: as root, apt-get install slurm-wlm munge", pytrace=False)
    if " " in sys.executable:
        pytest.fail(f"{sys.executable}: Snakemake's executor starts no Python with a space in its path", pytrace=False)
    place = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: a socket's path has 107 characters at most
    for folder in ("state", "bin", *(f"spool.{name}" for name in NODES)):
        (place / folder).mkdir()
    host, (controller, *ports) = socket.gethostname().partition(".")[0], [free_port() for _ in range(1 + len(NODES))]
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=8000 State=UNKNOWN"
        for name, port in zip(NODES, ports, strict=True)
    )
    conf = place / "slurm.conf"
    conf.write_text(CONFIGURATION.format(host=host, controller=controller, place=place, nodes=nodes))
    wrapper = place / "bin/srun"  # which a job calls after Snakemake has taken all SLURM_* out of its environment
    wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun")} "$@"\n')
    wrapper.chmod(0o755)
    found = Cluster(place, os.environ | {"SLURM_CONF": str(conf), "PATH": f"{place}/bin:{os.environ['PATH']}"}, {})
    key = place / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    told = {"key-file": key, "socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "munge.seed"}
    munge = [f"--{option}={place / file}" for option, file in told.items()]
    found.start("munge", "munged", "--foreground", "--force", f"--log-file={place}/munge.log", *munge)
    try:
        wait_for((place / "munge.socket").exists, 20)
        found.start("controller", "slurmctld", "-D", "-f", str(conf))
        for name in NODES:
            found.start_node(name)
        wait_for(lambda: found.says("sinfo", "--noheader", "--format=%t %D").split() == ["idle", "2"], 60)
        yield found
    except AssertionError:
        for log in place.glob("*.log"):
            print(log.name, log.read_text()[-2000:], sep="\n")
        raise
    finally:
        for daemon in reversed(found.daemons.values()):
            daemon.terminate()
            daemon.wait(60)
        shutil.rmtree(place)


def on_slurm(cluster: Cluster, folder: Path) -> subprocess.Popen:
    """A run of the smoke study by the profile."""
    squeue = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "8"]
    log = (folder / "run.log").open("a")
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", str(PROFILE), *squeue]
    return subprocess.Popen([*command, "--directory", str(folder), *SMOKE], env=cluster.env, stdout=log, stderr=log)


def tables(folder: Path) -> dict[str, bytes]:
    """Each, but for those of seconds."""
    return {path.stem: path.read_bytes() for path in folder.glob("tables/*.csv") if path.stem not in TIMED}


def test_a_job_and_a_daemon_are_killed_and_every_table_is_that_of_a_run_without_slurm(cluster, tmp_path):
    here, there = tmp_path / "here", tmp_path / "on slurm"
    here.mkdir()
    there.mkdir()
    local = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(here), *SMOKE]
    subprocess.run(local, check=True, capture_output=True)
    first = on_slurm(cluster, there)
    (job, *_) = wait_for(cluster.running, 300)
    cluster.says("scancel", job)
    assert first.wait(1200) != 0
    assert "at least one job did not complete" in (there / "run.log").read_text().lower()

    second = on_slurm(cluster, there)
    wait_for(cluster.running, 300)
    cluster.daemons["one"].send_signal(signal.SIGKILL)
    cluster.daemons["one"].wait()
    time.sleep(5)
    cluster.start_node("one")
    code = second.wait(2400)
    if code:  # a job of that node was lost: the next run makes it again
        assert on_slurm(cluster, there).wait(2400) == 0
    assert len(tables(here)) > 15
    assert tables(there) == tables(here)
    assert not [each for each in psutil.process_iter() if "slurmstepd" in each.name()]


def test_all_tables_are_one_group_of_the_profile():
    profile = yaml_file.yaml.safe_load((PROFILE / "config.yaml").read_text())
    assert profile["groups"] == {f"write_{name}": "tables" for name in TABLES}
