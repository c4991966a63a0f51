# The image of azure-lb-metadata. Every base with a Python of 3.11 or newer will do that has `venv`
# (with `ensurepip`) in it: the default, or what --build-arg BASE=… names.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS builder
# Where pip finds packages, for machines that have a mirror or no network; unset, it is as pip has it.
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
WORKDIR /source
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

# The environment the program runs in has no pip: that of the one beside it fills it.
RUN python3 -m venv /builder && python3 -m venv --without-pip /app
COPY requirements/pip.txt requirements/build.txt requirements/runtime.txt requirements/
RUN /builder/bin/pip install --quiet --require-hashes -r requirements/pip.txt \
    && /builder/bin/pip install --quiet --require-hashes -r requirements/build.txt \
    && /builder/bin/pip --python /app/bin/python install --quiet --no-compile --only-binary :all: \
        --require-hashes -r requirements/runtime.txt

COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
# Bytecode that is never checked against the source's time: no layer or copy can make it stale. Without
# docstrings (-o 2, and PYTHONOPTIMIZE below) an agent takes 2 MiB less. The tests that a library brings
# along are left out.
RUN /builder/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /builder/bin/pip --python /app/bin/python install --quiet --no-compile --no-deps --no-index /wheel/*.whl \
    && rm -rf /app/bin/[Aa]ctivate* /app/lib/python3*/site-packages/*/tests \
    && /app/bin/python -m compileall -q -j 0 -o 2 --invalidation-mode unchecked-hash /app/lib

FROM ${BASE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="azure-lb-metadata" \
      org.opencontainers.image.description="The Azure load balancer facts of a Kubernetes node, as Node annotations and as a node-local HTTP endpoint" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# What the base has to install packages with is of no use to the program, only to an intruder.
RUN rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip \
        /usr/local/lib/python3*/idlelib /usr/local/bin/pip* /usr/local/bin/idle* \
        /usr/lib/python3*/ensurepip /usr/share/python-wheels \
        /usr/lib/python3/dist-packages/pip* /usr/bin/pip*
COPY --from=builder /app /app
# Slim Python images come without the bytecode of the standard library: each command leaves what it needs.
RUN for command in run get wait exec nodes rules doctor prune; do \
        PYTHONOPTIMIZE=2 /app/bin/azure-lb-metadata "$command" --help >/dev/null || exit 1; done
# HOME: the user has no entry in /etc/passwd, and a kubeconfig may be looked for there.
ENV PATH=/app/bin:$PATH HOME=/ PYTHONDONTWRITEBYTECODE=1 PYTHONOPTIMIZE=2 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 16925 16926
ENTRYPOINT ["azure-lb-metadata"]
