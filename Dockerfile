# syntax=docker/dockerfile:1
# Two stages: the first builds a virtual environment, the second holds it and nothing else that was needed for that.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY app ./app
COPY optimizer ./optimizer
COPY forecasts ./forecasts
RUN python -m venv /opt/smartcharge
RUN /opt/smartcharge/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".[postgres,parquet]"

FROM python:3.11-slim-bookworm
RUN useradd --system --create-home --home-dir /var/lib/smartcharge --uid 10001 smartcharge
COPY --from=build /opt/smartcharge /opt/smartcharge
ENV PATH=/opt/smartcharge/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SMARTCHARGE_DATA_DIR=/var/lib/smartcharge \
    SMARTCHARGE_HTTP_HOST=0.0.0.0 \
    SMARTCHARGE_OCPP_HOST=0.0.0.0
USER smartcharge
VOLUME /var/lib/smartcharge
EXPOSE 8080 9000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import httpx; httpx.get('http://127.0.0.1:8080/health/ready', timeout=4).raise_for_status()"]
CMD ["smartcharge", "serve"]
