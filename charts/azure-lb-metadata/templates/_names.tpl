{{- define "azure-lb-metadata.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{/* 52 characters leave room for what the names of other objects add. */}}
{{- define "azure-lb-metadata.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "azure-lb-metadata.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "azure-lb-metadata.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Objects without a namespace have it in their names, so that releases in two namespaces do not meet. */}}
{{- define "azure-lb-metadata.clusterName" -}}
{{- $name := include "azure-lb-metadata.fullname" . -}}
{{- if eq $name .Release.Namespace }}{{ $name }}{{ else }}{{ printf "%s.%s" $name .Release.Namespace }}{{ end -}}
{{- end }}

{{- define "azure-lb-metadata.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "azure-lb-metadata.fullname" .) -}}
{{- end }}

{{/* The domain of annotation keys. What a simulator makes up never stands where real data are looked for, nor
does its agent rewrite those of a release beside it. */}}
{{- define "azure-lb-metadata.prefix" -}}
{{- if .Values.simulator.enabled }}simulated.{{ end }}{{ .Values.annotations.prefix -}}
{{- end }}

{{- define "azure-lb-metadata.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Takes a list of the root and a component: agent, simulator, prune or test. */}}
{{- define "azure-lb-metadata.selectorLabels" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ include "azure-lb-metadata.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{- define "azure-lb-metadata.labels" -}}
{{- $root := first . -}}
{{- with $root.Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{ include "azure-lb-metadata.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- end }}
