{{/*
The settings file of the program (hook/settings.py), and where the files that it names come from. Only what is given is
written, so that the program's defaults and inheritance (visibility from default) hold; names, never secrets.
*/}}

{{- define "trh.configDirectory" -}}/etc/temporal-recovery-hook{{- end -}}
{{- define "trh.secretsDirectory" -}}/etc/temporal-recovery-hook-secrets{{- end -}}

{{/* An Application as {name, namespace}, in YAML: dict root, application. */}}
{{- define "trh.application" -}}
name: {{ .application.name | quote }}
namespace: {{ .application.namespace | default .root.Values.argocd.namespace | quote }}
{{- end -}}

{{/* The gate's own Application; nothing where it has none. */}}
{{- define "trh.gate" -}}
{{- with .Values.gate.application -}}
{{- if .enabled -}}
{{- include "trh.application" (dict "root" $ "application" (dict "name" (default $.Release.Name .name) "namespace" .namespace)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
A Secret of a store, name and keys: dict root, store, block (secret, caSecret, clientSecret). The visibility store's is
completed from the default store's where anything of it is given; else it has no name, and the program inherits the files.
*/}}
{{- define "trh.storeSecret" -}}
{{- $default := get .root.Values.stores.default .block -}}
{{- $own := get (get .root.Values.stores .store) .block -}}
{{- $given := not (empty (without (values $own) "")) -}}
{{- range $part, $value := $own }}
{{ $part }}: {{ $given | ternary ($value | default (get $default $part)) "" | quote }}
{{- end -}}
{{- end -}}

{{/* One store's block: dict root, store. */}}
{{- define "trh.storeConfig" -}}
{{- $v := get .root.Values.stores .store -}}
{{- $secret := include "trh.storeSecret" (dict "root" .root "store" .store "block" "secret") | fromYaml -}}
{{- $files := printf "%s/%s" (include "trh.secretsDirectory" .root) .store -}}
{{- $block := dict "database" $v.database -}}
{{- with $v.host }}{{ $_ := set $block "host" . }}{{ end -}}
{{- with $v.port }}{{ $_ := set $block "port" (int .) }}{{ end -}}
{{- with $v.user }}{{ $_ := set $block "user" . }}{{ end -}}
{{- if and $secret.name $secret.passwordKey }}{{ $_ := set $block "passwordFile" (printf "%s/password" $files) }}{{ end -}}
{{- with $v.sslMode }}{{ $_ := set $block "sslMode" . }}{{ end -}}
{{- if (include "trh.storeSecret" (dict "root" .root "store" .store "block" "caSecret") | fromYaml).name -}}
{{- $_ := set $block "sslRootCertFile" (printf "%s/ca.crt" $files) -}}
{{- end -}}
{{- if (include "trh.storeSecret" (dict "root" .root "store" .store "block" "clientSecret") | fromYaml).name -}}
{{- $_ := set $block "sslCertFile" (printf "%s/tls.crt" $files) -}}
{{- $_ := set $block "sslKeyFile" (printf "%s/tls.key" $files) -}}
{{- end -}}
{{- if eq .store "visibility" }}{{ $_ := set $block "enabled" $v.enabled }}{{ end -}}
{{- if and (eq .store "visibility") (not $v.enabled) }}{{ $block = dict "enabled" false }}{{ end -}}
{{- toYaml $block -}}
{{- end -}}

{{/* The whole file: dict root, watchdog (bool). */}}
{{- define "trh.config" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $files := include "trh.secretsDirectory" $root -}}

{{- $temporal := dict "version" $v.temporal.version -}}
{{- with $v.temporal.schemaVersions.default }}{{ $_ := set $temporal "schemaVersions" (dict "default" .) }}{{ end -}}
{{- with $v.temporal.schemaVersions.visibility }}{{ $_ := set $temporal.schemaVersions "visibility" . }}{{ end -}}
{{- with $v.temporal.frontend -}}
{{- if .address -}}
{{- $frontend := dict "address" .address -}}
{{- if .tls.enabled -}}
{{- $tls := dict -}}
{{- with .tls.serverName }}{{ $_ := set $tls "serverName" . }}{{ end -}}
{{- if .tls.caSecret.name }}{{ $_ := set $tls "caFile" (printf "%s/frontend/ca.crt" $files) }}{{ end -}}
{{- if .tls.clientSecret.name -}}
{{- $_ := set $tls "certFile" (printf "%s/frontend/tls.crt" $files) -}}
{{- $_ := set $tls "keyFile" (printf "%s/frontend/tls.key" $files) -}}
{{- end -}}
{{- $_ := set $frontend "tls" $tls -}}
{{- end -}}
{{- if .tokenSecret.name }}{{ $_ := set $frontend "tokenFile" (printf "%s/frontend/token" $files) }}{{ end -}}
{{- if .allowPlainTextToken }}{{ $_ := set $frontend "allowPlainTextToken" true }}{{ end -}}
{{- $_ := set $temporal "frontend" $frontend -}}
{{- end -}}
{{- end -}}

{{- $stores := dict -}}
{{- range $store := list "default" "visibility" -}}
{{- $_ := set $stores $store (include "trh.storeConfig" (dict "root" $root "store" $store) | fromYaml) -}}
{{- end -}}

{{- $migrations := dict "attempts" (int $v.migrations.attempts) "pauseSeconds" $v.migrations.pauseSeconds -}}
{{- $_ := set $migrations "application" (include "trh.application" (dict "root" $root "application" $v.migrations.application) | fromYaml) -}}

{{- $runtime := dict "selector" $v.runtime.selector "stableSeconds" $v.runtime.stableSeconds -}}
{{- with $v.runtime.namespace }}{{ $_ := set $runtime "namespace" . }}{{ end -}}
{{- if $v.runtime.application.name -}}
{{- $_ := set $runtime "application" (include "trh.application" (dict "root" $root "application" $v.runtime.application) | fromYaml) -}}
{{- end -}}

{{- $downstream := list -}}
{{- range $v.downstream -}}
{{- $downstream = append $downstream (include "trh.application" (dict "root" $root "application" .) | fromYaml) -}}
{{- end -}}

{{- $config := dict
  "temporal" $temporal
  "stores" $stores
  "migrations" $migrations
  "runtime" $runtime
  "downstream" $downstream
  "reachability" $v.reachability
  "onEmptyDatabase" (.watchdog | ternary "fail" $v.onEmptyDatabase)
  "deadlineSeconds" (.watchdog | ternary $v.watchdog.deadlineSeconds $v.deadlineSeconds)
  "graceSeconds" $v.graceSeconds
  "intervalSeconds" $v.intervalSeconds
  "patienceSeconds" (.watchdog | ternary (minf $v.patienceSeconds (divf $v.watchdog.deadlineSeconds 2)) $v.patienceSeconds)
  "clockSkewSeconds" $v.clockSkewSeconds
  "requestTimeoutSeconds" $v.requestTimeoutSeconds
  "report" (dict "format" $v.report.format "events" $v.report.events)
-}}
{{- with include "trh.gate" $root }}{{ $_ := set $config "gate" (fromYaml .) }}{{ end -}}
{{- if and .watchdog $v.watchdog.reopenGate }}{{ $_ := set $config "reopenGate" true }}{{ end -}}
{{- with $v.argocd -}}
{{- if .kubeconfigSecret.name -}}
{{- $argocd := dict "kubeconfigFile" (printf "%s/argocd/kubeconfig" $files) -}}
{{- with .context }}{{ $_ := set $argocd "context" . }}{{ end -}}
{{- $_ := set $config "argocd" $argocd -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The files that the settings name: a list of a projected volume's sources. */}}
{{- define "trh.secretSources" -}}
{{- range $store := list "default" "visibility" -}}
{{- $v := get $.Values.stores $store -}}
{{- if or (eq $store "default") $v.enabled -}}
{{- $secret := include "trh.storeSecret" (dict "root" $ "store" $store "block" "secret") | fromYaml -}}
{{- if and $secret.name $secret.passwordKey }}
{{- include "trh.secretSource" (dict "secret" $secret.name "items" (dict "password" $secret.passwordKey) "directory" $store) }}
{{- end -}}
{{- $tls := dict -}}
{{- range list "caSecret" "clientSecret" -}}
{{- $_ := set $tls . (include "trh.storeSecret" (dict "root" $ "store" $store "block" .) | fromYaml) -}}
{{- end -}}
{{- include "trh.tlsSources" (dict "tls" $tls "directory" $store) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.temporal.frontend.address .Values.temporal.frontend.tls.enabled -}}
{{- include "trh.tlsSources" (dict "tls" .Values.temporal.frontend.tls "directory" "frontend") -}}
{{- end -}}
{{- with .Values.temporal.frontend.tokenSecret -}}
{{- if .name -}}
{{- include "trh.secretSource" (dict "secret" .name "items" (dict "token" .key) "directory" "frontend") -}}
{{- end -}}
{{- end -}}
{{- with .Values.argocd.kubeconfigSecret -}}
{{- if .name -}}
{{- include "trh.secretSource" (dict "secret" .name "items" (dict "kubeconfig" .key) "directory" "argocd") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* CA and client certificate of a block that has caSecret and clientSecret: dict tls, directory. */}}
{{- define "trh.tlsSources" -}}
{{- with .tls.caSecret -}}
{{- if .name -}}
{{- include "trh.secretSource" (dict "secret" .name "items" (dict "ca.crt" .key) "directory" $.directory) -}}
{{- end -}}
{{- end -}}
{{- with .tls.clientSecret -}}
{{- if .name -}}
{{- include "trh.secretSource" (dict "secret" .name "items" (dict "tls.crt" .certKey "tls.key" .keyKey) "directory" $.directory) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* One Secret's keys as files: dict secret, items (file to key), directory. */}}
{{- define "trh.secretSource" }}
- secret:
    name: {{ .secret | quote }}
    items:
      {{- range $file, $key := .items }}
      - key: {{ $key | quote }}
        path: {{ $.directory }}/{{ $file }}
      {{- end }}
{{- end -}}

{{/*
What a Secret holds beside the password: role and port, as environment variables, which win over the file. A role that
changes needs a new run; a password does not. The visibility store's are its Secret's only where it says so itself, or where
the default store's are a Secret's, too: what that store says by value is inherited.
*/}}
{{- define "trh.secretEnv" -}}
{{- range $store := list "default" "visibility" -}}
{{- $v := get $.Values.stores $store -}}
{{- $secret := include "trh.storeSecret" (dict "root" $ "store" $store "block" "secret") | fromYaml -}}
{{- if and $secret.name (or (eq $store "default") $v.enabled) -}}
{{- $default := $.Values.stores.default -}}
{{- if and (not $v.user) $secret.userKey (or $v.secret.userKey (not $default.user)) }}
- name: TRH_STORES__{{ upper $store }}__USER
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name | quote }}
      key: {{ $secret.userKey | quote }}
{{- end -}}
{{- if and (not $v.port) $secret.portKey (or $v.secret.portKey (not $default.port)) }}
- name: TRH_STORES__{{ upper $store }}__PORT
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name | quote }}
      key: {{ $secret.portKey | quote }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
