#!/bin/sh
# Prints the node's load balancer facts as one line of JSON, and again whenever they change:
#
#   sh events.sh [URL of the agent]
#
# The agent sends its state at the begin of each stream and at each change (server-sent events). A state that
# is not read in time is replaced by the next one, and a new stream repeats the last: acting twice on the same
# state must do no harm.
set -u
agent=${1:-http://azure-lb-metadata.azure-lb-metadata}
trap 'kill "$!"; exit 0' TERM INT

while :; do
    # The keep-alive finds out within a minute that the agent is gone without a word.
    curl -fsSN --connect-timeout 1 --keepalive-time 6 --retry 3 --retry-delay 1 --retry-connrefused \
        "$agent/v1/events" |
        while IFS= read -r line; do
            case $line in
                "data: "*) printf '%s\n' "${line#data: }" ;;
            esac
        done &
    wait "$!"
    sleep 1
done
