# The gate itself, for Prefect's Docker and Kubernetes pools; neither the engines (vLLM) nor what only tests need is in it.
#   docker build --file deploy/prefect/gate.Dockerfile --tag assay/gate:latest .
# Pin the base by digest before you rely on it: docker buildx imagetools inspect python:3.11-slim
ARG BASE=python:3.11-slim
FROM ${BASE} AS environment
WORKDIR /build
COPY deploy/prefect/requirements.lock ./
RUN python3 -m venv /opt/assay && /opt/assay/bin/pip install --no-cache-dir uv \
    && /opt/assay/bin/uv pip install --python /opt/assay/bin/python --no-cache --compile-bytecode \
        --require-hashes -r requirements.lock

FROM environment AS package
COPY pyproject.toml README.md LICENSE ./
COPY assay assay
COPY evaluators evaluators
COPY flows flows
RUN /opt/assay/bin/uv build --no-cache --wheel --out-dir /wheels .

FROM ${BASE}
# git: golden sets are named by their revision
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends git >/dev/null && rm -rf /var/lib/apt/lists/*
# The large part first, and apart: it changes with the lock file alone.
COPY --from=environment /opt/assay /opt/assay
COPY --from=package /wheels /wheels
RUN /opt/assay/bin/uv pip install --python /opt/assay/bin/python --no-cache --compile-bytecode --no-deps /wheels/*.whl \
    && rm -r /wheels
# A volume that is new takes its owner from here.
RUN mkdir -p /var/lib/assay /etc/assay && chown 65534:65534 /var/lib/assay
# Your task.yaml, policy.yaml, serving.yaml and golden set: build from your own repository, or mount them here.
WORKDIR /srv/assay
COPY pyproject.toml prefect.yaml *.yaml ./
ENV PATH=/opt/assay/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 65534:65534
