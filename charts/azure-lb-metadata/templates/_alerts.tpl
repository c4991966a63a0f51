{{/* The alerts, each with a runbook of its name in docs/runbooks/. `cause` says what is known of the cause when it
fires. An agent's pod comes and goes, so what names it is taken off: an alert is about a node, whose name the
monitors add. */}}
{{- define "azure-lb-metadata.alerts" -}}
{{- $values := .Values.prometheusRule -}}
{{- $pod := "without (instance, pod, container, endpoint)" -}}
{{- $reason := `{{ with printf "topk(1, increase(azure_lb_metadata_attempts_total{node=%q,outcome!='ok'}[10m]) > 0)" $labels.node | query }}the last attempts failed as {{ . | first | label "outcome" }}{{ else }}no attempt has failed in the last 10 minutes{{ end }}` -}}
{{- $entries := printf `max %s (label_replace(azure_lb_metadata_entries{kind="inbound"}, "pool", "$1", "node", "(.+-vmss)[0-9a-z]{6}"))` $pod -}}
{{- $ready := printf `max by (namespace, pod) (kube_pod_status_ready{namespace=%q,condition="true"}) == 1` .Release.Namespace -}}
{{- $agents := printf `max by (namespace, pod, node) (kube_pod_info{namespace=%q,created_by_kind="DaemonSet",created_by_name=%q})` .Release.Namespace (include "azure-lb-metadata.fullname" .) -}}
{{- /* A pod with probes of its own may leave from elsewhere: its sidecar's metrics say nothing of the node. */ -}}
{{- $node := printf `namespace=%q,node!=""` .Release.Namespace -}}
{{- $by := "by (cluster, namespace, job, node)" -}}
{{- /* The first connection that fails in a new way is no increase: its counter begins with it. */ -}}
{{- $failures := `azure_lb_metadata_egress_flows_total{node=%[1]q,result!~'answered|inside'}` -}}
{{- $failed := printf `{{ with printf "topk(1, %[1]s - (%[1]s offset 1h or %[1]s * 0) > 0)" $labels.node | query }}{{ $flow := first . }}connections over {{ label "transport" $flow }} and {{ label "family" $flow }} end as {{ label "result" $flow }}{{ else }}see egress-state-changed in the agent's log{{ end }}` $failures }}
# From kube-state-metrics; Windows and virtual nodes get no agent.
- alert: AzureLBMetadataNoReadyAgent
  severity: warning
  for: {{ $values.for.noReadyAgent }}
  expr: |
    max by (node) (kube_node_info{node=~{{ $values.nodes | quote }},os_image!~"(Windows.*)?"})
      and on (node) max by (node) (kube_node_status_condition{condition="Ready",status="true"}) == 1
      unless on (node) (
        {{ $agents }}
          and on (namespace, pod) {{ $ready }}
      )
  annotations:
    summary: {{ `Node {{ $labels.node }} is ready and has no ready agent` | quote }}
    description: Pods of this node get no answer from the Service, and its annotations are not kept.
    cause: {{ printf `{{ with printf "%s and on (node) kube_node_info{node=%%q}" $labels.node | query }}its agent {{ . | first | label "pod" }} is not ready{{ else }}it has no pod of the DaemonSet: see its taints and labels{{ end }}` (replace `"` `'` $agents) | quote }}
- alert: AzureLBMetadataNoAnswer
  severity: warning
  for: {{ $values.for.noAnswer }}
  expr: |
    max {{ $pod }} (azure_lb_metadata_status{status="starting"}) == 1
  annotations:
    summary: {{ `The agent of node {{ $labels.node }} has never had an answer` | quote }}
    description: It has no data to serve, and is not ready.
    cause: {{ $reason | quote }}
- alert: AzureLBMetadataStale
  severity: warning
  for: {{ $values.for.stale }}
  expr: |
    max {{ $pod }} (azure_lb_metadata_status{status="stale"}) == 1
  annotations:
    summary: {{ `The data of node {{ $labels.node }} are stale` | quote }}
    description: The metadata service has not answered for stale-after. What it said last is still served.
    cause: {{ $reason | quote }}
- alert: AzureLBMetadataOutboundAddressesChanged
  severity: warning
  expr: |
    time() - max {{ $pod }} (azure_lb_metadata_last_change_timestamp_seconds{kind="outbound"}) < {{ int $values.changedWithinSeconds }}
  annotations:
    summary: {{ `The outbound IPs of node {{ $labels.node }} have changed` | quote }}
    description: Whoever lets this cluster in by address has to know the new ones.
    cause: the outbound rules or frontends of the load balancer were changed; the Node's annotation last-changes says how
