{{/* Names and labels. Every named template takes the root context unless it says otherwise. */}}

{{/* Whether it guards the Application that it is part of: its wave comes before everything that has none. */}}
{{- define "trh.isGuard" -}}
{{- if lt (int .Values.hook.wave) 0 }}true{{ end -}}
{{- end -}}

{{/*
Whether it is a guard that waits until Temporal answers and looks at no schema: it names neither database nor migrations
(migrations.strategy none in hook/settings/settings.py).
*/}}
{{- define "trh.looksAtNoSchema" -}}
{{- $store := .Values.stores.default -}}
{{- $named := or .Values.migrations.application.name $store.host $store.secret.name $store.user $store.clientSecret.name -}}
{{- if and (include "trh.isGuard" .) (eq .Values.reachability "always") (not $named) }}true{{ end -}}
{{- end -}}

{{/* Whether it is a guard without Argo CD: all that it needs is a hook of Helm's then, and comes before the release, too. */}}
{{- define "trh.isHelmGuard" -}}
{{- if and (include "trh.isGuard" .) (not .Values.gate.application.enabled) }}true{{ end -}}
{{- end -}}

{{- define "trh.name" -}}
{{- regexReplaceAll "[-.]+$" (default .Chart.Name .Values.nameOverride | trunc 63) "" -}}
{{- end -}}

{{/*
A name of at most so many characters: dict name, most. A longer one ends in a digest instead of being cut, or two releases that
differ at the end would share their objects.
*/}}
{{- define "trh.cut" -}}
{{- $name := .name -}}
{{- if gt (len $name) .most -}}
{{- $name = printf "%s-%s" (regexReplaceAll "[-.]+$" ($name | trunc (sub .most 9 | int)) "") ($name | sha256sum | trunc 8) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/*
A Job's name becomes a label of its pods, which may have 63 characters. A guard's release is the guarded chart's, whose own
objects may bear the release's name alone.
*/}}
{{- define "trh.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $own := default .Chart.Name .Values.nameOverride -}}
{{- $isWhole := and (contains $own .Release.Name) (not (include "trh.isGuard" .)) -}}
{{- $name = $isWhole | ternary .Release.Name (printf "%s-%s" .Release.Name $own) -}}
{{- end -}}
{{- include "trh.cut" (dict "name" $name "most" 63) -}}
{{- end -}}

{{/* A CronJob's name may have 52 characters: 11 are kept for what its Jobs' names add. */}}
{{- define "trh.watchdogName" -}}
{{- include "trh.cut" (dict "name" (include "trh.fullname" .) "most" 43) }}-watchdog
{{- end -}}

{{- define "trh.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "trh.fullname" .) -}}
{{- end -}}

{{- define "trh.watchdogServiceAccountName" -}}
{{- $own := .Values.serviceAccount.create | ternary (include "trh.watchdogName" .) (include "trh.serviceAccountName" .) -}}
{{- .Values.watchdog.serviceAccount.name | default $own -}}
{{- end -}}

{{- define "trh.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Labels, in YAML; the chart's own win over commonLabels. The name is the same under every alias and nameOverride: by it a gate
knows the Job of a guard (hook/observation/workloads.py).
*/}}
{{- define "trh.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/name" "temporal-recovery-hook"
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "temporal"
-}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end -}}

{{/*
metadata of an object: dict root, name, namespace, wave (counted from hook.wave), component; annotations (dict) may be given.
*/}}
{{- define "trh.metadata" -}}
{{- $labels := include "trh.labels" .root | fromYaml -}}
{{- $wave := add (int .root.Values.hook.wave) (int .wave) | toString -}}
{{- $order := dict "argocd.argoproj.io/sync-wave" $wave -}}
{{- if include "trh.isHelmGuard" .root -}}
{{- /* Deleted once all hooks have succeeded; the Job, which has a policy of its own, stays for its log. */ -}}
{{- $_ := set $order "helm.sh/hook" "pre-install,pre-upgrade" -}}
{{- $_ := set $order "helm.sh/hook-weight" $wave -}}
{{- if not (hasKey (default dict .annotations) "helm.sh/hook-delete-policy") -}}
{{- $_ := set $order "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" -}}
{{- end -}}
{{- end -}}
{{- $annotations := merge $order (default dict .annotations) .root.Values.commonAnnotations -}}
name: {{ .name | quote }}
namespace: {{ .namespace | quote }}
labels:
  {{- toYaml (merge (dict "app.kubernetes.io/component" .component) $labels) | nindent 2 }}
annotations:
  {{- toYaml $annotations | nindent 2 }}
{{- end -}}
