# One image for a cluster's head, its workers and a laptop:
#   docker build --tag galactica-sweeps:0.1.0 .
#   docker run --rm --gpus all --shm-size 2g --volume "$PWD/results:/home/ray/project/results" galactica-sweeps:0.1.0
# It holds the nano models that are part of the project, no other weights and no secrets.

# Ray's own GPU image of the locked version. That this tag exists was not looked up: it follows the naming of earlier ones.
ARG BASE=rayproject/ray:2.60.0-py311-gpu

FROM ${BASE} AS build
COPY --chown=1000 . /tmp/project
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /tmp/wheel /tmp/project

FROM ${BASE}
LABEL org.opencontainers.image.title="galactica-sweeps" \
      org.opencontainers.image.description="Fine-tuning sweeps for Galactica and its kin on Ray" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="rayproject/ray:2.60.0-py311-gpu"

# The base's user `ray`, without root's rights; named here so that no other base brings root in.
USER 1000
RUN mkdir /home/ray/project
WORKDIR /home/ray/project

# What changes rarely comes first: the dependencies at their locked versions, without those of tests and lint.
RUN --mount=type=bind,source=pyproject.toml,target=/tmp/pyproject.toml \
    --mount=type=bind,source=requirements.lock,target=/tmp/requirements.lock \
    python -c "import tomllib; print(*tomllib.load(open('/tmp/pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > /tmp/dependencies.txt \
    && pip install --no-cache-dir --constraint /tmp/requirements.lock --requirement /tmp/dependencies.txt

# The project as a wheel; the links make `python sweeps/batch_memory.py` mean the same here as in a checkout.
RUN --mount=type=bind,from=build,source=/tmp/wheel,target=/tmp/wheel \
    pip install --no-cache-dir --no-deps /tmp/wheel/*.whl \
    && ln -s "$(python -c 'import sweeps, pathlib; print(pathlib.Path(sweeps.__file__).parent)')" sweeps \
    && ln -s "$(python -c 'import analysis, pathlib; print(pathlib.Path(analysis.__file__).parent)')" analysis \
    && ln -s "$(python -c 'import data, pathlib; print(pathlib.Path(data.__file__).parent)')" data

ENV HF_HUB_DISABLE_TELEMETRY=1 RAY_USAGE_STATS_ENABLED=0
CMD ["python", "sweeps/batch_memory.py"]