- alert: AzureLBMetadataFewerInboundRules
  severity: warning
  for: {{ $values.for.fewerInboundRules }}
  expr: |
    (
      {{ $entries }}
        < on (cluster, namespace, job, pool) group_left ()
      quantile by (cluster, namespace, job, pool) (0.5, {{ $entries }})
    )
      and on (cluster, namespace, job, node)
      max {{ $pod }} (azure_lb_metadata_status{status=~"ok|no-metadata"}) == 1
  annotations:
    summary: {{ `Node {{ $labels.node }} has fewer inbound rules than most of its scale set` | quote }}
    description: {{ `It has {{ $value }}. The load balancer does not send it all that it sends the others.` | quote }}
    cause: the machine is missing from a backend pool of the load balancer, or its rules are not in effect yet
- alert: AzureLBMetadataNotPublished
  severity: warning
  for: {{ $values.for.notPublished }}
  expr: |
    max {{ $pod }} (azure_lb_metadata_publish_lag_seconds) > 0
  annotations:
    summary: {{ `What the agent of node {{ $labels.node }} knows is not written ({{ $labels.publisher }})` | quote }}
    description: {{ `It has been behind for {{ $value | humanizeDuration }}. The HTTP API is not concerned.` | quote }}
    cause: {{ `{{ with printf "topk(1, increase(azure_lb_metadata_kubernetes_requests_total{node=%q,code!~'2..'}[10m]) > 0)" $labels.node | query }}{{ $request := first . }}the API server answered {{ label "method" $request }} with {{ label "code" $request }}{{ else }}see publish-failed in the agent's log{{ end }}` | quote }}
- alert: AzureLBMetadataAnnotationsOmitted
  severity: info
  for: {{ $values.for.annotationsOmitted }}
  expr: |
    max {{ $pod }} (azure_lb_metadata_omitted_annotations) > 0
  annotations:
    summary: {{ `{{ $value }} annotations of node {{ $labels.node }} are left out` | quote }}
    description: The HTTP API has all of it; who reads annotations does not.
    cause: its load balancer has more rules than fit into annotations.budget
- alert: AzureLBMetadataEgressUnlisted
  severity: warning
  for: {{ $values.for.egressUnlisted }}
  expr: |
    max {{ $pod }} (azure_lb_metadata_egress_state{state="unlisted",{{ $node }}}) == 1
      unless on (cluster, namespace, job, node)
      max {{ $pod }} (azure_lb_metadata_status{status="starting"}) == 1
  annotations:
    summary: {{ `Connections of node {{ $labels.node }} come from an address that is not published` | quote }}
    description: Whoever allows the published egress addresses refuses this node, some of the time or always.
    cause: {{ `{{ with printf "sum(azure_lb_metadata_egress_observed_addresses{node=%q,listed='true'}) > 0" $labels.node | query }}some of the addresses that probes saw are published and others not: the list is too short, or the way out was changed{{ else }}none of the addresses that probes saw is published: a NAT gateway, a firewall or a route table that is not declared{{ end }}` | quote }}
- alert: AzureLBMetadataEgressLost
  severity: warning
  for: {{ $values.for.egressLost }}
  # Of an agent that began anew without an answer, what an earlier run saw is no sign that anybody answers.
  expr: |
    max {{ $pod }} (azure_lb_metadata_egress_state{state="unanswered",{{ $node }}}) == 1
      and on (cluster, namespace, job)
      (
        max {{ $by }} (azure_lb_metadata_egress_state{state=~"agrees|unlisted|inside",{{ $node }}}) == 1
          and on (cluster, namespace, job, node)
        sum {{ $by }} (azure_lb_metadata_egress_flows_total{result=~"answered|inside",{{ $node }}}) > 0
      )
  annotations:
    summary: {{ `No egress probe answers node {{ $labels.node }}` | quote }}
    description: Probes answer other nodes at the same time, so it is this node, its subnet or its zone that has lost its way out.
    cause: {{ $failed | quote }}
- alert: AzureLBMetadataEgressAddressNew
  severity: warning
  # Not the first addresses of an agent: it ran already, and knew some, when this time began.
  expr: |
    max {{ $pod }} (
      sum without (family) (increase(azure_lb_metadata_egress_new_addresses_total{{ printf "{%s}" $node }}[{{ int $values.changedWithinSeconds }}s])) > 0
        and sum without (family, listed) (azure_lb_metadata_egress_observed_addresses{{ printf "{%s}" $node }} offset {{ int $values.changedWithinSeconds }}s) > 0
        and sum without (family, listed) (azure_lb_metadata_egress_observed_addresses{listed="false",{{ $node }}}) > 0
        and time() - process_start_time_seconds{{ printf "{%s}" $node }} > {{ int $values.changedWithinSeconds }}
    )
  annotations:
    summary: {{ `Connections of node {{ $labels.node }} come from an address that was not seen before` | quote }}
    description: Not all that probes saw is published. Whoever lets this cluster in by address has to know the new one.
    cause: a NAT gateway, a firewall or a route table was changed, or has more addresses than were seen so far; egress-address-seen in the agent's log names the address
{{- end }}
