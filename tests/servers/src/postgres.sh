# Starts a PostgreSQL server in a folder of its own on the first of the ports that
# is free, prints its address, and ends it with stdin. Prints nothing where there
# is no PostgreSQL.
set -eu
# The end of stdin ends it, and nothing else.
trap '' INT TERM

if command -v initdb >/dev/null; then
    bin=$(dirname "$(command -v initdb)")
else
    bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
fi
[ -x "$bin/initdb" ] || exit 0

folder=$(mktemp -d)
# PostgreSQL refuses to run as root.
as=
if [ "$(id -u)" = 0 ]; then
    chown postgres "$folder"
    as='runuser -u postgres --'
fi
cd "$folder"
stop() {
    $as "$bin/pg_ctl" -D "$folder/data" stop -m immediate >/dev/null 2>&1 || true
    rm -rf "$folder"
}

if $as "$bin/initdb" -D "$folder/data" -A trust -U owner -E UTF8 --locale=C --no-sync >/dev/null; then
    for port; do
        if $as "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w -t 60 start \
            -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off" >/dev/null 2>&1; then
            echo "127.0.0.1:$port"
            cat >/dev/null
            break
        fi
    done
fi
stop
