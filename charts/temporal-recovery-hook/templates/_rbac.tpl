{{/*
Which rights the chosen values need (docs/rbac.md has the table). Kubernetes cannot narrow by name: list and delete of
pods (their names are generated), list of Deployments, pods/log of such pods, create of Events.
*/}}

{{/* Whether Temporal itself may be asked for, so that Applications are compared afresh and downstream ones synced. */}}
{{- define "trh.asksReachability" -}}
{{- if and (ne .Values.reachability "never") .Values.temporal.frontend.address }}true{{ end -}}
{{- end -}}

{{/* YAML: namespace to {get: [names], patch: [names], events: bool}, of the Applications' namespaces. */}}
{{- define "trh.applicationRights" -}}
{{- $v := .Values -}}
{{- $asks := include "trh.asksReachability" . -}}
{{- $migrations := dict "application" $v.migrations.application "patch" true "acts" true -}}
{{- $all := list $migrations -}}
{{- if $v.runtime.application.name -}}
{{- /* Compared afresh before the run ends on a pod's fault; told by an Event that its pods were restarted. */ -}}
{{- $looks := not (empty $v.runtime.namespace) -}}
{{- $all = append $all (dict "application" $v.runtime.application "patch" (and $asks $looks) "acts" $looks) -}}
{{- end -}}
{{- range $v.downstream -}}
{{- $all = append $all (dict "application" . "patch" $asks "acts" $asks) -}}
{{- end -}}
{{- if $v.report.events -}}
{{- with include "trh.gate" . -}}
{{- /* An Event carries its uid. */ -}}
{{- $all = append $all (dict "application" (fromYaml .) "patch" false "acts" true) -}}
{{- end -}}
{{- end -}}
{{- $rights := dict -}}
{{- range $all -}}
{{- $application := include "trh.application" (dict "root" $ "application" .application) | fromYaml -}}
{{- $one := get $rights $application.namespace | default (dict "get" list "patch" list "events" false) -}}
{{- $_ := set $one "get" (append $one.get $application.name | uniq) -}}
{{- if .patch }}{{ $_ := set $one "patch" (append $one.patch $application.name | uniq) }}{{ end -}}
{{- if and .acts $v.report.events }}{{ $_ := set $one "events" true }}{{ end -}}
{{- $_ := set $rights $application.namespace $one -}}
{{- end -}}
{{- toYaml $rights -}}
{{- end -}}

{{/* A Role and its RoleBinding: dict root, name, namespace, component, rules (YAML), subjects (names). */}}
{{- define "trh.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "trh.metadata" (merge (dict "wave" "-1") .) | nindent 2 }}
rules:
  {{- .rules | trim | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "trh.metadata" (merge (dict "wave" "-1") .) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name | quote }}
subjects:
  {{- range uniq .subjects }}
  - kind: ServiceAccount
    name: {{ . | quote }}
    namespace: {{ $.root.Release.Namespace | quote }}
  {{- end }}
{{- end -}}
