{{/* Why a Node gets no agent, in a few words, or nothing; takes a list of the root and the Node. */}}
{{- define "azure-lb-metadata.uncovered" -}}
{{- $root := first . -}}
{{- $node := last . -}}
{{- $labels := $node.metadata.labels | default dict -}}
{{- $reasons := list -}}
{{- $expressions := include "azure-lb-metadata.nodeExpressions" $root | fromYamlArray -}}
{{- range $key, $value := $root.Values.nodeSelector -}}
{{- $expressions = append $expressions (dict "key" $key "operator" "In" "values" (list $value)) -}}
{{- end -}}
{{- range $expressions -}}
{{- $has := hasKey $labels .key -}}
{{- $in := and $has (has (get $labels .key) (.values | default list)) -}}
{{- $matches := dict "In" $in "NotIn" (not $in) "Exists" $has "DoesNotExist" (not $has) -}}
{{- if not (get $matches .operator | default (has .operator (list "Gt" "Lt"))) -}}
{{- $reasons = append $reasons (printf "label %s" .key) -}}
{{- end -}}
{{- end -}}
{{- $tolerations := include "azure-lb-metadata.tolerations" $root | default "[]" | fromYamlArray -}}
{{- range dig "spec" "taints" list $node | default list -}}
{{- if not (include "azure-lb-metadata.tolerated" (list $tolerations .)) -}}
{{- $reasons = append $reasons (printf "taint %s" .key) -}}
{{- end -}}
{{- end -}}
{{- $reasons | uniq | join ", " -}}
{{- end }}

{{/* Says yes when a taint keeps no agent away; takes a list of tolerations and the taint. */}}
{{- define "azure-lb-metadata.tolerated" -}}
{{- $taint := last . -}}
{{- /* A DaemonSet's pods tolerate these by themselves. */}}
{{- $always := list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" "node.kubernetes.io/disk-pressure"
  "node.kubernetes.io/memory-pressure" "node.kubernetes.io/pid-pressure" "node.kubernetes.io/unschedulable"
  "node.kubernetes.io/network-unavailable" -}}
{{- if or (eq $taint.effect "PreferNoSchedule") (has $taint.key $always) -}}
yes
{{- else -}}
{{- range first . -}}
{{- $effect := or (not .effect) (eq .effect $taint.effect) -}}
{{- $key := or (not .key) (eq .key $taint.key) -}}
{{- $value := or (eq (.operator | default "Equal") "Exists") (eq (.value | default "") ($taint.value | default "")) -}}
{{- if and $effect $key $value -}}yes{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
