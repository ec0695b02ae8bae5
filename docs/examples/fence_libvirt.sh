#!/bin/sh
# fence_libvirt.sh HOST: stops the virtual machine of a host at once. Succeeds only when libvirt says that it is off.
#
#   pg_replica_fence_command: [/usr/local/bin/fence_libvirt.sh, "{host}"]
#
# The machine has the first part of the host's name. Several hypervisors: choose the connection by the name.
set -u

host=${1:?usage: fence_libvirt.sh HOST}
machine=${host%%.*}
connection=${FENCE_LIBVIRT_CONNECTION:-qemu+ssh://fence@hypervisor1.example.org/system}

timeout 10 virsh --connect "$connection" destroy "$machine" # fails when it is off already; what counts is the state
state=$(timeout 10 virsh --connect "$connection" domstate "$machine")
[ "$state" = 'shut off' ] && exit 0
echo "$connection says of $machine: ${state:-nothing}" >&2
exit 1
