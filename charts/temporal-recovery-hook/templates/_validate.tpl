{{/*
What values.schema.json cannot say: one line a fault, each naming its value and what to do. The program refuses the same
(hook/settings.py); here it is said before anything is installed.
*/}}

{{- define "trh.faults.names" -}}
{{- range $block := list "temporal" "stores" "argocd" "migrations" "runtime" "downstream" "gate" -}}
{{- include "trh.faults.references" (dict "path" $block "value" (get $.Values $block)) -}}
{{- end -}}
{{- $ours := dict "connectAddr" "host and port" "databaseName" "database" "existingSecret" "secret.name" "secretKey" "secret.passwordKey" -}}
{{- range $store := list "default" "visibility" -}}
{{- range $theirs, $name := $ours -}}
{{- if hasKey (get $.Values.stores $store) $theirs }}
stores.{{ $store }}.{{ $theirs }}: Temporal's own chart calls it so: set stores.{{ $store }}.{{ $name }} instead
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Each NAMESPACE/NAME below a path, which the schema lets through to be answered here: dict path, value. */}}
{{- define "trh.faults.references" -}}
{{- $path := .path -}}
{{- if kindIs "slice" .value -}}
{{- range $index, $one := .value -}}
{{- include "trh.faults.references" (dict "path" (printf "%s[%d]" $path $index) "value" $one) -}}
{{- end -}}
{{- else if kindIs "map" .value -}}
{{- range $name, $one := .value -}}
{{- include "trh.faults.references" (dict "path" (printf "%s.%s" $path $name) "value" $one) -}}
{{- end -}}
{{- else if and (kindIs "string" .value) (hasSuffix ".name" $path) (contains "/" .value) -}}
{{- $parts := splitList "/" .value -}}
{{- if regexMatch "([sS]ecret|ConfigMap)\\.name$" $path }}
{{ $path }}: {{ .value | quote }} has a namespace: give the name alone, {{ last $parts }}, of one in the gate's own namespace
{{- else }}
{{ $path }}: {{ .value | quote }} has a namespace: set {{ $path }} to {{ last $parts }} and {{ trimSuffix ".name" $path }}.namespace to {{ first $parts }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "trh.sameApplication" -}}
{{- if and (eq .one.name .other.name) (eq .one.namespace .other.namespace) }}true{{ end -}}
{{- end -}}

