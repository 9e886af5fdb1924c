"""Whether anything is lost: a small study is killed, damaged and starved, and must come to the same bytes.

    python benchmarks/faults.py               an hour or more; writes benchmarks/results/kills.csv and faults.csv
    python benchmarks/faults.py faults        only the second half, after kills the first
    python benchmarks/faults.py --quick       two kills, one fault of each kind; only prints

One run is left alone. A second is killed at random times (the workflow, a notebook's runner or a kernel, with SIGKILL)
and started again, until it has been killed often enough; then it may end. After that a finished run is damaged again
and again, one file or folder at a time. After each fault the next run must end, or say in a line which file and what to
do; that is done, and the run after it must end. Whatever happened, every result and table must have the bytes of the
run that was left alone. README.md beside this file says what the numbers mean. For Linux.
"""

import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
from timing import HERE, QUICK, publish

KILLS, FAULTS = (2, 6) if QUICK else (20, 30)
TIMED = "generation_time", "verification.", "runtime."
CLOCKED = re.compile(r"as a multiple of", re.IGNORECASE)  # claims of the verdict that are about seconds
ROOM = 12 * 1024  # bytes: with less no run begins, as Snakemake copies the Snakefile first
VICTIMS = {"the workflow": "snakemake", "a runner": "hadyounot.workflow.notebook", "a kernel": "ipykernel_launcher"}
PROJECT = HERE.parent
STUDY = [  # of the smoke study, and a black box, which jobs of one thread retrain in their kernel
    'models={"surprise-svd": {"kind": "blackbox", "factory": "hadyounot.retrain.peers:SurpriseSVD",'
    ' "settings": {"n_factors": 4, "n_epochs": 60, "lr_all": 0.02, "reg_all": 0.05}}}',
    'cells=[{"dataset": "toy", "model": "mf", "analysed": true},'
    ' {"dataset": "toy", "model": "surprise-svd", "training_users": 10}]',
    'ablations={"families": ["effect"]}',
]


def command(folder: Path, *targets: str) -> list[str | Path]:
    """What runs the two cells in ``folder``, which is unlocked."""
    run = [sys.executable, "-m", "snakemake", *targets, "--snakefile", PROJECT / "Snakefile", "--cores", "2"]
    run += ["--directory", folder, "--configfile", PROJECT / "config/smoke.yaml", "--config", *STUDY]
    subprocess.run([*run, "--unlock"], capture_output=True, check=False)
    return run


def start(folder: Path, *targets: str) -> subprocess.Popen:
    """A run, its output in ``folder/run.log``."""
    with (folder / "run.log").open("w") as log:
        return subprocess.Popen(command(folder, *targets), stdout=log, stderr=subprocess.STDOUT)


