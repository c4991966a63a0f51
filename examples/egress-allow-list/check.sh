#!/bin/sh
# Compares the addresses that nodes leave from, as their annotations say, with networks that a partner lets in,
# and prints what the partner has to add, in the form of the list:
#
#   check.sh NETWORKS [SELECTOR of Nodes]
#
# It proposes and changes nothing, and never proposes to remove: a node that is away for an hour comes back.
# NETWORKS is a file with one address or network a line; what follows a "#" is a comment. Exit codes: 0 all are
# covered; 1 failed; 2 bad usage or list; 3 no node says what it leaves from; 5 there is something to add, or
# nodes whose addresses are not known.
set -u
prefix=${ANNOTATION_PREFIX:-azure-lb-metadata.io}
networks=${1:-}
# Nodes that have no agent say nothing.
selector=${2:-kubernetes.io/os=linux,type!=virtual-kubelet}
if [ ! -r "$networks" ]; then
    echo "usage: check.sh NETWORKS [SELECTOR]; there is no readable file '$networks'" >&2
    exit 2
fi

key=".metadata.annotations.$(printf '%s' "$prefix" | sed 's/[.]/\\./g')"
columns="NODE:.metadata.name,STATUS:$key/status,EGRESS:$key/egress-ips,OMITTED:$key/omitted"
# Not with --request-timeout: given that, kubectl in a pod does not find the pod's own token.
nodes=$(kubectl get nodes --no-headers --selector="$selector" --output="custom-columns=$columns") || exit 1

printf '%s\n' "$nodes" | awk -v list="$networks" '
    function note(text) { print text > "/dev/stderr" }

    # A number of 0 to 2^width - 1 as text of so many binary digits.
    function binary(number, width,    digits) {
        for (digits = ""; width > 0; width--) { digits = number % 2 digits; number = int(number / 2) }
        return digits
    }

    function bits4(text,    parts, digits, i) {
        if (split(text, parts, ".") != 4) return ""
        for (i = 1; i <= 4; i++) {
            if (parts[i] !~ /^(0|[1-9][0-9]?[0-9]?)$/ || parts[i] > 255) return ""
            digits = digits binary(parts[i], 8)
        }
        return digits
    }

    function hexadecimal(text,    number, i) {
        for (i = 1; i <= length(text); i++) number = number * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
        return number + 0
    }

    function groups(text,    parts, digits, count, i) {
        count = split(text, parts, ":")
        for (i = 1; i <= count; i++) {
            if (parts[i] !~ /^[0-9a-f]+$/ || length(parts[i]) > 4) return "wrong"
            digits = digits binary(hexadecimal(parts[i]), 16)
        }
        return digits
    }

    function bits6(text,    halves, count, head, tail) {
        text = tolower(text)
        count = split(text, halves, "::")
        if (count > 2) return ""
        head = groups(halves[1])
        if (count == 1) return length(head) == 128 && head != "wrong" ? head : ""
        tail = groups(halves[2])
        if (head == "wrong" || tail == "wrong" || length(head tail) > 112) return ""
        while (length(head tail) < 128) head = head "0"
        return head tail
    }

    # An address as 32 or 128 binary digits; empty when it is none.
    function bits(text) { return text ~ /:/ ? bits6(text) : bits4(text) }

    function covered(address,    digits, i) {
        digits = bits(address)
        for (i = 1; i <= listed; i++)
            if (length(digits) == width[i] && substr(digits, 1, long[i]) == start[i]) { used[i] = 1; return 1 }
        return 0
    }

    function read_list(    line, parts, digits, size, wrong) {
        while ((getline line < list) > 0) {
            sub(/#.*/, "", line)
            gsub(/[ \t\r]/, "", line)
            if (line == "") continue
            size = split(line, parts, "/")
            digits = bits(parts[1])
            if (size == 1) parts[2] = length(digits)
            if (digits == "" || size > 2 || parts[2] !~ /^[0-9]+$/ || parts[2] > length(digits)) {
                note(list ": \"" line "\" is neither an address nor a network")
                wrong = 1
                continue
            }
            name[++listed] = line; width[listed] = length(digits)
            long[listed] = parts[2] + 0; start[listed] = substr(digits, 1, parts[2])
        }
        return wrong
    }

    BEGIN { if (read_list()) { failed = 2; exit } }

    NF == 0 { next }

    $3 == "<none>" {
        note($1 ": what it leaves from is not known (status " $2 ", omitted " $4 ")")
        unknown++
        next
    }

    {
        told++
        if ($2 != "ok") note($1 ": as it was last known (status " $2 ")")
        count = split($3, addresses, ",")
        for (i = 1; i <= count; i++) {
            address = addresses[i]
            if (bits(address) == "") { note($1 ": \"" address "\" is not an address"); unknown++; continue }
            if (covered(address)) continue
            if (!(address in nodes_of)) order[++new] = address
            nodes_of[address] = nodes_of[address] " " $1
        }
    }

    END {
        if (failed) exit failed
        for (i = 1; i <= new; i++) print order[i] (order[i] ~ /:/ ? "/128" : "/32") " #" nodes_of[order[i]]
        for (i = 1; i <= listed; i++) if (!used[i]) note(name[i] ": no node leaves from there now; kept")
        note(told + 0 " nodes told, " unknown + 0 " unknown, " new + 0 " addresses to add")
        if (!told) exit 3
        exit new || unknown ? 5 : 0
    }'
