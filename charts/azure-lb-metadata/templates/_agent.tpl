{{/* What the agent binds to before the port. In the node's network it must not be every address; see allowFrom
for why that alone does not keep the internet out. */}}
{{- define "azure-lb-metadata.host" -}}
{{- if .Values.hostNetwork }}host{{ end -}}
{{- end }}

{{/* On Azure, what is sent to a machine's public address arrives at its private one: only the sender's address
tells the two apart. */}}
{{- define "azure-lb-metadata.allowFrom" -}}
{{- $private := include "azure-lb-metadata.privateNetworks" . | splitList "," -}}
{{- .Values.api.allowFrom | default (ternary $private list .Values.hostNetwork) | join "," -}}
{{- end }}

{{/* What is not reached from the internet. */}}
{{- define "azure-lb-metadata.privateNetworks" -}}
10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,fc00::/7,fe80::/10,::1/128
{{- end }}

{{- define "azure-lb-metadata.imdsEndpoint" -}}
{{- if .Values.simulator.enabled -}}
http://{{ include "azure-lb-metadata.fullname" . }}-simulator.{{ .Release.Namespace }}
{{- else -}}
{{ .Values.imds.endpoint }}
{{- end -}}
{{- end }}

{{/* Every setting of the agent that is a value, as a flag: a wrong one stops the start, a variable would not. */}}
{{- define "azure-lb-metadata.args" -}}
{{- $host := include "azure-lb-metadata.host" . -}}
- --listen={{ $host }}:{{ .Values.api.port }}
- --admin-listen={{ $host }}:{{ .Values.admin.port }}
- --max-clients={{ int .Values.api.maxClients }}
- --max-header-size={{ int .Values.api.maxHeaderSize }}
- --idle-timeout={{ .Values.api.idleTimeout }}
{{- if .Values.api.allowForwarded }}
- --allow-forwarded
{{- end }}
{{- with include "azure-lb-metadata.allowFrom" . }}
- --allow-from={{ . }}
{{- end }}
- --imds-endpoint={{ include "azure-lb-metadata.imdsEndpoint" . }}
- --imds-api-version={{ .Values.imds.apiVersion }}
- --poll-interval={{ .Values.imds.pollInterval }}
- --imds-timeout={{ .Values.imds.timeout }}
- --stale-after={{ .Values.imds.staleAfter }}
- --absent-after={{ .Values.imds.absentAfter }}
{{- with .Values.egress }}
{{- with .declared }}
- --egress-declared={{ join "," . }}
{{- end }}
{{- if .probes }}
- "--egress-probe={{ join "," .probes }}"
- --egress-probe-interval={{ .interval }}
- --egress-probe-flows={{ int .flows }}
- --egress-probe-keep={{ .keep }}
{{- with .ca }}
- --egress-probe-ca={{ ternary . "/etc/azure-lb-metadata/egress/ca.pem" (hasPrefix "/" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.publish.annotations }}
{{- with .Values.annotations }}
- --annotate={{ .content }}
- --annotation-prefix={{ include "azure-lb-metadata.prefix" $ }}
- --annotation-budget={{ int .budget }}
- --write-splay={{ .writeSplay }}
- --resync-interval={{ .resyncInterval }}
- --heartbeat-interval={{ .heartbeatInterval }}
{{- end }}
{{- if .Values.events.enabled }}
- --events
- --events-fault-after={{ .Values.events.faultAfter }}
{{- end }}
{{- else }}
- --no-annotations
{{- end }}
{{- with .Values.file }}
- --file={{ . }}
{{- end }}
{{- if .Values.metrics.addresses }}
- --metrics-addresses
{{- end }}
- --log-format={{ .Values.log.format }}
- --log-level={{ .Values.log.level }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The network of the endpoint's one address, for a NetworkPolicy. */}}
{{- define "azure-lb-metadata.endpointNetwork" -}}
{{- $host := (urlParse .Values.imds.endpoint).hostname -}}
{{- if not (regexMatch "^[0-9.]+$|:" $host) -}}
{{- fail "networkPolicy.egress.enabled needs an address, not a name, in imds.endpoint" -}}
{{- end -}}
{{ $host | trimPrefix "[" | trimSuffix "]" }}/{{ ternary "128" "32" (contains ":" $host) }}
{{- end }}

{{- define "azure-lb-metadata.endpointPort" -}}
{{- $url := urlParse .Values.imds.endpoint -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end }}