{{- define "trh.faults.applications" -}}
{{- $v := .Values -}}
{{- $isGuard := include "trh.isGuard" . -}}
{{- $gate := include "trh.gate" . | fromYaml -}}
{{- $targets := list -}}
{{- if $v.migrations.application.name -}}
{{- $targets = append $targets (dict "path" "migrations.application" "application" $v.migrations.application) -}}
{{- else if not (include "trh.looksAtNoSchema" .) }}
migrations.application.name: required: the Application that owns Temporal's schema
{{- end -}}
{{- if $v.runtime.application.name -}}
{{- $targets = append $targets (dict "path" "runtime.application" "application" $v.runtime.application) -}}
{{- end -}}
{{- range $index, $one := $v.downstream -}}
{{- $targets = append $targets (dict "path" (printf "downstream[%d]" $index) "application" $one) -}}
{{- end -}}
{{- if $v.migrations.beforeServers -}}
{{- $one := include "trh.application" (dict "root" $ "application" $v.migrations.application) | fromYaml -}}
{{- $other := include "trh.application" (dict "root" $ "application" $v.runtime.application) | fromYaml -}}
{{- if not (include "trh.sameApplication" (dict "one" $one "other" $other)) }}
migrations.beforeServers is for one Application with schema Job and servers: name it as runtime.application, too, or remove beforeServers
{{- end -}}
{{- end -}}
{{- range $index, $target := $targets -}}
{{- $one := include "trh.application" (dict "root" $ "application" $target.application) | fromYaml -}}
{{- $shown := printf "%s/%s" $one.namespace $one.name -}}
{{- $isOwn := and $gate (include "trh.sameApplication" (dict "one" $one "other" $gate)) -}}
{{- if and $isOwn (not (and $isGuard (ne $target.path "migrations.application"))) }}
{{ $target.path }} is the gate's own Application ({{ $shown }}): syncing it from inside its own sync is a deadlock (gate.application.name says which it is; by default the release's name){{ if ne $target.path "migrations.application" }}. As a guard, before everything else of that Application, it needs hook.wave below 0, such as -5{{ end }}
{{- end -}}
{{- if and $isGuard (hasPrefix "downstream" $target.path) (not $isOwn) }}
{{ $target.path }} ({{ $shown }}): a guard syncs no other Application: list it in the gate's values
{{- end -}}
{{- if and $isGuard $isOwn (eq $target.path "runtime.application") (eq $v.reachability "always") }}
reachability: always in a guard of the runtime ({{ $shown }}) is a deadlock, since Temporal's servers start after it: leave it at auto
{{- end -}}
{{- range $before := slice $targets 0 $index -}}
{{- $other := include "trh.application" (dict "root" $ "application" $before.application) | fromYaml -}}
{{- if include "trh.sameApplication" (dict "one" $one "other" $other) }}
{{- if eq $target.path "runtime.application" }}
{{- if not $v.migrations.beforeServers }}
migrations.application and runtime.application are the same ({{ $shown }}): the schema could never be right before the servers start; split Temporal's chart into two Applications, or set migrations.beforeServers where its schema Job is a PreSync hook, as in chart 1.x (docs/install.md)
{{- end -}}
{{- else }}
{{ $target.path }} is {{ $before.path }} again ({{ $shown }}): list only what comes after Temporal, each once
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "trh.faults.guard" -}}
{{- if include "trh.isGuard" . -}}
{{- if eq .Values.hook.phase "PostSync" }}
hook.phase: PostSync comes after all that hook.wave {{ int .Values.hook.wave }} is to guard: set it to Sync, or remove hook.wave
{{- end -}}
{{- if .Values.watchdog.enabled }}
watchdog.enabled: a guard has no schedule: enable it in the gate's values, or remove hook.wave
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "trh.faults.stores" -}}
{{- if not (include "trh.looksAtNoSchema" .) -}}
{{- $default := .Values.stores.default -}}
{{- $visibility := .Values.stores.visibility -}}
{{- $named := $default.secret.name -}}
{{- if not (or $default.host (and $named (or $default.secret.hostKey $default.secret.dsnKey))) }}
stores.default.host: required: the PostgreSQL host of Temporal's default store, or the Secret's key that holds it (secret.hostKey)
{{- end -}}
{{- if not (or $named $default.clientSecret.name (not $default.secret.passwordKey)) }}
stores.default.secret.name: required: the Secret with the role's name and password (CloudNativePG: <cluster>-app); no password is needed with clientSecret.name, or where secret.passwordKey is ""
{{- end -}}
{{- if not (or $default.user (and $named (or $default.secret.userKey $default.secret.dsnKey))) }}
stores.default.user: required where no Secret names the role (secret.name with secret.userKey)
{{- end -}}
{{- range $store := list "default" "visibility" -}}
{{- $own := get $.Values.stores $store -}}
{{- if or (eq $store "default") $own.enabled -}}
{{- include "trh.faults.store" (dict "root" $ "store" $store "own" $own) -}}
{{- end -}}
{{- end -}}
{{- if $visibility.enabled -}}
{{- $parts := include "trh.storeParts" (dict "root" . "store" "visibility") | fromYaml -}}
{{- $sameHost := not (include "trh.visibilityIsElsewhere" .) -}}
{{- if and (not $sameHost) (not (hasKey $parts "dsn")) (or (has $default.sslMode (list "require" "verify-ca" "verify-full")) $default.sslRootCert) (not (or $visibility.sslMode $visibility.sslRootCert)) }}
stores.visibility.sslMode: required: it has a host of its own, which takes over neither sslMode nor CA of stores.default
{{- end -}}
{{- $ownLogin := or $visibility.port $visibility.user (hasKey $parts "user") (hasKey $parts "port") (hasKey $parts "password") -}}
{{- if and $default.secret.dsnKey $sameHost $ownLogin (not (hasKey $parts "dsn")) }}
stores.visibility.host: required: with a port or a login of its own it takes over nothing of the connection string of stores.default (secret.dsnKey)
{{- end -}}
{{- /* What only a Secret knows may be any: the program compares those. */ -}}
{{- $told := not (or $default.secret.portKey $default.secret.databaseKey $default.secret.dsnKey $parts.port $parts.database $parts.dsn) -}}
{{- $samePort := or (not $visibility.port) (eq (int $visibility.port) (int ($default.port | default 5432))) -}}
{{- $database := $default.database | default "temporal" -}}
{{- $samePath := and (eq $visibility.searchPath $default.searchPath) (or (not $visibility.options) (eq $visibility.options $default.options)) -}}
{{- if and $told $sameHost $samePort $samePath (eq ($visibility.database | default "temporal_visibility") $database) }}
stores.default and stores.visibility are the same database {{ $database | quote }}: give each its own, or set stores.visibility.enabled: false where visibility is not in PostgreSQL
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether the visibility store is on a server of its own, as the program tells (StoresSettings in hook/settings/stores.py). */}}
{{- define "trh.visibilityIsElsewhere" -}}
{{- $own := .Values.stores.visibility.host -}}
{{- $parts := include "trh.storeParts" (dict "root" . "store" "visibility") | fromYaml -}}
{{- if or (and $own (ne $own .Values.stores.default.host)) (hasKey $parts "host") (hasKey $parts "dsn") }}true{{ end -}}
{{- end -}}

