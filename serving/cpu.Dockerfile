# vLLM for CPU, for the throwaway containers of the gate. Built by build_image.sh, which prepares the context:
#   install_runtime.sh, pip_settings.sh, requirements-cpu.lock   what is installed, every file by its SHA-256
#   awq_without_avx512.py, its pyproject.toml                    a plug-in for processors without AVX-512
#   tiny_model.py, warm_up.py   a start at build time: proves the image serves, saves each later start a third
#   container_entry.sh          ends the server with its owner, or at its deadline
#   host/                       pip.conf, ca.crt and wheels of the building machine; build stage only
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS system
# g++ and the Python headers are for torch's compiler (serving.yaml without --enforce-eager).
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends \
        python3 python3-dev g++ libgomp1 libnuma1 >/dev/null \
    && rm -rf /var/lib/apt/lists/*

FROM system AS build
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends \
        python3-venv ca-certificates >/dev/null
COPY host /build/host
COPY install_runtime.sh pip_settings.sh requirements-cpu.lock /build/
COPY awq_without_avx512.py pyproject.toml /build/awq_without_avx512/
ENV PIP_CONFIG_FILE=/build/host/pip.conf SSL_CERT_FILE=/build/host/ca.crt
RUN PYTHON=/usr/bin/python3.11 UV_NO_CACHE=1 /build/install_runtime.sh /opt/vllm
COPY tiny_model.py warm_up.py /build/
RUN VLLM_CACHE_ROOT=/opt/assay/cache VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 HF_HUB_OFFLINE=1 \
        /opt/vllm/bin/python /build/warm_up.py >/tmp/warm_up.log 2>&1 || { cat /tmp/warm_up.log; exit 1; } \
    && chmod -R a+rX /opt/assay /opt/vllm \
    && rm -rf /opt/vllm/lib/python3.11/site-packages/pip /opt/vllm/bin/uv /opt/vllm/bin/uvx /opt/vllm/bin/pip*

FROM system
COPY --from=build /opt/vllm /opt/vllm
COPY --from=build /opt/assay/cache /opt/assay/cache
COPY container_entry.sh /opt/assay/container_entry.sh
ARG RECIPE
LABEL org.assay.recipe=${RECIPE}
ENV PATH=/opt/vllm/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 \
    HOME=/tmp XDG_CACHE_HOME=/tmp
USER 65534:65534
STOPSIGNAL SIGTERM
# By hand: docker run --interactive … IMAGE 3600 python -m vllm.entrypoints.openai.api_server --model /model …
ENTRYPOINT ["/opt/assay/container_entry.sh"]
