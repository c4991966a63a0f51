{{/* What a policy of ours looks at: every request about Nodes of one service account. Takes a list of the root
and the service account's name. */}}
{{- define "azure-lb-metadata.policyMatch" -}}
{{- $root := first . -}}
failurePolicy: Fail
matchConstraints:
  resourceRules:
    - apiGroups: [""]
      apiVersions: ["*"]
      operations: ["*"]
      resources: [nodes, "nodes/*"]
matchConditions:
  - name: service-account
    expression: request.userInfo.username == 'system:serviceaccount:{{ $root.Release.Namespace }}:{{ last . }}'
variables:
  - name: before
    expression: oldObject.metadata.?annotations.orValue({})
  - name: after
    expression: object.metadata.?annotations.orValue({})
{{- end }}

{{/* The first validation guards the others: only an update has an object before and after. */}}
{{- define "azure-lb-metadata.policyUnchanged" -}}
- message: nothing of a Node but its annotations may be written, and no Node created or deleted
  expression: >-
    request.operation == 'UPDATE' && (!has(request.subResource) || request.subResource == '')
- message: the Node's spec (taints, unschedulable) must stay as it is
  expression: object.?spec.orValue({}) == oldObject.?spec.orValue({})
- message: the Node's labels must stay as they are
  expression: object.metadata.?labels.orValue({}) == oldObject.metadata.?labels.orValue({})
- message: the Node's finalizers must stay as they are
  expression: object.metadata.?finalizers.orValue([]) == oldObject.metadata.?finalizers.orValue([])
- message: the Node's owner references must stay as they are
  expression: object.metadata.?ownerReferences.orValue([]) == oldObject.metadata.?ownerReferences.orValue([])
{{- end }}
