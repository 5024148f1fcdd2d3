#!/bin/sh
# What the official image does of POSTGRES_USER, POSTGRES_PASSWORD_FILE and POSTGRES_DB, for the stand-in.
set -eu
data=/var/lib/postgresql/18/docker
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$data"
  chown -R postgres /var/lib/postgresql /var/run/postgresql
  chmod 700 "$data"
  exec gosu postgres "$0" "$@"
fi
if [ ! -e "$data/PG_VERSION" ]; then
  initdb --pgdata="$data" --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" \
    --encoding=UTF8 --locale=C.UTF-8 --auth-host=scram-sha-256 --auth-local=trust
  echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
  pg_ctl --pgdata="$data" --options="-c listen_addresses=''" --wait start
  psql --username="$POSTGRES_USER" --dbname=postgres --command="CREATE DATABASE $POSTGRES_DB"
  pg_ctl --pgdata="$data" --mode=fast --wait stop
fi
shift
exec postgres -D "$data" -c listen_addresses='*' "$@"
