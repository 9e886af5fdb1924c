# The artifact as `make` sets it up, from the same lock. Build, then run; mount a folder to keep what it writes:
#   docker build --tag hadyounot .
#   docker run --rm --volume "$PWD/runs:/hadyounot/runs" hadyounot make smoke
FROM python:3.11-slim-bookworm
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends make rsync && rm -rf /var/lib/apt/lists/*
WORKDIR /hadyounot
COPY . .
RUN make .venv/ready
# where pods of profiles/kubernetes find python, snakemake and pip; rsync is for their storage
ENV PATH="/hadyounot/.venv/bin:$PATH"
CMD ["make"]
