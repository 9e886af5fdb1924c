# make            set up, then the default study: tables/, figures/, report.html
# make study      another study, in a folder of runs/: CONFIG=examples/my-shop/study.yaml, of an own recommender, say
# make smoke      the same on a tiny study, in runs/smoke
# make paper      the paper's own counts, in runs/paper; stop it and start it again as you like
# make worlds     what decides the numbers: many recommenders, protocols, splits and seeds, in runs/worlds; likewise
# make survey     the survey of section 6 from the explanations of a cell (CELL=ml-100k/mf), as a page in results/
# make figures    every table (but runtime) and figure of the run in docs/results/paper again, in place, without retraining; FIGURE=figure7;
#                 SNAPSHOT=docs/results/worlds for those of make worlds
# make archive    the outcomes of make paper as a folder and a zip in dist/, to be given away (CONFIG=... for another study)
# make verify     retrain ROWS=100 random rows of each cell of that archive, and compare them bit for bit
# make site       the executed notebooks of that study as a site that needs no network, in site/ (CONFIG=... for another study)
# make plan       what paper would cost on this machine, before it starts (CONFIG=config/worlds.yaml for another)
# make test       every test
# make test-fast  those that take no long time each
# make test-cluster  a study on a Slurm of this machine, and as on Kubernetes; for Linux, as root, with slurm-wlm, munge and rsync
# make lab        the notebooks in JupyterLab
# make app        explore.ipynb as a page of its own, at the address that it prints
# make lock       pin all packages anew

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/ready
CONFIG :=
CELL ?= ml-100k/mf
ROWS ?= 100
SNAPSHOT ?= docs/results/paper
SNAKEMAKE := $(BIN)/snakemake
TESTS := --numprocesses 2 --dist loadfile

.PHONY: study smoke paper worlds survey figures archive verify site plan test test-fast test-cluster lab app lock
.DEFAULT_GOAL := study

# where the study of CONFIG runs: runs/my-shop for examples/my-shop/study.yaml, runs/worlds for config/worlds.yaml
FOLDER = runs/$(shell name=$$(basename "$(CONFIG)" .yaml); test "$$name" != study || name=$$(basename "$$(cd "$$(dirname "$(CONFIG)")" && pwd)"); echo "$$name")

define RUN
	mkdir -p "$(1)"
	$(SNAKEMAKE) --directory "$(1)" --configfile "$(2)"
	test -f "$(1)/report.html" && test -z "$$(find "$(1)/tables" "$(1)/figures" "$(1)/results/html" notebooks/captions -newer "$(1)/report.html" -print -quit)" || $(SNAKEMAKE) --directory "$(1)" --configfile "$(2)" --report report.html
	@cat "$(1)/tables/runtime.md"
	@echo "Tables: $(1)/tables    Figures: $(1)/figures    Report: $(1)/report.html"
endef

study: $(READY)
	$(call RUN,$(if $(CONFIG),$(FOLDER),.),$(or $(CONFIG),config/study.yaml))

smoke: $(READY)
	$(call RUN,runs/smoke,config/smoke.yaml)

paper: $(READY)
	$(call RUN,runs/paper,config/paper.yaml)

worlds: $(READY)
	$(call RUN,runs/worlds,config/worlds.yaml)

survey: $(READY)
	$(SNAKEMAKE) $(if $(CONFIG),--directory "$(FOLDER)" --configfile "$(CONFIG)" --) results/$(CELL)/survey.html

figures: $(READY)
	$(BIN)/python -m hadyounot.workflow.snapshot draw "$(SNAPSHOT)" $(FIGURE)

archive: $(READY)
	mkdir -p dist
	$(BIN)/python -m hadyounot.workflow.archive build "$(or $(CONFIG),config/paper.yaml)" "$(if $(CONFIG),$(FOLDER),runs/paper)" dist/outcomes

verify: $(READY)
	$(BIN)/python -m hadyounot.workflow.archive verify dist/outcomes --rows $(ROWS)

site: $(READY)
	$(BIN)/python -m hadyounot.workflow.site "$(or $(CONFIG),config/study.yaml)" "$(if $(CONFIG),$(FOLDER),.)" "$(if $(CONFIG),$(FOLDER)/)site"

plan: $(READY)
	$(BIN)/python -m hadyounot.workflow.plan "$(or $(CONFIG),config/paper.yaml)"

test: $(READY)
	$(BIN)/python -m pytest $(TESTS)

test-fast: $(READY)
	$(BIN)/python -m pytest $(TESTS) -m "not slow"

test-cluster: $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement envs/cluster.txt
	$(BIN)/python -m pytest tests/cluster

lab: $(READY)
	$(BIN)/jupyter lab --notebook-dir=notebooks

app: $(READY)
	$(BIN)/voila --no-browser --Voila.ip=127.0.0.1 --Voila.auto_token=True notebooks/explore.ipynb

$(READY): envs/requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Python 3.11 is needed: make PYTHON=/path/to/python3.11")'
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --no-compile --disable-pip-version-check --quiet --require-hashes --requirement envs/requirements.lock
	$(BIN)/python -m pip install --no-compile --disable-pip-version-check --quiet --no-build-isolation --editable .
	$(BIN)/python -m compileall -q -j 0 -x '/tests/' .venv/lib lib >/dev/null || true  # by all cores, which pip does by one
	touch $(READY)

# every package with its hashes but torch, whose file differs between machines (a CPU build, a CUDA build of one version);
# its version is pinned in requirements.in, which the package itself asks for
lock: $(READY)
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file envs/requirements.lock envs/requirements.in envs/tests.in
	awk 'BEGIN { keep = 1 } /^[^ ]/ { keep = !/^torch==/ } keep' envs/requirements.lock > envs/requirements.lock.new && mv envs/requirements.lock.new envs/requirements.lock
