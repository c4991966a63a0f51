{{/* All prefixes that this release has had, as far as is known: a record of an earlier revision counts. */}}
{{- define "azure-lb-metadata.recordedPrefixes" -}}
{{- $name := printf "%s-prefixes" (include "azure-lb-metadata.fullname" .) -}}
{{- $live := lookup "v1" "ConfigMap" .Release.Namespace $name | default dict -}}
{{- $recorded := dig "data" dict $live | default dict | keys -}}
{{- concat $recorded .Values.annotations.previousPrefixes (list (include "azure-lb-metadata.prefix" .)) | compact | uniq | sortAlpha | join "," -}}
{{- end }}

{{/* Takes a list of the root and the hook's annotations. */}}
{{- define "azure-lb-metadata.prefixRecord" -}}
{{- $root := first . -}}
{{- $hook := last . -}}
{{- $prefixes := include "azure-lb-metadata.recordedPrefixes" $root -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "azure-lb-metadata.fullname" $root }}-prefixes
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "azure-lb-metadata.labels" (list $root "agent") | nindent 4 }}
  annotations:
    {{- toYaml $hook | nindent 4 }}
data:
  # By the prefix that an agent writes under: those that it removes the keys of.
  {{- range $prefix := splitList "," $prefixes }}
  {{ $prefix }}: {{ without (splitList "," $prefixes) $prefix | join "," | quote }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ include "azure-lb-metadata.clusterName" $root }}.prefixes
  labels:
    {{- include "azure-lb-metadata.labels" (list $root "agent") | nindent 4 }}
  annotations:
    {{- toYaml $hook | nindent 4 }}
rules:
  # No such resource exists: the policy asks for this right before it lets keys of a prefix be removed.
  - apiGroups: [azure-lb-metadata.io]
    resources: [annotationprefixes]
    resourceNames:
      {{- splitList "," $prefixes | toYaml | nindent 6 }}
    verbs: [remove]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ include "azure-lb-metadata.clusterName" $root }}.prefixes
  labels:
    {{- include "azure-lb-metadata.labels" (list $root "agent") | nindent 4 }}
  annotations:
    {{- toYaml $hook | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include "azure-lb-metadata.clusterName" $root }}.prefixes
subjects:
  - kind: ServiceAccount
    name: {{ include "azure-lb-metadata.serviceAccountName" $root }}
    namespace: {{ $root.Release.Namespace }}
{{- end }}
