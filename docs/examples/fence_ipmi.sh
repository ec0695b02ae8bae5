#!/bin/sh
# fence_ipmi.sh HOST: cuts the power of a host by its management controller. Succeeds only when the controller says that it is off.
#
#   pg_replica_fence_command: [/usr/local/bin/fence_ipmi.sh, "{host}"]
#
# The controller of db1.production.example.org is expected at db1-ipmi.production.example.org; user and password file come from the environment, the
# latter readable by its owner only. A controller that has lost its power with its host does not answer: then this fails, and a person decides.
set -u

host=${1:?usage: fence_ipmi.sh HOST}
controller="${host%%.*}-ipmi.${host#*.}"
user=${FENCE_IPMI_USER:-fence}
password_file=${FENCE_IPMI_PASSWORD_FILE:-$HOME/.config/pgsteward/ipmi_password}

power() {
    timeout 5 ipmitool -I lanplus -H "$controller" -U "$user" -f "$password_file" chassis power "$1"
}

power off # says so when it is off already; what counts is the status
tries=0
while [ "$tries" -lt 10 ]; do
    case $(power status) in
        *'is off') exit 0 ;;
    esac
    tries=$((tries + 1))
    sleep 1
done
echo "$controller does not say that $host is off" >&2
exit 1
