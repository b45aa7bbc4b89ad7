{{/*
Which rights the chosen values need (docs/rbac.md has the table). Kubernetes cannot narrow by name: list and delete of
pods (their names are generated), list of what owns them, pods/log of such pods, list and create of Events; and Jobs whose
names only their Application's status tells.
*/}}

{{/* Whether Temporal itself may be asked for, so that Applications are compared afresh and downstream ones synced. */}}
{{- define "trh.asksReachability" -}}
{{- if and (ne .Values.reachability "never") .Values.temporal.frontend.address }}true{{ end -}}
{{- end -}}

{{/* Whether Events are posted on Applications: with Argo CD's own API only where it is said, since they need a Role of their own. */}}
{{- define "trh.postsEvents" -}}
{{- if ternary (empty .Values.argocd.server.address) .Values.report.events (eq (toString .Values.report.events) "auto") }}true{{ end -}}
{{- end -}}

{{/* Whether Temporal's servers matter (`looks_at_temporal` in hook/settings/settings.py): not to a guard before them. */}}
{{- define "trh.looksAtTemporal" -}}
{{- if or (not (include "trh.isGuard" .)) (eq .Values.reachability "always") }}true{{ end -}}
{{- end -}}

{{/* YAML: namespace to {get: [names], patch: [names], events: bool}, of the Applications' namespaces. */}}
{{- define "trh.applicationRights" -}}
{{- $v := .Values -}}
{{- $byKubernetes := empty $v.argocd.server.address -}}
{{- $events := include "trh.postsEvents" . -}}
{{- $asks := include "trh.asksReachability" . -}}
{{- $isGuard := eq (include "trh.isGuard" .) "true" -}}
{{- $mayAsk := gt (int $v.migrations.attempts) 0 -}}
{{- $migrations := dict "application" $v.migrations.application "patch" $mayAsk "acts" $mayAsk -}}
{{- $all := include "trh.looksAtNoSchema" . | empty | ternary (list $migrations) list -}}
{{- if and $v.runtime.application.name (include "trh.looksAtTemporal" .) -}}
{{- /* Compared afresh before the run ends on a pod's fault; told by an Event that its pods were restarted; synced by a watchdog. */ -}}
{{- $acts := not (or $isGuard (empty $v.runtime.namespace)) -}}
{{- $reopens := and $v.watchdog.enabled $v.watchdog.reopenGate -}}
{{- $all = append $all (dict "application" $v.runtime.application "patch" (or $reopens (and $acts (not (empty $asks)))) "acts" $acts) -}}
{{- end -}}
{{- range $isGuard | ternary list $v.downstream -}}
{{- $all = append $all (dict "application" . "patch" $asks "acts" $asks) -}}
{{- end -}}
{{- if or $events $isGuard -}}
{{- with include "trh.gate" . -}}
{{- /* An Event carries its uid; and to a guard it tells which commit git is at. */ -}}
{{- $all = append $all (dict "application" (fromYaml .) "patch" false "acts" true) -}}
{{- end -}}
{{- end -}}
{{- $rights := dict -}}
{{- range $all -}}
{{- $application := include "trh.application" (dict "root" $ "application" .application) | fromYaml -}}
{{- $one := get $rights $application.namespace | default (dict "get" list "patch" list "events" false) -}}
{{- if $byKubernetes }}{{ $_ := set $one "get" (append $one.get $application.name | uniq) }}{{ end -}}
{{- if and $byKubernetes .patch }}{{ $_ := set $one "patch" (append $one.patch $application.name | uniq) }}{{ end -}}
{{- if and .acts $events }}{{ $_ := set $one "events" true }}{{ end -}}
{{- if or $one.get $one.events }}{{ $_ := set $rights $application.namespace $one }}{{ end -}}
{{- end -}}
{{- toYaml $rights -}}
{{- end -}}

{{/*
YAML: namespace to its rules, of the namespaces of Temporal's pods and of the Jobs of migrations and downstream: one Role
each, whatever runs there.
*/}}
{{- define "trh.podRights" -}}
{{- $v := .Values -}}
{{- $isGuard := eq (include "trh.isGuard" .) "true" -}}
{{- $looks := eq (include "trh.looksAtTemporal" .) "true" -}}
{{- $named := dict -}}
{{- $unnamed := dict -}}
{{- $migrations := $v.migrations.namespace | default $v.runtime.namespace -}}
{{- if not (include "trh.looksAtNoSchema" .) }}{{ $_ := set (ternary $unnamed $named (empty $v.migrations.jobs)) $migrations true }}{{ end -}}
{{- range $isGuard | ternary list $v.downstream }}{{ $_ := set $unnamed (.jobsNamespace | default $v.runtime.namespace) true }}{{ end -}}
{{- $rights := dict -}}
{{- range $namespace := concat (keys $named) (keys $unnamed) ($looks | ternary (list $v.runtime.namespace) list) | uniq -}}
{{- if $namespace -}}
{{- $runs := and $looks (eq $namespace $v.runtime.namespace) -}}
{{- $rules := list -}}
{{- if $runs -}}
{{- $rules = append $rules (dict "apiGroups" (list "apps") "resources" (list "deployments" "statefulsets") "verbs" (list "list")) -}}
{{- if $v.rbac.rollouts -}}
{{- $rules = append $rules (dict "apiGroups" (list "argoproj.io") "resources" (list "rollouts") "verbs" (list "list")) -}}
{{- end -}}
{{- end -}}
{{- if or (hasKey $named $namespace) (hasKey $unnamed $namespace) -}}
{{- $jobs := dict "apiGroups" (list "batch") "resources" (list "jobs") "verbs" (list "get") -}}
{{- if not (hasKey $unnamed $namespace) }}{{ $_ := set $jobs "resourceNames" $v.migrations.jobs }}{{ end -}}
{{- $rules = append $rules $jobs -}}
{{- end -}}
{{- $rules = append $rules (dict "apiGroups" (list "") "resources" (list "pods") "verbs" (and $runs (not $isGuard) | ternary (list "list" "delete") (list "list"))) -}}
{{- $rules = append $rules (dict "apiGroups" (list "") "resources" (list "pods/log") "verbs" (list "get")) -}}
{{- if $v.rbac.events -}}
{{- $rules = append $rules (dict "apiGroups" (list "") "resources" (list "events") "verbs" (list "list")) -}}
{{- end -}}
{{- $_ := set $rights $namespace $rules -}}
{{- end -}}
{{- end -}}
{{- toYaml $rights -}}
{{- end -}}

{{/* A Role and its RoleBinding: dict root, name, namespace, component, rules (YAML), subjects (names). */}}
{{- define "trh.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "trh.metadata" (merge (dict "wave" -1) .) | nindent 2 }}
rules:
  {{- .rules | trim | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "trh.metadata" (merge (dict "wave" -1) .) | nindent 2 }}
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
