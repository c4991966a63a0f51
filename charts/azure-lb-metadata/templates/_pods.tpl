{{/* Labels of every pod of ours: no mesh may come between the agent, the metadata service and its clients. The
chart's version is not among them, so that a new chart alone restarts nothing. */}}
{{- define "azure-lb-metadata.podLabels" -}}
{{- with (first .).Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
{{ include "azure-lb-metadata.selectorLabels" . }}
sidecar.istio.io/inject: "false"
kuma.io/sidecar-injection: disabled
{{- end }}

{{- define "azure-lb-metadata.podAnnotations" -}}
sidecar.istio.io/inject: "false"
linkerd.io/inject: disabled
kuma.io/sidecar-injection: disabled
{{- end }}

{{- define "azure-lb-metadata.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "azure-lb-metadata.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end }}

{{- define "azure-lb-metadata.tolerations" -}}
{{- if kindIs "slice" .Values.nodes -}}
{{- with .Values.nodes }}{{ toYaml . }}{{ end -}}
{{- else if eq .Values.nodes "all" -}}
- operator: Exists
{{- end -}}
{{- end }}

{{/* Virtual nodes are no machines: they have no metadata service. */}}
{{- define "azure-lb-metadata.nodeExpressions" -}}
- key: kubernetes.io/os
  operator: In
  values:
    - linux
- key: type
  operator: NotIn
  values:
    - virtual-kubelet
- key: virtualization
  operator: NotIn
  values:
    - virtualnode2
{{- with .Values.nodeExpressions }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where pods of ours may run; takes the root. */}}
{{- define "azure-lb-metadata.scheduling" -}}
{{- with include "azure-lb-metadata.tolerations" . -}}
tolerations:
  {{- . | nindent 2 }}
{{ end -}}
{{- with .Values.nodeSelector -}}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{ end -}}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions:
            {{- include "azure-lb-metadata.nodeExpressions" . | nindent 12 }}
{{- end }}

{{/* What all pods of ours have; takes the root. */}}
{{- define "azure-lb-metadata.podSpec" -}}
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "azure-lb-metadata.podSecurityContext" . | nindent 2 }}
{{ include "azure-lb-metadata.scheduling" . }}
{{- end }}

{{/* What all containers of ours have; takes the root. */}}
{{- define "azure-lb-metadata.container" -}}
image: {{ include "azure-lb-metadata.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- include "azure-lb-metadata.securityContext" . | nindent 2 }}
{{- end }}
