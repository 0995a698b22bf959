# The desk and nothing else; installs from the hashed lock.
FROM python:3.12-slim
WORKDIR /app
COPY requirements.lock pyproject.toml README.md ./
COPY core ./core
RUN pip install --no-cache-dir --require-hashes -r requirements.lock \
 && pip install --no-cache-dir --no-deps --no-build-isolation -e .
COPY dashboards ./dashboards
RUN useradd --create-home desk && mkdir /app/data && chown desk /app/data
USER desk
ENV TAPEDECK_DATA=/app/data NUMBA_CACHE_DIR=/home/desk/.cache/numba
CMD ["python", "-m", "dashboards"]
