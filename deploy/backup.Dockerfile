# The image of the Jobs that make backups: the program orchestra-backup, and PostgreSQL's clients of every major version that
# it knows. `make image` builds it. `program` is the stage `backup` of deploy/Dockerfile.
FROM debian:trixie-slim@sha256:a29215f6a35e51e22adffa17f89e9d2ef06214e64a2bad10d765c46aea49f11f AS clients
# Debian has one major version, the PostgreSQL project's own packages have all. Debian's package brings the key that signs them.
ARG PACKAGES=https://apt.postgresql.org/pub/repos/apt
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get upgrade -y && apt-get install -y --no-install-recommends ca-certificates postgresql-client-common \
    && echo "deb [signed-by=/usr/share/postgresql-common/pgdg/apt.postgresql.org.asc] $PACKAGES trixie-pgdg main" \
        > /etc/apt/sources.list.d/postgresql.list \
    && apt-get update && apt-get install -y --no-install-recommends \
        postgresql-client-15 postgresql-client-16 postgresql-client-17 postgresql-client-18
COPY scripts/backup-clients /usr/local/bin/
RUN backup-clients /clients 15 16 17 18

# No shell and no package manager: what the clients load, the static program, root certificates and time zones.
FROM program AS image
COPY --from=clients /clients /
USER 65532:65532
