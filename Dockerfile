FROM python:3.13-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app

COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore -r requirements.txt

# Given to the user it runs as: a clone made with a strict umask is readable to its owner alone.
COPY --chown=10001:10001 *.py alerts.toml ./
COPY --chown=10001:10001 pipeline pipeline
COPY --chown=10001:10001 audit audit

USER 10001:10001
ENTRYPOINT ["python"]
CMD ["consumer.py"]