{{/* What is wrong with one store's block: dict root, store, own. */}}
{{- define "trh.faults.store" -}}
{{- $root := .root -}}
{{- $store := .store -}}
{{- $own := .own -}}
{{- $default := .root.Values.stores.default -}}
{{- $inherits := and (eq $store "visibility") (not (include "trh.visibilityIsElsewhere" .root)) -}}
{{- /* An IPv6 address has more colons. */ -}}
{{- if regexMatch "^[^:]*:[0-9]+$" $own.host }}
stores.{{ $store }}.host: {{ $own.host | quote }} holds a port: give it as stores.{{ $store }}.port
{{- end -}}
{{- if not (or $own.secret.name (and (eq $store "visibility") $default.secret.name)) -}}
{{- range $key := list "hostKey" "portKey" "databaseKey" "dsnKey" -}}
{{- if get $own.secret $key }}
stores.{{ $store }}.secret.{{ $key }}: there is no Secret that it is a key of: set stores.{{ $store }}.secret.name, or remove it
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $own.secret.dsnKey -}}
{{- $said := dict "host" $own.host "port" $own.port "user" $own.user "secret.hostKey" $own.secret.hostKey "secret.portKey" $own.secret.portKey -}}
{{- range $name, $value := $said -}}
{{- if $value }}
stores.{{ $store }}.{{ $name }}: secret.dsnKey says it all: remove one
{{- end -}}
{{- end -}}
{{- end -}}
{{- $cas := list -}}
{{- range $block := list "caSecret" "caConfigMap" -}}
{{- if (include "trh.storeBlock" (dict "root" $root "store" $store "block" $block) | fromYaml).name }}{{ $cas = append $cas (printf "%s.name" $block) }}{{ end -}}
{{- end -}}
{{- if $own.sslRootCert }}{{ $cas = append $cas "sslRootCert" }}{{ end -}}
{{- if gt (len $cas) 1 }}
stores.{{ $store }}.{{ first $cas }}: the CA is given by {{ rest $cas | join " and " }}, too: keep one of them
{{- end -}}
{{- $inheritedCa := and $inherits (or $default.caSecret.name $default.caConfigMap.name $default.sslRootCert) -}}
{{- if and (hasPrefix "verify-" $own.sslMode) (not $cas) (not $inheritedCa) }}
stores.{{ $store }}.sslMode {{ $own.sslMode }} needs stores.{{ $store }}.caSecret.name, the CA to verify by, or caConfigMap.name, or sslRootCert: system
{{- end -}}
{{- $mode := $own.sslMode | default ($inherits | ternary $default.sslMode "") -}}
{{- $system := or (eq $own.sslRootCert "system") (and (not $cas) $inherits (eq $default.sslRootCert "system")) -}}
{{- if and $system (not (has $mode (list "" "verify-full"))) (or $own.sslRootCert $own.sslMode) }}
stores.{{ $store }}.sslRootCert system needs sslMode verify-full, not {{ $mode }}: anybody has such a certificate
{{- end -}}
{{- if and $cas (not (has "sslRootCert" $cas)) (not (has $mode (list "require" "verify-ca" "verify-full"))) }}
stores.{{ $store }}.{{ first $cas }}: nothing is verified by it under sslMode {{ $mode | default "prefer, libpq's default" }}: set stores.{{ $store }}.sslMode to verify-full or verify-ca
{{- end -}}
{{- end -}}

