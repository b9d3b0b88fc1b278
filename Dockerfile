# One image for the BFF, the user service and the TMDB stub; the command chooses (compose.yaml).
# They listen on every address of their container, since nobody else reaches its loopback.
# The root file system may be read-only: only var/ (without REDIS_URL and DATABASE_URL), /tmp and
# /dev/shm are written to.

FROM python:3.11.14-slim-bookworm AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir -r requirements.txt \
    && /opt/venv/bin/pip uninstall --yes pip setuptools

FROM python:3.11.14-slim-bookworm
RUN groupadd --gid 10001 bff \
    && useradd --uid 10001 --gid bff --no-create-home --home-dir /nonexistent bff
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ENV_FILE=/dev/null \
    BIND=0.0.0.0
WORKDIR /app
# What belongs in the image stands in .dockerignore.
COPY . .
RUN python -m compileall -q . \
    && mkdir var \
    && chown bff:bff var
USER 10001:10001
EXPOSE 8000
# Asks $PORT, or 8000; another process of the image gives its own address.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "deploy/healthcheck.py"]
CMD ["gunicorn", "wsgi:app"]
