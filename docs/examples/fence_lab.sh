#!/bin/sh
# fence_lab.sh HOST: what the lab of this repository does, where a host is a container. Succeeds only when the host runs no more.
#
#   pg_replica_fence_command: [/usr/local/bin/fence_lab.sh, "{host}"]
set -u

container="pgsteward-${1:?usage: fence_lab.sh HOST}"

docker kill "$container" >/dev/null 2>&1 # fails when it is down already; what counts is the state
[ "$(docker inspect -f '{{.State.Running}}' "$container")" = false ]
