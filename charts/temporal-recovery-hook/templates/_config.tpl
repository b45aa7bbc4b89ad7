{{/*
The settings file of the program (hook/settings.py), and where the files that it names come from. Only what is given is
written, so that the program's defaults and inheritance (visibility from default) hold; names, never secrets.
*/}}

{{- define "trh.configDirectory" -}}/etc/temporal-recovery-hook{{- end -}}
{{- define "trh.secretsDirectory" -}}/etc/temporal-recovery-hook-secrets{{- end -}}

{{/* An Application as {name, namespace, project}, in YAML: dict root, application. */}}
{{- define "trh.application" -}}
name: {{ .application.name | quote }}
namespace: {{ .application.namespace | default .root.Values.argocd.namespace | quote }}
{{- with .application.project }}
project: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The gate's own Application; nothing where it has none. */}}
{{- define "trh.gate" -}}
{{- with .Values.gate.application -}}
{{- if .enabled -}}
{{- include "trh.application" (dict "root" $ "application" (dict "name" (default $.Release.Name .name) "namespace" .namespace "project" .project)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The audit of the rollout that it is part of; only the ApplicationSet's name is left to fill in. A guard holds its own. */}}
{{- define "trh.auditCommand" -}}
{{- $root := . -}}
{{- $own := include "trh.gate" . | fromYaml -}}
{{- $named := list (list "migrations" .Values.migrations.application) (list "runtime" .Values.runtime.application) -}}
{{- range .Values.downstream }}{{ $named = append $named (list "downstream" .) }}{{ end -}}
{{- $role := "gate" -}}
{{- if include "trh.isGuard" . }}{{ $role = or .Values.runtime.application.name (eq .Values.reachability "always") | empty | not | ternary "downstream" "runtime" }}{{ end -}}
temporal-recovery-hook audit --applicationset {{ $own.namespace }}/APPLICATIONSET
{{- range $named -}}
{{- if (last .).name -}}
{{- $one := include "trh.application" (dict "root" $root "application" (last .)) | fromYaml -}}
{{- if include "trh.sameApplication" (dict "one" $one "other" $own) }}{{ $role = "" }}{{ end }} --{{ first . }} {{ $one.namespace }}/{{ $one.name }}
{{- end -}}
{{- end -}}
{{- if $role }} --{{ $role }} {{ $own.namespace }}/{{ $own.name }}{{ end -}}
{{- end -}}

{{/*
A block of a store that names a Secret or a ConfigMap, name and keys: dict root, store, block (caSecret, caConfigMap,
clientSecret). The visibility store's is completed from the default store's where anything of it is given; else it has no name,
and the program inherits the files.
*/}}
{{- define "trh.storeBlock" -}}
{{- $default := get .root.Values.stores.default .block -}}
{{- $own := get (get .root.Values.stores .store) .block -}}
{{- $given := not (empty (without (values $own) "")) -}}
{{- range $part, $value := $own }}
{{ $part }}: {{ $given | ternary ($value | default (get $default $part)) "" | quote }}
{{- end -}}
{{- end -}}

{{/*
What a store's Secret says, YAML: part (dsn, host, port, database, user, password) to {secret, key}; dict root, store. Of the
visibility store only what is not the default store's, which the program inherits.
*/}}
{{- define "trh.storeParts" -}}
{{- $default := .root.Values.stores.default -}}
{{- $v := get .root.Values.stores .store -}}
{{- $own := $v.secret -}}
{{- $parts := dict -}}
{{- if eq .store "default" -}}
{{- range $part := list "dsn" "host" "port" "database" "user" "password" -}}
{{- $key := get $own (printf "%sKey" $part) -}}
{{- $byValue := or (get $v $part) (and $own.dsnKey (ne $part "dsn")) -}}
{{- if and $own.name $key (not $byValue) }}{{ $_ := set $parts $part (dict "secret" $own.name "key" $key) }}{{ end -}}
{{- end -}}
{{- else -}}
{{- $name := $own.name | default $default.secret.name -}}
{{- $another := not (or (empty $own.name) (eq $own.name $default.secret.name)) -}}
{{- $host := or $v.host $own.hostKey -}}
{{- $dsn := $own.dsnKey | default (ternary $default.secret.dsnKey "" (and $another (not $host))) -}}
{{- $defaults := include "trh.storeParts" (dict "root" .root "store" "default") | fromYaml -}}
{{- range $part := list "dsn" "host" "port" "database" "user" "password" -}}
{{- $ownKey := get $own (printf "%sKey" $part) -}}
{{- $key := $ownKey | default (ternary (get $default.secret (printf "%sKey" $part)) "" (and $another (not (get $default $part)))) -}}
{{- if eq $part "dsn" }}{{ $key = $dsn }}{{ else if $dsn }}{{ $key = "" }}{{ end -}}
{{- $one := dict "secret" $name "key" $key -}}
{{- if and $name $key (not (get $v $part)) (ne (toJson $one) (get $defaults $part | toJson)) }}{{ $_ := set $parts $part $one }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $parts -}}
{{- end -}}

{{/* One store's block: dict root, store. */}}
{{- define "trh.storeConfig" -}}
{{- $v := get .root.Values.stores .store -}}
{{- $files := printf "%s/%s" (include "trh.secretsDirectory" .root) .store -}}
{{- $block := dict -}}
{{- range $part := list "host" "database" "user" "searchPath" "options" "sslMode" -}}
{{- with get $v $part }}{{ $_ := set $block $part . }}{{ end -}}
{{- end -}}
{{- with $v.port }}{{ $_ := set $block "port" (int .) }}{{ end -}}
{{- range $part, $_ := include "trh.storeParts" . | fromYaml -}}
{{- $_ := set $block (printf "%sFile" $part) (printf "%s/%s" $files $part) -}}
{{- end -}}
{{- if $v.sslRootCert -}}
{{- $_ := set $block "sslRootCertFile" $v.sslRootCert -}}
{{- end -}}
{{- range list "caSecret" "caConfigMap" -}}
{{- if (include "trh.storeBlock" (dict "root" $.root "store" $.store "block" .) | fromYaml).name -}}
{{- $_ := set $block "sslRootCertFile" (printf "%s/ca.crt" $files) -}}
{{- end -}}
{{- end -}}
{{- if (include "trh.storeBlock" (dict "root" .root "store" .store "block" "clientSecret") | fromYaml).name -}}
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

{{- $temporal := dict -}}
{{- with $v.temporal.version }}{{ $_ := set $temporal "version" . }}{{ end -}}
{{- with $v.temporal.schemaVersions.default }}{{ $_ := set $temporal "schemaVersions" (dict "default" .) }}{{ end -}}
{{- with $v.temporal.schemaVersions.visibility }}{{ $_ := set $temporal.schemaVersions "visibility" . }}{{ end -}}
{{- with $v.temporal.frontend -}}
{{- if .address -}}
{{- $frontend := dict "address" .address -}}
{{- if .tls.enabled -}}
{{- $tls := dict -}}
{{- with .tls.serverName }}{{ $_ := set $tls "serverName" . }}{{ end -}}
{{- if or .tls.caSecret.name .tls.caConfigMap.name }}{{ $_ := set $tls "caFile" (printf "%s/frontend/ca.crt" $files) }}{{ end -}}
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
{{- with $v.migrations.beforeServers }}{{ $_ := set $migrations "beforeServers" . }}{{ end -}}
{{- with $v.migrations.jobs }}{{ $_ := set $migrations "jobs" . }}{{ end -}}
{{- $_ := set $migrations "application" (include "trh.application" (dict "root" $root "application" $v.migrations.application) | fromYaml) -}}
{{- if include "trh.looksAtNoSchema" $root }}{{ $migrations = dict "strategy" "none" }}{{ end -}}

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
  "migrations" $migrations
  "runtime" $runtime
  "downstream" $downstream
  "reachability" $v.reachability
  "onEmptyDatabase" (.watchdog | ternary "fail" $v.onEmptyDatabase)
  "deadlineSeconds" (.watchdog | ternary $v.watchdog.deadlineSeconds $v.deadlineSeconds)
  "migrationDeadlineSeconds" (.watchdog | ternary $v.watchdog.deadlineSeconds $v.migrationDeadlineSeconds)
  "graceSeconds" $v.graceSeconds
  "intervalSeconds" $v.intervalSeconds
  "patienceSeconds" (.watchdog | ternary (minf $v.patienceSeconds (divf $v.watchdog.deadlineSeconds 2)) $v.patienceSeconds)
  "clockSkewSeconds" $v.clockSkewSeconds
  "requestTimeoutSeconds" $v.requestTimeoutSeconds
  "report" (dict "format" $v.report.format "events" $v.report.events)
-}}
{{- if not (include "trh.looksAtNoSchema" $root) }}{{ $_ := set $config "stores" $stores }}{{ end -}}
{{- with include "trh.gate" $root }}{{ $_ := set $config "gate" (fromYaml .) }}{{ end -}}
{{- if include "trh.isGuard" $root }}{{ $_ := set $config "guard" true }}{{ end -}}
{{- if and .watchdog $v.watchdog.reopenGate }}{{ $_ := set $config "reopenGate" true }}{{ end -}}
{{- with $v.argocd -}}
{{- if .kubeconfigSecret.name -}}
{{- $argocd := dict "kubeconfigFile" (printf "%s/argocd/kubeconfig" $files) -}}
{{- with .context }}{{ $_ := set $argocd "context" . }}{{ end -}}
{{- $_ := set $config "argocd" $argocd -}}
{{- end -}}
{{- if .server.address -}}
{{- $server := dict "address" .server.address "project" .server.project "tokenFile" (printf "%s/argocd/token" $files) -}}
{{- if .server.caSecret.name }}{{ $_ := set $server "caFile" (printf "%s/argocd/ca.crt" $files) }}{{ end -}}
{{- with .server.serverName }}{{ $_ := set $server "serverName" . }}{{ end -}}
{{- if .server.plainText }}{{ $_ := set $server "plainText" true }}{{ end -}}
{{- $_ := set $config "argocd" (dict "server" $server) -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The files that the settings name: a list of a projected volume's sources. */}}
{{- define "trh.secretSources" -}}
{{- range $store := list "default" "visibility" -}}
{{- if or (eq $store "default") (get $.Values.stores $store).enabled -}}
{{- $of := dict "root" $ "store" $store -}}
{{- $bySecret := dict -}}
{{- range $part, $one := include "trh.storeParts" $of | fromYaml -}}
{{- $_ := set $bySecret $one.secret (merge (dict $part $one.key) (get $bySecret $one.secret | default dict)) -}}
{{- end -}}
{{- range $secret, $items := $bySecret -}}
{{- include "trh.source" (dict "secret" $secret "items" $items "directory" $store "optional" true) }}
{{- end -}}
{{- $tls := dict -}}
{{- range list "caSecret" "caConfigMap" "clientSecret" -}}
{{- $_ := set $tls . (include "trh.storeBlock" (merge (dict "block" .) $of) | fromYaml) -}}
{{- end -}}
{{- include "trh.tlsSources" (dict "tls" $tls "directory" $store "optional" true) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.temporal.frontend.address .Values.temporal.frontend.tls.enabled -}}
{{- include "trh.tlsSources" (dict "tls" .Values.temporal.frontend.tls "directory" "frontend") -}}
{{- end -}}
{{- with .Values.temporal.frontend.tokenSecret -}}
{{- if .name -}}
{{- include "trh.source" (dict "secret" .name "items" (dict "token" .key) "directory" "frontend") -}}
{{- end -}}
{{- end -}}
{{- with .Values.argocd.kubeconfigSecret -}}
{{- if .name -}}
{{- include "trh.source" (dict "secret" .name "items" (dict "kubeconfig" .key) "directory" "argocd") -}}
{{- end -}}
{{- end -}}
{{- with .Values.argocd.server -}}
{{- if .address -}}
{{- include "trh.source" (dict "secret" .tokenSecret.name "items" (dict "token" .tokenSecret.key) "directory" "argocd") -}}
{{- if .caSecret.name }}{{ include "trh.source" (dict "secret" .caSecret.name "items" (dict "ca.crt" .caSecret.key) "directory" "argocd") }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* CA and client certificate of a block that has caSecret, caConfigMap, clientSecret: dict tls, directory, optional. */}}
{{- define "trh.tlsSources" -}}
{{- $to := dict "directory" .directory "optional" .optional -}}
{{- with .tls.caSecret -}}
{{- if .name }}{{ include "trh.source" (merge (dict "secret" .name "items" (dict "ca.crt" .key)) $to) }}{{ end -}}
{{- end -}}
{{- with .tls.caConfigMap -}}
{{- if .name }}{{ include "trh.source" (merge (dict "configMap" .name "items" (dict "ca.crt" .key)) $to) }}{{ end -}}
{{- end -}}
{{- with .tls.clientSecret -}}
{{- if .name }}{{ include "trh.source" (merge (dict "secret" .name "items" (dict "tls.crt" .certKey "tls.key" .keyKey)) $to) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/*
One object's keys as files: dict secret or configMap, items (file to key), directory, optional. A pod whose Secret or key is
missing would not start, and nobody would say why before Kubernetes ends it: what is optional the program looks for itself.
*/}}
{{- define "trh.source" }}
- {{ empty .secret | ternary "configMap" "secret" }}:
    name: {{ .secret | default .configMap | quote }}
    {{- if .optional }}
    optional: true
    {{- end }}
    items:
      {{- range $file, $key := .items }}
      - key: {{ $key | quote }}
        path: {{ $.directory }}/{{ $file }}
      {{- end }}
{{- end -}}
