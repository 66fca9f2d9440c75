# The runner of the Dataloop app, with its packages and its converted programs: a pod that starts cold need not download
# weights and write a program, which takes 2 to 44 s for a MoViNet (docs/dataloop.md, "Which compute").
#
#   docker build -f deploy/dataloop.Dockerfile --build-arg MODEL_IDS=a0,a2 -t REGISTRY/cliplab-dataloop:0.2.0 .
#   docker push REGISTRY/cliplab-dataloop:0.2.0
#   cliplab dataloop manifest --force --runner-image REGISTRY/cliplab-dataloop:0.2.0
#
# The build downloads the published weights, so it needs a network. Build it again with each version of the app: programs
# of another version are converted again when the pod starts.

ARG RUNNER=hub.dataloop.ai/dtlpy-runner-images/cpu:python3.11_opencv
FROM ${RUNNER}
USER 0
COPY requirements.txt /opt/cliplab/requirements.txt
RUN pip install --no-cache-dir -r /opt/cliplab/requirements.txt
# Only to make the programs: the platform brings the app's code, and puts it first.
COPY adapters /opt/cliplab/adapters
COPY movinet_adapter /opt/cliplab/movinet_adapter
COPY cliplab /opt/cliplab/cliplab
COPY configs /opt/cliplab/configs
# Sizes of MoViNet, and keys of the configuration that shape a program, such as "--set imgz=224 --set n_frames=16".
ARG MODEL_IDS=a0
ARG SETTINGS=
ENV CLIPLAB_CACHE=/opt/cliplab/cache
WORKDIR /opt/cliplab
# The runner's user may add to the cache. Where weights cannot be downloaded, the build fails.
# hadolint ignore=SC2086
RUN python -m cliplab dataloop programs --model-id "${MODEL_IDS}" ${SETTINGS} \
 && rm -rf adapters movinet_adapter cliplab configs \
 && chmod -R a+rwX cache
WORKDIR /tmp
USER 1000
ENV HOME=/tmp