{{- define "trh.faults.policy" -}}
{{- $v := .Values -}}
{{- if not (or $v.temporal.version (include "trh.looksAtNoSchema" .)) }}
temporal.version: required: the server's release that is rolled out, such as 1.29.1
{{- else if not (regexMatch "^(|v?[0-9]+\\.[0-9]+\\.[0-9]+(-[0-9A-Za-z.-]+)?)$" $v.temporal.version) }}
temporal.version: {{ $v.temporal.version | quote }} is no release of Temporal's server: give all of it, such as 1.29.1
{{- else if and $v.temporal.version (not $v.temporal.schemaVersions.default) (semverCompare "< 1.17.0-0" $v.temporal.version) }}
temporal.version: {{ $v.temporal.version | quote }} is older than 1.17, the oldest release that the gate knows: give the server's release, not the version of its chart
{{- end -}}
{{- if regexMatch "(:[^/]*|@.*)$" $v.image.repository }}
image.repository: {{ $v.image.repository | quote }} has a tag or a digest: set image.tag or image.digest
{{- end -}}
{{- with $v.temporal.schemaVersions -}}
{{- if or (and .visibility (not .default)) (and .default (not .visibility) $v.stores.visibility.enabled) }}
temporal.schemaVersions: default and visibility go together: give both or neither, or default alone where stores.visibility.enabled is false
{{- end -}}
{{- end -}}
{{- with $v.temporal.frontend.tls -}}
{{- if and (not .enabled) (or .serverName .caSecret.name .caConfigMap.name .clientSecret.name) }}
temporal.frontend.tls.enabled: set it to true, or remove the rest of the block
{{- end -}}
{{- if and .caSecret.name .caConfigMap.name }}
temporal.frontend.tls.caSecret.name: the CA is given by caConfigMap.name, too: keep one of them
{{- end -}}
{{- end -}}
{{- with $v.temporal.frontend -}}
{{- $port := regexFind "[0-9]+$" .address | int -}}
{{- $isHostAndPort := regexMatch "^([A-Za-z0-9_.-]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$" .address -}}
{{- if and .address (not (and $isHostAndPort (ge $port 1) (le $port 65535))) }}
temporal.frontend.address: {{ .address | quote }} must be host:port, such as temporal-frontend.temporal:7233, without http:// and without a path
{{- end -}}
{{- if and .tls.enabled (not .address) }}
temporal.frontend.tls.enabled: there is no temporal.frontend.address to speak TLS to: set one of them
{{- end -}}
{{- if and .tokenSecret.name (not .address) }}
temporal.frontend.tokenSecret.name: there is no temporal.frontend.address to send the token to: set one of them
{{- end -}}
{{- if and .tokenSecret.name (not .tls.enabled) (not .allowPlainTextToken) }}
temporal.frontend.tokenSecret.name: the token would be sent in plain text: set temporal.frontend.tls.enabled, or temporal.frontend.allowPlainTextToken where a mesh encrypts the connection
{{- end -}}
{{- end -}}
{{- if and $v.downstream (eq $v.reachability "never") }}
downstream: reachability never does not look at it: remove one
{{- end -}}
{{- if not $v.temporal.frontend.address -}}
{{- if eq $v.reachability "always" }}
temporal.frontend.address: required by reachability: always
{{- end -}}
{{- if and $v.downstream (ne $v.reachability "never") }}
temporal.frontend.address: required by downstream, which is synced only when Temporal answers
{{- end -}}
{{- end -}}
{{- if ge (float64 $v.graceSeconds) (float64 $v.deadlineSeconds) }}
graceSeconds ({{ $v.graceSeconds }}) must be less than deadlineSeconds ({{ $v.deadlineSeconds }}), or no fault would ever be named by its own exit code
{{- end -}}
{{- $limit := float64 $v.hook.activeDeadlineSeconds -}}
{{- range $name := list "deadlineSeconds" "migrationDeadlineSeconds" -}}
{{- $least := get $v $name -}}
{{- if and $limit (eq (float64 $least) (include "trh.longestRunSeconds" $ | float64)) (lt $limit (addf $least 30)) }}
hook.activeDeadlineSeconds ({{ $v.hook.activeDeadlineSeconds }}) must be at least 30 more than {{ $name }} ({{ int $least }}): the gate is to end by itself and say why
{{- end -}}
{{- end -}}
{{- if and $v.watchdog.enabled (ge (float64 $v.graceSeconds) (float64 $v.watchdog.deadlineSeconds)) }}
graceSeconds ({{ $v.graceSeconds }}) must be less than watchdog.deadlineSeconds ({{ $v.watchdog.deadlineSeconds }}), or no fault would ever be named by its own exit code
{{- end -}}
{{- end -}}

