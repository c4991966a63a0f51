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
  - name: ownersBefore
    expression: >-
      {{- include "azure-lb-metadata.policyOwners" "oldObject" | nindent 6 }}
  - name: ownersAfter
    expression: >-
      {{- include "azure-lb-metadata.policyOwners" "object" | nindent 6 }}
{{- end }}

{{/* The entries of managedFields (FieldsV1), and one that owns nothing and stands for those that are not there. */}}
{{- define "azure-lb-metadata.policyOwners" -}}
{{ . }}.metadata.?managedFields.orValue([]).map(m, {
'who': dyn([m.?manager.orValue(''), m.?operation.orValue(''), m.?apiVersion.orValue(''), m.?subresource.orValue('')]),
'fields': dyn(m.?fieldsV1.orValue({})),
'metadata': dyn(m.?fieldsV1[?'f:metadata'].orValue({})),
'annotations': dyn(m.?fieldsV1[?'f:metadata'][?'f:annotations'].orValue({}))})
+ [{'who': dyn([]), 'fields': dyn({}), 'metadata': dyn({}), 'annotations': dyn({})}]
{{- end }}

{{/* Whether whatever x owns, but annotations of which the last argument says so, is also owned by x among others. */}}
{{- define "azure-lb-metadata.policyKeeps" -}}
{{ index . 0 }}.exists(y, (y.who == x.who || y.who == [])
&& x.fields.all(f, f == 'f:metadata' || (f in y.fields && x.fields[f] == y.fields[f]))
&& x.metadata.all(f, f == 'f:annotations' || (f in y.metadata && x.metadata[f] == y.metadata[f]))
&& x.annotations.all(f, f in y.annotations || {{ index . 1 }}))
{{- end }}

{{/* The first validation guards the others: only an update has an object before and after. Takes the prefix. */}}
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
- message: the rest of the Node's metadata must stay as it is
  expression: >-
    [[object, oldObject], [oldObject, object]].all(pair, dyn(pair[0].metadata).all(k,
    k in ['annotations', 'managedFields', 'resourceVersion', 'generation']
    || (k in dyn(pair[1].metadata) && dyn(pair[0].metadata)[k] == dyn(pair[1].metadata)[k])))
# Who owns a field decides what the next server-side apply of somebody else removes, or is refused.
- message: field managers must keep what they own outside {{ . }}
  expression: >-
    variables.ownersBefore.all(x, {{- include "azure-lb-metadata.policyKeeps" (list "variables.ownersAfter"
      (printf "f == '.' || f.startsWith('f:%s/') || !(f.substring(2) in variables.after)" .)) | nindent 4 }})
# A Node whose managedFields were reset gets an entry before-first-apply from the API server itself.
- message: field managers may gain nothing outside {{ . }}
  expression: >-
    variables.ownersAfter.all(x, (variables.ownersBefore.size() == 1 && x.who.size() == 4
    && x.who[0] == 'before-first-apply' && x.who[1] == 'Update')
    || {{- include "azure-lb-metadata.policyKeeps" (list "variables.ownersBefore" (printf "f.startsWith('f:%s/')" .)) | nindent 4 }})
{{- end }}
