# An image with raycompare for Kubernetes (docs/kubernetes.md), with the packages that cluster.yaml installs.
# Torch brings its CUDA libraries; the driver is that of the machine.
#     docker build -t raycompare .
FROM python:3.12-slim

# KubeRay's probes call wget.
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 ray
WORKDIR /home/ray/raycompare

# Installed for all, not into a virtual environment: KubeRay starts Ray in a login shell, which resets PATH.
COPY --chown=ray pyproject.toml constraints.txt README.md LICENSE ./
COPY --chown=ray raycompare raycompare
# In brackets, the extras that experiments need: those of jobs/experiments here; add mlflow or wandb for these trackers.
RUN pip install --no-cache-dir -q -c constraints.txt -e .[demo,optuna,peft]
COPY --chown=ray jobs jobs

USER ray
ENV RAY_USAGE_STATS_ENABLED=0
