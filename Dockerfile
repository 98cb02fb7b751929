# The service for a CPU; with --build-arg GPU=1 for an NVIDIA GPU too. docs/deployment.md says how to run it.

# Any image with Python 3.11 or newer as `python3`, with its venv, on Debian or alike. What is built is linked to this
# Python, so the last stage stands on the same image.
ARG BASE_IMAGE=python:3.11-slim

# Packages go into an environment that itself has no pip.
FROM ${BASE_IMAGE} AS pip
RUN python3 -m venv /pip && python3 -m venv --without-pip /opt/actserve
ENV INSTALL="/pip/bin/pip --python /opt/actserve/bin/python install --quiet --disable-pip-version-check \
  --no-cache-dir --no-compile --no-deps --require-hashes"
WORKDIR /build

# CUDA has a stage, and in the image a layer, of its own: 2 GB that change less often than all else.
FROM pip AS cuda
ARG GPU=0
COPY requirements/gpu.lock .
RUN if [ "$GPU" = 1 ]; then $INSTALL -r gpu.lock; fi

# Without a GPU the wheel is the same, the one that is tested, less the library that would need CUDA. Python's compiled
# files are made here, for nobody can write them later; they are taken without a look at their sources' times.
FROM pip AS packages
ARG GPU=0
COPY requirements/run.lock .
RUN $INSTALL -r run.lock \
  && if [ "$GPU" != 1 ]; then \
       rm -f /opt/actserve/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime_providers_cuda.so \
             /opt/actserve/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime_providers_tensorrt.so; \
     fi \
  && python3 -m compileall -qq --invalidation-mode unchecked-hash /opt/actserve/lib

# Readable by everybody, whatever the files' modes were where the image is built.
FROM pip AS app
WORKDIR /app
COPY service service
COPY models/repository models/repository
COPY models/evidence models/evidence
COPY deploy/image/__init__.py deploy/image/health.py deploy/image/smoke.py deploy/image/
RUN chmod -R u=rwX,go=rX . && python3 -m compileall -qq --invalidation-mode unchecked-hash .

# Load tests: --target load.
FROM pip AS locust
COPY requirements/load.lock .
RUN $INSTALL -r load.lock && python3 -m compileall -qq --invalidation-mode unchecked-hash /opt/actserve/lib
WORKDIR /app
COPY loadtests loadtests
COPY service/web/samples service/web/samples
COPY docs/examples docs/examples
RUN chmod -R u=rwX,go=rX .

FROM ${BASE_IMAGE} AS load
LABEL org.opencontainers.image.title="actserve-load" \
  org.opencontainers.image.description="Locust with the load tests of actserve"
COPY --from=locust /opt/actserve /opt/actserve
COPY --from=locust /app /app
ENV PATH="/opt/actserve/bin:$PATH" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
# The image is not made unless all that its requests are made of is in it.
RUN ["locust", "-f", "loadtests/locustfile.py", "--list"]
EXPOSE 8089
ENTRYPOINT ["locust", "-f", "loadtests/locustfile.py"]

FROM ${BASE_IMAGE} AS actserve
COPY --from=cuda /opt/actserve/lib /opt/actserve/lib
COPY --from=packages /opt/actserve /opt/actserve
COPY --from=app /app /app
# An address that is reached from outside of the container; which of the host's it is published on says who starts it.
ENV PATH="/opt/actserve/bin:$PATH" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
  ACTSERVE_HOST=0.0.0.0 NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /app
USER 10001:10001
ARG GPU=0
# The image is not made unless its service names what is on a photo, as this user, and ends when told to.
RUN ["python", "-m", "deploy.image.smoke"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "deploy.image.health"]
ENTRYPOINT ["python", "-m", "service"]
ARG REVISION=unknown
LABEL org.opencontainers.image.title="actserve" \
  org.opencontainers.image.description="Inference microservice for activation functions and the small CNNs built with them" \
  org.opencontainers.image.version="0.1.0" \
  org.opencontainers.image.revision="${REVISION}"
