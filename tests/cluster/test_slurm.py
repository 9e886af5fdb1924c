"""The smoke study on a Slurm of two nodes that this starts on this machine: not part of ``make test``.

``make test-cluster`` runs it. It needs Debian's ``slurm-wlm`` and ``munge`` (``apt-get install --no-install-recommends
slurm-wlm munge``), root, and ``pip install snakemake-executor-plugin-slurm`` in .venv; it says so where one is missing.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest
from hadyounot.study import paths
from test_notebook import wait_for
from test_workflow import SMOKE, command, contents, snakemake

MISSING = [
    *(f"{tool} (Debian: slurm-wlm, munge)" for tool in ("munged", "slurmctld", "slurmd") if not shutil.which(tool)),
    *(["root"] if os.getuid() else []),
    *([] if importlib.util.find_spec("snakemake_executor_plugin_slurm") else ["snakemake-executor-plugin-slurm (pip)"]),
]
NODES = "n1", "n2"
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=3600
SlurmdTimeout=10
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=8000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=8000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count):
    """Ports of this machine that nothing listens on."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class Slurm:
    """One controller and two nodes, each a daemon of this machine, all on loopback."""

    def __init__(self, folder: Path):
        self.folder, self.conf = folder, folder / "slurm.conf"
        (folder / "state").mkdir()
        for node in NODES:
            (folder / node).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        self.conf.write_text(CONF.format(host=socket.gethostname(), folder=folder, ports=free_ports(3)))
        told = {f"--{name}-file": f"munge.{name.split('-')[0]}" for name in ("key", "pid", "log", "seed")}
        files = [f"{option}={folder}/{name}" for option, name in told.items()]
        subprocess.run(["munged", "--force", f"--socket={folder}/munge.sock", *files], check=True)
        subprocess.run(["slurmctld", "-f", self.conf], check=True)
        for node in NODES:
            self.join(node)
        wait_for(lambda: self.says("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == "2", 60)

    @property
    def env(self):
        return os.environ | {"SLURM_CONF": str(self.conf)}

    def says(self, *words):
        return subprocess.run(words, env=self.env, capture_output=True, text=True).stdout

    def join(self, node):
        subprocess.run(["slurmd", "-N", node, "-f", self.conf], check=True)

    def leave(self, name):
        """Kill -9 the daemon of a node, or another."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.folder / f"{name}.pid").read_text()), signal.SIGKILL)


@pytest.fixture
def slurm():
    if MISSING:
        pytest.skip(f"not there: {', '.join(MISSING)}")
    with tempfile.TemporaryDirectory() as folder:  # a short path: sockets lie in it
        cluster = Slurm(Path(folder))
        yield cluster
        for name in (*NODES, "slurmctld", "munge"):
            cluster.leave(name)


def running(slurm, stage):
    """Ids of the jobs of a stage that Slurm runs now."""
    lines = slurm.says("squeue", "-h", "-t", "R", "-o", "%i %k").splitlines()
    return [line.split()[0] for line in lines if stage in line]


def test_a_job_and_a_node_are_lost_and_every_table_has_the_bytes_of_a_local_run(slurm, tmp_path):
    far, near = tmp_path / "slurm", tmp_path / "local"
    far.mkdir()
    near.mkdir()
    profile = ["--profile", str(paths.PROJECT / "profiles/slurm")]
    swift = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "8"]
    log = (tmp_path / "printed").open("w")
    study = subprocess.Popen(command(far, *profile, *swift), env=slurm.env, stdout=log, stderr=log)
    try:
        wait_for(lambda: running(slurm, "simulate") or study.poll() is not None, 600)
        slurm.says("scancel", running(slurm, "simulate")[0])
        wait_for(lambda: running(slurm, "surrogates") or study.poll() is not None, 600)
        slurm.leave("n2")
        wait_for(lambda: "n2" in slurm.says("sinfo", "-h", "-N", "-t", "down", "-o", "%N"), 120)
        slurm.join("n2")
        study.wait(3600)
    finally:
        for process in psutil.Process(study.pid).children(recursive=True) if study.poll() is None else []:
            process.kill()
        study.kill()
    printed = (tmp_path / "printed").read_text()
    assert study.returncode == 0, printed[-5000:]
    assert "Trying to restart job" in printed
    snakemake(near, "--cores", "2", study=SMOKE)
    made = ("tables/*.csv", "results/**/*.parquet")
    assert contents(far, *made) == contents(near, *made)
