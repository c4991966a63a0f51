{{/* Egress probes, as --egress-probe has them: what is wrong with one, what a NetworkPolicy opens for one. */}}

{{/* The text of the authorities that the chart mounts; nothing where there is none, or a file of others. */}}
{{- define "azure-lb-metadata.egressCA" -}}
{{- if and .Values.egress.probes .Values.egress.ca (not (hasPrefix "/" .Values.egress.ca)) -}}
{{ trim .Values.egress.ca }}
{{- end -}}
{{- end }}

{{/* Says yes when a probe's certificate is to be verified by the authorities of the image. */}}
{{- define "azure-lb-metadata.publicAuthorities" -}}
{{- if not .Values.egress.ca -}}
{{- range .Values.egress.probes -}}
{{- if hasPrefix "https:" (lower .) }}yes{{ end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A probe as JSON: protocol, host without brackets, port as text, version 4 or 6, or 0 of a name. */}}
{{- define "azure-lb-metadata.egressProbe" -}}
{{- $scheme := regexFind "^[^:]*" . | lower -}}
{{- $authority := regexFind "^[^/?]*" (regexReplaceAll "^[^:]*:(//)?" . "") -}}
{{- $host := regexReplaceAll ":[0-9]*$" $authority "" -}}
{{- $port := trimPrefix ":" (trimPrefix $host $authority) | default (ternary "443" "3478" (eq $scheme "https")) -}}
{{- $version := ternary 6 (ternary 4 0 (regexMatch "^[0-9.]+$" $host)) (hasPrefix "[" $host) -}}
{{- dict "protocol" (ternary "UDP" "TCP" (eq $scheme "stun")) "port" $port "version" $version
  "host" (lower $host | trimPrefix "[" | trimSuffix "]") | toJson -}}
{{- end }}

{{/* Why an agent would refuse a probe, or nothing. */}}
{{- define "azure-lb-metadata.wrongProbe" -}}
{{- $host := `(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z_.-]+)(:[0-9]+)?` -}}
{{- $path := `([/?][0-9A-Za-z._~%!$&'()*+;=:@/?-]*)?` -}}
{{- if not (regexMatch (printf `^((?i:stun|stun\+tcp):%s|(?i:https)://%s%s)$` $host $host $path) .) -}}
write stun:HOST[:PORT], stun+tcp:HOST[:PORT] or https://HOST[:PORT]/PATH, an IPv6 address in brackets, without commas
{{- else -}}
{{- $probe := include "azure-lb-metadata.egressProbe" . | fromJson -}}
{{- $port := atoi $probe.port -}}
{{- $octets := include "azure-lb-metadata.octets" $probe.host -}}
{{- $first := regexFind "^[0-9]+" $octets | atoi -}}
{{- if or (gt (len $probe.port) 5) (lt $port 1) (gt $port 65535) -}}
a port is a number from 1 to 65535
{{- else if eq (int $probe.version) 6 -}}
{{- if regexMatch `^(ff|::$|::ffff:)|:::|\..*:` $probe.host -}}
that is not the address of a server
{{- end -}}
{{- else if $octets -}}
{{- if or (eq $first 0) (ge $first 224) -}}
that is not the address of a server
{{- end -}}
{{- else if not (regexMatch `^[a-z0-9_]([-a-z0-9_]*[a-z0-9])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9])?)*\.?$` $probe.host) -}}
that is neither a name nor an address
{{- else if regexMatch `(^|\.)[0-9]+\.?$` $probe.host -}}
that is neither a name nor an address
{{- end -}}
{{- end -}}
{{- end }}

{{/* The text of an IPv4 address, if it is one. */}}
{{- define "azure-lb-metadata.octets" -}}
{{- if regexMatch `^((25[0-5]|2[0-4][0-9]|1?[1-9]?[0-9]|1[0-9][0-9])(\.|$)){4}$` . }}{{ if not (hasSuffix "." .) }}{{ . }}{{ end }}{{ end -}}
{{- end }}

{{/* Why an agent would refuse a declared network, or nothing. */}}
{{- define "azure-lb-metadata.wrongNetwork" -}}
{{- $address := regexFind "^[^/]*" . -}}
{{- $length := trimPrefix "/" (trimPrefix $address .) -}}
{{- $octets := include "azure-lb-metadata.octets" $address -}}
{{- $six := regexMatch "^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$" $address -}}
{{- if not (and (or $octets $six) (regexMatch "^(0|[1-9][0-9]{0,2})$" $length)) -}}
write a network such as 20.1.2.0/30, or one address as 20.1.2.3/32
{{- else if gt (atoi $length) (ternary 32 128 (ne $octets "")) -}}
a network has at most 32 bits, of IPv6 128
{{- else if lt (atoi $length) (ternary 8 16 (ne $octets "")) -}}
that is too large: give at least 8 bits, of IPv6 16, or every address counts as listed
{{- else if regexMatch `^(0\.|127\.|169\.254\.|22[4-9]\.|2[34][0-9]\.|25[0-5]\.)|^(?i:fe[89ab][0-9a-f]:|ff[0-9a-f]{2}:|::1?$|::ffff:)` $address -}}
nothing can connect from there: give the public addresses that connections leave from
{{- else if $octets -}}
{{- $value := 0 -}}
{{- range splitList "." $octets -}}
{{- $value = add (mul $value 256) (atoi .) -}}
{{- end -}}
{{- $size := 1 -}}
{{- range until (int (sub 32 (atoi $length))) -}}
{{- $size = mul $size 2 -}}
{{- end -}}
{{- if mod $value $size -}}
the address has bits beyond the length: write its first address, or a longer length
{{- end -}}
{{- end -}}
{{- end }}

