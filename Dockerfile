FROM python:3.13-slim AS base

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app

COPY requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore --require-hashes --only-binary=:all: -r requirements.lock

# Given to the user it runs as: a clone made with a strict umask is readable to its owner alone.
COPY --chown=10001:10001 *.py alerts.toml ./
COPY --chown=10001:10001 pipeline pipeline
COPY --chown=10001:10001 alerting alerting
COPY --chown=10001:10001 audit audit
COPY --chown=10001:10001 replaying replaying
ENTRYPOINT ["python"]

# The web page's library is larger than all else together, so only its own image has it.
FROM base AS dashboard
COPY page/requirements.lock page/
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore --require-hashes --only-binary=:all: -r page/requirements.lock
COPY --chown=10001:10001 page page
USER 10001:10001
CMD ["dashboard.py"]

FROM python:3.13-slim AS door
COPY --chown=10002:10002 deploy/compose/door.py /
USER 10002:10002
ENTRYPOINT ["python", "/door.py"]

FROM base
USER 10001:10001
CMD ["consumer.py"]
