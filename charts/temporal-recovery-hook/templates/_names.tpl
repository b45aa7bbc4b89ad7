{{/* Names and labels. Every named template takes the root context unless it says otherwise. */}}

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

{{/* A Job's name becomes a label of its pods, which may have 63 characters. */}}
{{- define "trh.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $own := default .Chart.Name .Values.nameOverride -}}
{{- $name = contains $own .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $own) -}}
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

{{/* Labels, in YAML; the chart's own win over commonLabels. */}}
{{- define "trh.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/name" (include "trh.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "temporal"
-}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end -}}

{{/* metadata of an object: dict root, name, namespace, wave, component; annotations (dict) may be given. */}}
{{- define "trh.metadata" -}}
{{- $labels := include "trh.labels" .root | fromYaml -}}
{{- $annotations := merge (dict "argocd.argoproj.io/sync-wave" .wave) (default dict .annotations) .root.Values.commonAnnotations -}}
name: {{ .name | quote }}
namespace: {{ .namespace | quote }}
labels:
  {{- toYaml (merge (dict "app.kubernetes.io/component" .component) $labels) | nindent 2 }}
annotations:
  {{- toYaml $annotations | nindent 2 }}
{{- end -}}
