# One image for CPU and CUDA; docs/docker.md says how to build and run it.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# GDAL, inside the rasterio wheel, links to the system's libexpat, which the slim image lacks. The fused kernels are
# compiled on first use, for the processor or the GPU at hand, with gcc.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --user-group --home-dir /tmp --no-create-home nowcast

# HOME and the caches lie in /tmp, so that every `--user` can write them.
ENV PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /app

# Dependencies before the source: editing the source does not install torch again. The last line lists the fonts, once.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *p['optional-dependencies']['raster'], sep='\n')" > /tmp/requirements.txt \
    && pip install --no-cache-dir --root-user-action=ignore -c constraints.txt -r /tmp/requirements.txt \
    && rm /tmp/requirements.txt \
    && python -c "import matplotlib.font_manager" && chmod 1777 /tmp/matplotlib

# Editable, because the package reads the folder `configs` beside it.
COPY . .
RUN pip install --no-cache-dir --root-user-action=ignore --no-deps -e . \
    && mkdir -p data outputs && chmod 1777 data outputs

VOLUME ["/app/data", "/app/outputs"]
USER 1000:1000
ENTRYPOINT ["nowcast"]
CMD ["--help"]
