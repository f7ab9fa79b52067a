#!/bin/sh
# The entry point that the public image of PostgreSQL has, as far as a Compose file relies on it: the first start
# makes the user, the password and the database that POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB state.
set -eu
data=/var/lib/postgresql/data
programs=$(dirname /usr/lib/postgresql/*/bin/initdb)

as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }

mkdir -p "$data"
chown postgres:postgres "$data"
if [ ! -s "$data/PG_VERSION" ]; then
    secret=$(as_postgres mktemp)
    printf '%s' "$POSTGRES_PASSWORD" >"$secret"
    as_postgres "$programs/initdb" --pgdata="$data" --username="$POSTGRES_USER" --pwfile="$secret" \
        --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256
    rm "$secret"
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | as_postgres "$programs/postgres" --single -D "$data" postgres
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups \
    "$programs/postgres" -D "$data" -c listen_addresses='*'
