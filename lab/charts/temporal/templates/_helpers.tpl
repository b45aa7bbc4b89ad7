{{- define "temporal.labels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "temporal.password" -}}
valueFrom:
  secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretKey | default "password" }}}
{{- end }}

{{/* Whether this is the chart of 1.x: what depends on it says which it wants, as of the real ones. */}}
{{- define "temporal.isOne" -}}
{{- if semverCompare ">=1.0.0-0" .Chart.Version }}true{{ end -}}
{{- end }}

{{/*
YAML, by store: `sql` as the server's configuration has it but for the password, `tool` as temporal-sql-tool's environment
needs it, and whether 1.x makes the database and the schema (both unless it is told not to).
*/}}
{{- define "temporal.stores" -}}
{{- $stores := dict -}}
{{- $persistence := .Values.server.config.persistence -}}
{{- range $store := list "default" "visibility" -}}
{{- if include "temporal.isOne" $ -}}
{{- $given := (index $persistence.datastores $store).sql -}}
{{- $address := splitList ":" $given.connectAddr -}}
{{- $tool := dict "driver" $given.pluginName "host" (first $address) "port" (last $address) "database" $given.databaseName -}}
{{- $sql := omit $given "existingSecret" "secretKey" "createDatabase" "manageSchema" -}}
{{- $made := dict "creates" (dig "createDatabase" true $given) "manages" (dig "manageSchema" true $given) -}}
{{- $secret := dict "user" $given.user "existingSecret" $given.existingSecret "secretKey" $given.secretKey -}}
{{- $_ := set $stores $store (merge (dict "sql" $sql "tool" (merge $tool $secret)) $made) -}}
{{- else -}}
{{- $given := (index $persistence $store).sql -}}
{{- $address := printf "%s:%v" $given.host $given.port -}}
{{- $sql := dict "pluginName" $given.driver "databaseName" $given.database "connectAddr" $address "connectProtocol" "tcp" -}}
{{- $limits := pick $given "user" "maxConns" "maxIdleConns" "maxConnLifetime" -}}
{{- $_ := set $stores $store (dict "sql" (merge $sql $limits) "tool" $given) -}}
{{- end -}}
{{- end -}}
{{- toYaml $stores -}}
{{- end }}

{{/* The environment of temporal-sql-tool, of one store's `tool` block. */}}
{{- define "temporal.sqlTool" -}}
- {name: SQL_PLUGIN, value: {{ .driver }}}
- {name: SQL_HOST, value: {{ .host }}}
- {name: SQL_PORT, value: {{ .port | quote }}}
- {name: SQL_DATABASE, value: {{ .database }}}
- {name: SQL_USER, value: {{ .user }}}
- name: SQL_PASSWORD
  {{- include "temporal.password" . | nindent 2 }}
{{- end }}

{{/* What the restricted Pod Security Standard asks for, with the image's user, whose number the kubelet cannot know by its name. */}}
{{- define "temporal.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
fsGroup: 1000
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "temporal.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end }}
