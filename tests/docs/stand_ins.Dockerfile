# What stands for public images that the documentation names, where no image registry answers: Debian's own
# Python, Debian's PostgreSQL, and moto's S3. Each is a stage; doc_images.py builds them.
ARG SYSTEM=debian:bookworm-slim
FROM ${SYSTEM} AS python
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends \
        ca-certificates curl python-is-python3 python3 python3-pip python3-venv >/dev/null \
    && rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED
COPY ca.crt /etc/ssl/certs/ca-certificates.crt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt

FROM python AS objects
RUN pip install --quiet --no-cache-dir "moto[server]>=5,<6"
CMD ["moto_server", "--host=0.0.0.0", "--port=9000"]

FROM ${SYSTEM} AS postgres
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends \
        postgresql >/dev/null \
    && rm -rf /var/lib/apt/lists/*
COPY stand_in_postgres.sh /
ENTRYPOINT ["/stand_in_postgres.sh"]
