#!/bin/sh
# fence_host.sh HOST: the lab's pg_replica_fence_command. Succeeds only when the host runs no more.
set -u
container=pgsteward-$1
docker kill "$container" >/dev/null 2>&1
[ "$(docker inspect -f '{{.State.Running}}' "$container")" = false ]