{{/* What Kubernetes takes for a label selector, as the program has it (LABEL_SELECTOR in hook/settings.py). */}}
{{- define "trh.labelSelector" -}}
{{- $name := "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?" -}}
{{- $part := "[a-z0-9]([-a-z0-9]*[a-z0-9])?" -}}
{{- $key := printf "(%s(\\.%s)*/)?%s" $part $part $name -}}
{{- $values := printf "\\( *(%s)?( *, *(%s)?)* *\\)" $name $name -}}
{{- $requirement := printf " *(! *%s|%s( *(==?|!=) *(%s)?| +(not)?in *%s)?) *" $key $key $name $values -}}
{{- printf "^%s(,%s)*$" $requirement $requirement -}}
{{- end -}}

{{- define "trh.faults.pods" -}}
{{- $v := .Values -}}
{{- if not (regexMatch (include "trh.labelSelector" .) $v.runtime.selector) }}
runtime.selector: {{ $v.runtime.selector | quote }} is no label selector of Kubernetes: give labels such as app.kubernetes.io/name=temporal,team=data
{{- end -}}
{{- if and $v.rbac.rollouts (not $v.runtime.namespace) }}
rbac.rollouts: there is no runtime.namespace that they are listed in: set it, or remove rbac.rollouts
{{- end -}}
{{- if and $v.image.tag $v.image.digest }}
image.tag: image.digest wins over it: set image.digest to "" or remove image.tag
{{- end -}}
{{- if and (not $v.serviceAccount.create) (not $v.serviceAccount.name) }}
serviceAccount.name: required where serviceAccount.create is false
{{- end -}}
{{- if and $v.watchdog.enabled $v.watchdog.reopenGate (not $v.gate.application.enabled) }}
watchdog.reopenGate needs gate.application.enabled: without an Application there is no gate to reopen; set one of them
{{- end -}}
{{- if and $v.argocd.context (not $v.argocd.kubeconfigSecret.name) }}
argocd.context: there is no kubeconfig that it is a context of: set argocd.kubeconfigSecret.name, or remove it
{{- end -}}
{{- with $v.argocd.server -}}
{{- $port := regexFind ":[0-9]+(/|$)" .address | trimPrefix ":" | trimSuffix "/" | default "443" | int -}}
{{- if and .address (not (and (regexMatch "^([A-Za-z0-9_.-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?(/[A-Za-z0-9_./-]*)?$" .address) (ge $port 1) (le $port 65535))) }}
argocd.server.address: {{ .address | quote }} must be host:port, such as argocd-server.argocd.svc:443, without https://
{{- end -}}
{{- if and .address (not .tokenSecret.name) }}
argocd.server.tokenSecret.name: required by argocd.server.address: the Secret with a token of a project's role
{{- end -}}
{{- if and .address $v.argocd.kubeconfigSecret.name }}
argocd.server.address: argocd.kubeconfigSecret.name is another way to the same Applications: keep one of them
{{- end -}}
{{- $given := dict "tokenSecret.name" .tokenSecret.name "caSecret.name" .caSecret.name "serverName" .serverName "plainText" .plainText -}}
{{- range $name, $value := $given -}}
{{- if and $value (not $v.argocd.server.address) }}
argocd.server.{{ $name }}: there is no argocd.server.address that it is for: set argocd.server.address, or remove it
{{- end -}}
{{- end -}}
{{- if and .plainText (or .caSecret.name .serverName) }}
argocd.server.plainText: it speaks no TLS: remove it, or caSecret.name and serverName
{{- end -}}
{{- end -}}
{{- if not $v.argocd.server.address -}}
{{- $applications := dict "migrations.application" $v.migrations.application "runtime.application" $v.runtime.application "gate.application" $v.gate.application -}}
{{- range $index, $one := $v.downstream }}{{ $_ := set $applications (printf "downstream[%d]" $index) $one }}{{ end -}}
{{- range $path, $one := $applications -}}
{{- if $one.project }}
{{ $path }}.project: only argocd.server asks for it: set argocd.server.address, or remove it
{{- end -}}
{{- end -}}
{{- end -}}
{{- $annotations := dict
  "commonAnnotations" $v.commonAnnotations
  "hook.annotations" $v.hook.annotations
  "podAnnotations" $v.podAnnotations
  "serviceAccount.annotations" $v.serviceAccount.annotations
-}}
{{- range $map, $given := $annotations -}}
{{- range $name, $_ := $given -}}
{{- if regexMatch "^(argocd\\.argoproj\\.io/(hook|sync-wave$)|helm\\.sh/hook)" $name }}
{{ $map }}: {{ $name }} is the chart's to set, by whose order it gates: remove it
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $map, $given := dict "commonLabels" $v.commonLabels "podLabels" $v.podLabels -}}
{{- range $name, $_ := $given -}}
{{- if regexMatch "^(app\\.kubernetes\\.io/(component|instance|managed-by|name|part-of|version)|helm\\.sh/chart)$" $name }}
{{ $map }}: {{ $name }} is the chart's own, which would win: remove it
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $v.extraVolumes -}}
{{- if has .name (list "config" "secrets" "tmp") }}
extraVolumes: {{ .name }} is the chart's own volume: give yours another name
{{- end -}}
{{- end -}}
{{- range $v.extraContainers -}}
{{- if eq .name "gate" }}
extraContainers: gate is the chart's own container: give yours another name
{{- end -}}
{{- end -}}
{{- range $v.extraEnv -}}
{{- if hasPrefix "TRH_" (upper .name) }}
extraEnv: {{ .name }} is a setting: give it as a value, by which it is checked and its rights are made
{{- end -}}
{{- end -}}
{{- end -}}