{{/* Yes when a duration, as the schema has it, is less than a minute. */}}
{{- define "azure-lb-metadata.lessThanAMinute" -}}
{{- $seconds := 0.0 -}}
{{- range regexFindAll "[0-9.]+(h|ms|m|s)" . -1 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $of := dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 -}}
{{- $seconds = addf $seconds (mulf (trimSuffix $unit . | float64) (get $of $unit)) -}}
{{- end -}}
{{- if lt $seconds 60.0 }}yes{{ end -}}
{{- end }}

{{- define "azure-lb-metadata.refuseEgress" -}}
{{- $egress := .Values.egress -}}
{{- range $network := $egress.declared -}}
{{- with include "azure-lb-metadata.wrongNetwork" $network -}}
{{- fail (printf "egress.declared: %s: %s" $network .) -}}
{{- end -}}
{{- end -}}
{{- $https := false -}}
{{- range $probe := $egress.probes -}}
{{- if contains "@" (regexFind "^https://[^/?#]*" (lower $probe)) -}}
{{- fail "egress.probes: a URL must not hold credentials, which everybody who may read pods could read" -}}
{{- end -}}
{{- with include "azure-lb-metadata.wrongProbe" $probe -}}
{{- fail (printf "egress.probes: %s: %s" $probe .) -}}
{{- end -}}
{{- if hasPrefix "https:" (lower $probe) }}{{ $https = true }}{{ end -}}
{{- end -}}
{{- if include "azure-lb-metadata.lessThanAMinute" $egress.interval -}}
{{- fail (printf "egress.interval: %s is less than a minute, the least that agents take: set 1m or more" $egress.interval) -}}
{{- end -}}
{{- with $egress.ca -}}
{{- if not $https -}}
{{- fail "egress.ca is for https: probes, and egress.probes has none: remove it, or add such a probe" -}}
{{- end -}}
{{- if contains "PRIVATE KEY" . -}}
{{- fail "egress.ca holds a private key: give certificates only, and make a new key, since this one is in your values" -}}
{{- end -}}
{{- if and (hasPrefix "/" .) (not $.Values.extraVolumeMounts) -}}
{{- fail (printf "egress.ca: %s is a path of the pod: give extraVolumes and extraVolumeMounts, or the text of the certificates" .) -}}
{{- end -}}
{{- if not (or (hasPrefix "/" .) (contains "-----BEGIN CERTIFICATE-----" .)) -}}
{{- fail "egress.ca is neither text in PEM (-----BEGIN CERTIFICATE-----) nor an absolute path" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What the NetworkPolicy opens for the probes. */}}
{{- define "azure-lb-metadata.egressRules" -}}
{{- $private := include "azure-lb-metadata.privateNetworks" . | splitList "," -}}
{{- $rules := list -}}
{{- $names := false -}}
{{- range .Values.egress.probes -}}
{{- $probe := include "azure-lb-metadata.egressProbe" . | fromJson -}}
{{- $to := list -}}
{{- if $probe.version -}}
{{- $to = list (dict "ipBlock" (dict "cidr" (printf "%s/%s" $probe.host (ternary "32" "128" (eq (int $probe.version) 4))))) -}}
{{- else -}}
{{- $names = true -}}
{{- range $any := list "0.0.0.0/0" "::/0" -}}
{{- $except := list -}}
{{- range $private -}}
{{- if eq (contains ":" .) (contains ":" $any) }}{{ $except = append $except . }}{{ end -}}
{{- end -}}
{{- $to = append $to (dict "ipBlock" (dict "cidr" $any "except" $except)) -}}
{{- end -}}
{{- end -}}
{{- $port := dict "port" (atoi $probe.port) "protocol" $probe.protocol -}}
{{- $rules = append $rules (dict "to" $to "ports" (list $port)) -}}
{{- end -}}
{{- if and $names (not .Values.simulator.enabled) -}}
{{- $rules = append $rules (include "azure-lb-metadata.dnsRule" . | fromYaml) -}}
{{- end -}}
{{- with $rules | uniq }}{{ toYaml . }}{{ end -}}
{{- end }}

{{- define "azure-lb-metadata.dnsRule" -}}
ports:
  - port: 53
    protocol: UDP
  - port: 53
    protocol: TCP
{{- end }}
