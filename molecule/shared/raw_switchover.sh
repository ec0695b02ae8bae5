#!/bin/sh
# The steps of a switchover by hand: the other side of the ratio in the scenario cluster, and no way to run a real one.
#
#   raw_switchover.sh OLD NEW POOLER...      for instance: raw_switchover.sh node1 node2 pool1 pool2
#
# Hosts are those of the lab as the roles pg_replica and pgbouncer laid them out: a standby finds a new primary by itself, slots are
# there, and databases.ini is all that a pooler has to read anew. Prints the seconds from PAUSE to RESUME.
set -eu

[ $# -ge 3 ] || { echo "usage: $0 OLD NEW POOLER..." >&2; exit 2; }
old=$1 new=$2
shift 2
poolers=$*
ini=/etc/pgbouncer/databases.ini
limit=10 # seconds for each step
state=checks # then: paused, asked (for promotion), promoted

die() { echo "raw_switchover: $*" >&2; exit 1; }
on() { host=$1; shift; docker exec -i "pgsteward-$host" "$@"; }
as_postgres() { host=$1; shift; on "$host" timeout "$limit" runuser -u postgres -- "$@"; }
sql() { as_postgres "$1" psql -XAtq -v ON_ERROR_STOP=1 -d postgres -c "$2" </dev/null; }
address() { docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "pgsteward-$1"; }

# The statements of $1 on the console of every pooler at once.
consoles() {
    pids=''
    for pooler in $poolers; do
        echo "$1" | as_postgres "$pooler" psql -XAtq -v ON_ERROR_STOP=1 -h "$socket" -p 6432 -U pgbouncer pgbouncer >/dev/null &
        pids="$pids $!"
    done
    failed=0
    for pid in $pids; do wait "$pid" || failed=1; done
    return "$failed"
}

# Before promotion was asked for, the old primary serves again; after it, only the poolers go on.
undo() {
    status=$?
    trap - EXIT
    if [ "$state" = paused ]; then
        on "$old" sh -c "rm -f '$data/standby.signal'; systemctl start '$service'" || true
        for pooler in $poolers; do on "$pooler" mv "$ini.former" "$ini" || true; done
    fi
    consoles "RELOAD; $resumes" || true
    exit "$status"
}

# Before anything is held up
socket=$(on "${poolers%% *}" sed -n 's/^unix_socket_dir = //p' /etc/pgbouncer/pgbouncer.ini)
old_address=$(address "$old")
new_address=$(address "$new")
# shellcheck disable=SC2046  # the columns of pg_lsclusters are words
set -- $(on "$old" pg_lsclusters -h)
binaries=/usr/lib/postgresql/$1/bin service=postgresql@$1-$2 data=$6
[ "$(sql "$old" 'SELECT pg_is_in_recovery()')" = f ] || die "$old is no primary"
[ "$(sql "$new" 'SELECT pg_is_in_recovery()')" = t ] || die "$new is no standby"
[ "$(sql "$old" "SELECT count(*) FROM pg_stat_replication WHERE client_addr = '$new_address' AND state = 'streaming'")" -ge 1 ] ||
    die "$new does not stream from $old"
entries=$(on "${poolers%% *}" awk -F ' = ' -v host="host=$old_address" '{ split($2, words, " "); if (words[1] == host) print $1 }' "$ini")
[ -n "$entries" ] || die "no entry of ${poolers%% *} leads to $old_address"
pauses=$(echo "$entries" | sed 's/.*/PAUSE &;/')
resumes=$(echo "$entries" | sed 's/.*/RESUME &;/')
# Writing entries go to the new primary. Reading ones stay as they are until the old primary can be read from. Nothing reads the file before RELOAD.
for pooler in $poolers; do
    on "$pooler" sh -c "cp -p $ini $ini.former && sed -Ei 's/= host=$old_address( |\$)/= host=$new_address\1/' $ini"
done
sql "$old" CHECKPOINT

# The critical section
began=$(date +%s.%N)
state=paused
trap undo EXIT
trap 'exit 130' INT TERM
consoles "$pauses" || die "a pooler did not pause"
location=$(on "$old" sh -euc "
    timeout $limit systemctl stop $service
    runuser -u postgres -- touch '$data/standby.signal'
    $binaries/pg_controldata '$data' | awk -F ': +' '
        /^Database cluster state/ { state = \$2 } /^Latest checkpoint location/ { location = \$2 }
        END { if (state !~ /^shut down/) exit 1; print location }'
") || die "$old did not shut down"
as_postgres "$new" sh -euc "
    until [ \"\$(psql -XAtq -d postgres -c \"SELECT pg_last_wal_replay_lsn() > '$location'\")\" = t ]; do sleep 0.02; done
" || die "$new did not replay $location"
state=asked
[ "$(sql "$new" "SELECT pg_promote(true, $limit)")" = t ] || die "$new was not promoted"
state=promoted
consoles "RELOAD; $resumes" || die "a pooler did not resume"
ended=$(date +%s.%N)
trap - EXIT

# After it
on "$old" systemctl start "$service"
sql "$new" CHECKPOINT
swap="s/$old_address\\b/<old>/g; s/$new_address\\b/$old_address/g; s/<old>/$new_address/g"
for pooler in $poolers; do on "$pooler" sh -c "sed '$swap' $ini.former > $ini"; done
consoles RELOAD
echo "$began $ended" | awk '{ printf "%.3f\n", $2 - $1 }'
