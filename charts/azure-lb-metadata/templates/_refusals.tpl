{{/* Combinations that cannot work are refused here, with what to do instead; what is wrong by itself is refused
by values.schema.json. */}}
{{- define "azure-lb-metadata.refusals" -}}
{{- include "azure-lb-metadata.refuseCluster" . -}}
{{- include "azure-lb-metadata.refuseValues" . -}}
{{- include "azure-lb-metadata.refuseEgress" . -}}
{{- include "azure-lb-metadata.refuseArguments" . -}}
{{- include "azure-lb-metadata.refusePrefix" . -}}
{{- end }}

{{- define "azure-lb-metadata.refuseCluster" -}}
{{- $version := .Capabilities.KubeVersion.Version -}}
{{- if and .Values.publish.annotations .Values.policy.enabled (semverCompare "<1.30.0-0" $version) -}}
{{- fail (printf "Kubernetes %s has no ValidatingAdmissionPolicy, which needs 1.30: set policy.enabled=false, and every agent may write to every Node" $version) -}}
{{- end -}}
{{- end }}

{{- define "azure-lb-metadata.refuseValues" -}}
{{- with .Values -}}
{{- range append .annotations.previousPrefixes .annotations.prefix -}}
{{- if regexMatch "^(.*\\.)?(kubernetes\\.io|k8s\\.io|kubernetes\\.azure\\.com)$" . -}}
{{- fail (printf "annotations: the prefix %s is reserved, use a domain of your own" .) -}}
{{- end -}}
{{- end -}}
{{- if and .simulator.enabled (ne .imds.endpoint "http://169.254.169.254") -}}
{{- fail "simulator.enabled and imds.endpoint exclude each other: agents read the simulator or that endpoint" -}}
{{- end -}}
{{- if and .simulator.enabled (gt (len .annotations.prefix) 100) -}}
{{- fail "annotations.prefix has more than 100 characters, and with simulator.enabled it becomes simulated. and this" -}}
{{- end -}}
{{- if and .podMonitor.enabled .serviceMonitor.enabled -}}
{{- fail "podMonitor.enabled and serviceMonitor.enabled exclude each other: everything would be scraped twice" -}}
{{- end -}}
{{- if and .events.enabled (not .publish.annotations) -}}
{{- fail "events.enabled needs publish.annotations: agents that do not write to the API server know no Node" -}}
{{- end -}}
{{- if and .hostNetwork .networkPolicy.enabled -}}
{{- fail "networkPolicy.enabled has no effect on pods with hostNetwork: use api.allowFrom" -}}
{{- end -}}
{{- if and .networkPolicy.egress.enabled (not .networkPolicy.enabled) -}}
{{- fail "networkPolicy.egress.enabled needs networkPolicy.enabled" -}}
{{- end -}}
{{- if and .networkPolicy.egress.enabled .publish.annotations (not .networkPolicy.egress.apiServerNetworks) -}}
{{- fail "networkPolicy.egress.enabled would cut the agents off the API server: give its networks in networkPolicy.egress.apiServerNetworks, or set publish.annotations=false" -}}
{{- end -}}
{{- if eq (int .api.port) (int .admin.port) -}}
{{- fail (printf "api.port and admin.port are both %d" (int .api.port)) -}}
{{- end -}}
{{- if and (not .serviceAccount.create) (not .serviceAccount.name) -}}
{{- fail "serviceAccount.create=false needs serviceAccount.name" -}}
{{- end -}}
{{- if eq .serviceAccount.name "default" -}}
{{- fail "serviceAccount.name=default would give every pod of the namespace the agent's rights and its policy" -}}
{{- end -}}
{{- if and .file (not .extraVolumeMounts) -}}
{{- fail "file needs a place to write to, since the image is read-only: give extraVolumes and extraVolumeMounts" -}}
{{- end -}}
{{- $surge := dig "rollingUpdate" "maxSurge" 0 .updateStrategy | toString -}}
{{- if and .hostNetwork (not (has $surge (list "0" "0%"))) -}}
{{- fail "updateStrategy.rollingUpdate.maxSurge must be 0 with hostNetwork: two agents of a node cannot have one port" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "azure-lb-metadata.refuseArguments" -}}
{{- $reserved := list "--listen" "--admin-listen" "--max-clients" "--max-header-size" "--idle-timeout" "--allow-forwarded" "--no-allow-forwarded"
  "--allow-from" "--imds-endpoint" "--imds-api-version" "--poll-interval" "--imds-timeout" "--stale-after"
  "--absent-after" "--annotate" "--annotation-prefix" "--annotation-budget" "--write-splay" "--resync-interval"
  "--heartbeat-interval" "--annotations" "--no-annotations" "--events" "--no-events" "--events-fault-after"
  "--egress-declared" "--egress-probe" "--egress-probe-interval" "--egress-probe-flows" "--egress-probe-keep" "--egress-probe-ca"
  "--file" "--metrics-addresses" "--no-metrics-addresses" "--log-format" "--log-level" -}}
{{- range .Values.extraArgs -}}
{{- $flag := regexFind "^--[a-z-]+" . -}}
{{- if has $flag $reserved -}}
{{- fail (printf "extraArgs: %s is set by a value of the chart, see README.md" $flag) -}}
{{- end -}}
{{- end -}}
{{- $labels := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component"
  "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart"
  "sidecar.istio.io/inject" "kuma.io/sidecar-injection" "linkerd.io/inject" -}}
{{- range $name := list "commonLabels" "podLabels" "podAnnotations" -}}
{{- range $key, $_ := get $.Values $name -}}
{{- if has $key $labels -}}
{{- fail (printf "%s: %s is set by the chart and cannot be changed" $name $key) -}}
{{- end -}}
{{- if and (eq $name "podLabels") (hasKey $.Values.commonLabels $key) -}}
{{- fail (printf "podLabels: %s is one of commonLabels already" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A prefix that changes without a word would leave the old keys on every Node for ever. */}}
{{- define "azure-lb-metadata.refusePrefix" -}}
{{- $live := lookup "apps/v1" "DaemonSet" .Release.Namespace (include "azure-lb-metadata.fullname" .) | default dict -}}
{{- $old := dig "metadata" "annotations" "azure-lb-metadata.io/annotation-prefix" "" $live -}}
{{- $known := append .Values.annotations.previousPrefixes (include "azure-lb-metadata.prefix" .) -}}
{{- if and $old .Values.publish.annotations (not (has $old $known)) -}}
{{- fail (printf "annotations.prefix changes from %s to %s: add the old one to annotations.previousPrefixes, and the agents remove its keys" $old (include "azure-lb-metadata.prefix" .)) -}}
{{- end -}}
{{- end }}
