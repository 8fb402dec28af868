FROM python:3.13-slim AS libraries

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    PIP_REQUIRE_HASHES=1 PIP_ONLY_BINARY=:all:
WORKDIR /app

COPY requirements.lock ./
# Some base images bring packages of their distribution, which pip cannot replace.
RUN pip install --ignore-installed -r requirements.lock

# The web page's library is larger than all else together, so only its own image has it.
FROM libraries AS dashboard
COPY logpipeline/dashboard/requirements.lock logpipeline/dashboard/
RUN pip install -r logpipeline/dashboard/requirements.lock
COPY --chown=10001:10001 *.py alerts.toml ./
COPY --chown=10001:10001 logpipeline logpipeline
USER 10001:10001
ENTRYPOINT ["python"]
CMD ["dashboard.py"]

FROM libraries AS collector
COPY logpipeline/collector/requirements.lock logpipeline/collector/
RUN pip install -r logpipeline/collector/requirements.lock
COPY --chown=10001:10001 *.py alerts.toml ./
COPY --chown=10001:10001 logpipeline logpipeline
USER 10001:10001
ENTRYPOINT ["python"]
CMD ["collector.py"]

FROM python:3.13-slim AS door
COPY --chown=10002:10002 deploy/compose/door.py /
USER 10002:10002
ENTRYPOINT ["python", "/door.py"]

FROM libraries
# Given to the user it runs as: a clone made with a strict umask is readable to its owner alone.
COPY --chown=10001:10001 *.py alerts.toml ./
COPY --chown=10001:10001 logpipeline logpipeline
USER 10001:10001
ENTRYPOINT ["python"]
CMD ["consumer.py"]
