# Two images from one file: `server` (API, ledger, samplers) and `worker` (trainer, torch).
#   docker build --target server --tag tuner-server .
#   docker build --target worker --tag tuner-worker .
# Build arguments are described in docs/docker.md.

ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY tuner ./tuner
COPY api ./api
COPY storage ./storage
COPY examples ./examples
RUN PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
    pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:${PYTHON}-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    TUNER_HOME=/data
RUN useradd --create-home --uid 10001 tuner \
    && install --directory --owner tuner --group tuner --mode 0700 /data
COPY constraints.txt /opt/tuner/constraints.txt
COPY --from=wheel /wheel /opt/tuner/wheel
WORKDIR /home/tuner
VOLUME /data
ENTRYPOINT ["tuner"]

FROM base AS server
# "server,torch" adds what the sampler `gp` needs.
ARG EXTRAS=server
ARG TORCH_INDEX=
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    --constraint /opt/tuner/constraints.txt "$(echo /opt/tuner/wheel/tuner-*.whl)[${EXTRAS}]"
USER tuner
EXPOSE 8700
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8700/readyz', timeout=4)"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8700"]

FROM base AS worker
# PyTorch's own index for the build of torch wanted; empty takes the default index's build.
ARG TORCH_INDEX=
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    --constraint /opt/tuner/constraints.txt torch
RUN pip install \
    --constraint /opt/tuner/constraints.txt "$(echo /opt/tuner/wheel/tuner-*.whl)[torch]"
USER tuner
STOPSIGNAL SIGTERM
CMD ["worker"]
