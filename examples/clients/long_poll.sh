#!/bin/sh
# Prints the node's public IP address, and again whenever it changes:
#
#   sh long_poll.sh [URL of the agent]
#
# The agent holds a request until there is another answer than the one whose ETag comes with it (RFC 7240,
# "Prefer: wait"), so nothing is sent while nothing changes. Needs curl 7.70.
set -u
agent=${1:-http://azure-lb-metadata.azure-lb-metadata}
work=$(mktemp -d) || exit
: >"$work/etag"
# A shell that waits for its child hears a signal at once.
trap 'kill "$!"; rm -rf "$work"; exit 0' TERM INT

shown=unknown
while :; do
    curl -fsS --connect-timeout 1 --max-time 90 --retry 3 --retry-delay 1 --retry-connrefused \
        --etag-compare "$work/etag" --etag-save "$work/etag" --header "Prefer: wait=60" \
        --output "$work/answer" --write-out "%{http_code}" "$agent/v1/public-ip" >"$work/status" &
    wait "$!"
    case $(cat "$work/status") in
        200) address=$(cat "$work/answer") ;;
        304) continue ;;     # a minute without a change
        404) address=none ;; # there is no such address, as the metadata service says
        *) sleep 1 && continue ;;
    esac
    [ "$address" = "$shown" ] || echo "public IP address: $address"
    shown=$address
    # What is not there has no ETag to wait with.
    [ "$address" != none ] || sleep 5
done