def digests(folder: Path) -> dict[str, str]:
    """sha256 by path of all results and tables but for those of seconds."""
    found = {}
    for path in sorted([*folder.glob("results/**/*"), *folder.glob("tables/*")]):
        if not path.is_file() or path.name.startswith((*TIMED, ".")) or path.suffix in (".html", ".md"):
            continue
        if path.name.endswith(".provenance.json"):  # of what is compared anyhow
            continue
        content = path.read_bytes()
        if path.name == "verdict.csv":
            content = "".join(line for line in content.decode().splitlines(True) if not CLOCKED.search(line)).encode()
        found[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def differing(folder: Path, undisturbed: dict[str, str]) -> list[str]:
    """Paths that are not the same in both."""
    now = digests(folder)
    return sorted(path for path in now.keys() | undisturbed if now.get(path) != undisturbed.get(path))


def kill(folder: Path, name: str, rng: random.Random) -> str:
    """Start a run and kill ``name``, a random time later, if it comes to be there: "killed", or "ended" before."""
    run = start(folder)
    workflow, wanted = psutil.Process(run.pid), VICTIMS[name]
    delay, begun, victims = rng.uniform(2, 20), time.monotonic(), []
    while run.poll() is None and (time.monotonic() - begun < delay or not victims):
        time.sleep(0.1)
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [workflow, *workflow.children(recursive=True)]
            victims = [each for each in family if wanted in each.cmdline()]
    if run.poll() is not None:
        return "ended"
    with contextlib.suppress(psutil.NoSuchProcess):
        rng.choice(victims).send_signal(signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.wait(30)
    if run.poll() is None:  # it ends the other job, then says which died
        run.wait()
    return "killed"


# -- faults: each damages a finished run, says which path, how the next run is started, and what puts it right --------

Fault = tuple[Path, list[str], Callable[[], object]]


def _result(folder: Path, rng: random.Random, suffix: str) -> Path:
    return rng.choice(sorted(path for path in folder.glob(f"results/**/*{suffix}") if path.name[0] != "."))


def _whose(path: Path) -> Path:
    """The result that a checksum is of, which goes with it; else the same."""
    return path.with_name(path.name.removesuffix(".provenance.json"))


def flipped(folder: Path, rng: random.Random) -> Fault:
    path = _result(folder, rng, ".parquet")
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return path, [], path.unlink


def truncated(folder: Path, rng: random.Random) -> Fault:
    path = _result(folder, rng, rng.choice([".parquet", ".json", ".npz"]))
    os.truncate(path, rng.randrange(path.stat().st_size))
    return path, [], _whose(path).unlink


def read_only(folder: Path, rng: random.Random) -> Fault:
    path = _result(folder, rng, ".parquet")
    path.unlink()
    path.parent.chmod(0o555)
    return path, ["setpriv", "--bounding-set=-all", "--inh-caps=-all"], lambda: path.parent.chmod(0o755)


def full(folder: Path, rng: random.Random) -> Fault:
    while (size := (path := _result(folder, rng, ".parquet")).stat().st_size) < 2 * ROOM:
        pass
    path.unlink()
    return path, ["prlimit", f"--fsize={size // 2}"], lambda: None


def lost(folder: Path, rng: random.Random) -> Fault:
    path = _result(folder, rng, rng.choice([".parquet", ".json", ".npz", ".csv"]))
    path.unlink()
    return path, [], lambda: _whose(path).unlink(missing_ok=True)


def dated(folder: Path, when: float) -> None:
    """All results have this time."""
    for path in folder.glob("results/**/*"):
        os.utime(path, (when, when))


def clock_set_back(folder: Path, rng: random.Random) -> Fault:
    dated(folder, time.time() + 3600)  # to files, an hour's setting back is an hour in the future
    path = _result(folder, rng, ".parquet")
    path.unlink()
    return path, [], lambda: dated(folder, time.time())


KINDS = flipped, truncated, read_only, full, lost, clock_set_back


def faulty(folder: Path, rng: random.Random, kind: Callable[[Path, random.Random], Fault]) -> dict[str, object]:
    """One fault, and what came of it: how many runs it took to the end, and what the one that failed said."""
    dated(folder, time.time())
    path, by, mend = kind(folder, rng)
    left = path.read_bytes() if path.exists() else None
    shown = path.relative_to(folder).as_posix()
    # the file itself too: nothing else asks for one that all that is made of it outlives
    wanted = ["all", _whose(path).relative_to(folder).as_posix()]
    # through a pipe, as to a terminal: a limit on files is none on what is said
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    run = subprocess.run([*by, *command(folder, *wanted)], **piped, check=False)
    if run.returncode == 0:
        if left is not None and path.read_bytes() == left:  # nothing read it; a later run that does would say so
            mend()
            ended = start(folder, *wanted).wait()
            return {"what": kind.__name__, "where": shown, "runs": "never" if ended else 1, "said": "read by nothing"}
        return {"what": kind.__name__, "where": shown, "runs": 1, "said": ""}
    lines = run.stdout.splitlines()
    wrong = re.compile(r"delete it|cannot be written|older modification time")
    said = [line.strip() for line in lines if wrong.search(line) and not line.lstrip().startswith('"')]  # nor JSON
    mend()
    ended = start(folder, *wanted).wait()
    told = said[0].replace(f"{PROJECT}/", "") if said else "NOTHING THAT NAMES IT"
    return {"what": kind.__name__, "where": shown, "runs": 2 if ended == 0 else "never", "said": told}


@contextlib.contextmanager
def folders() -> Iterator[tuple[Path, Path]]:
    """Of a finished run that is left alone, and another: in a temporary place, whose logs stay if anything is wrong."""
    place = Path(tempfile.mkdtemp(prefix="hadyounot-faults-"))
    for name in ("alone", "disturbed"):
        (place / name).mkdir()
    if start(place / "alone").wait() != 0:
        raise RuntimeError(f"the run that was left alone failed: {place / 'alone/run.log'}")
    yield place / "alone", place / "disturbed"
    shutil.rmtree(place)


def kills() -> Iterator[dict[str, object]]:
    """A row for each kill; and, for each run that came to its end, how much of it differs."""
    rng, killed = random.Random(0), 0
    with folders() as (alone, disturbed):
        undisturbed = digests(alone)

        def end() -> dict[str, object]:
            unlike = differing(disturbed, undisturbed)
            print(*unlike, sep="\n")
            return {"what": "to the end", "differing": len(unlike), "compared": len(undisturbed)}

        while killed < KILLS:
            name = [*VICTIMS][killed % len(VICTIMS)]
            if kill(disturbed, name, rng) == "killed":
                killed += 1
                yield {"what": f"kill {name}"}
            else:  # another one, from nothing
                yield end()
                shutil.rmtree(disturbed)
                disturbed.mkdir()
        if start(disturbed).wait() != 0:
            raise RuntimeError(f"the killed run does not go on: {disturbed / 'run.log'}")
        yield end()


def faults() -> Iterator[dict[str, object]]:
    """A row for each fault of a finished run, and how much of it differs after what was said is done."""
    rng = random.Random(0)
    with folders() as (alone, disturbed):
        undisturbed = digests(alone)
        shutil.copytree(alone, disturbed, dirs_exist_ok=True)
        for number in range(FAULTS):
            row = faulty(disturbed, rng, KINDS[number % len(KINDS)])
            unlike = differing(disturbed, undisturbed)
            print(*unlike, sep="\n")
            yield row | {"differing": len(unlike), "compared": len(undisturbed)}


def main() -> None:
    halves = {"kills": kills, "faults": faults}
    for name in [each for each in halves if each in sys.argv] or halves:
        rows = []
        for row in halves[name]():
            rows.append(row)
            publish({name: pd.DataFrame(rows)})  # so far


if __name__ == "__main__":
    main()
