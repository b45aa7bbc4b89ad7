{{- define "temporal.labels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "temporal.password" -}}
valueFrom:
  secretKeyRef: {name: {{ .existingSecret }}, key: password}
{{- end }}

{{/* The environment of temporal-sql-tool, of one store's `sql` block. */}}
{{- define "temporal.sqlTool" -}}
- {name: SQL_PLUGIN, value: {{ .driver }}}
- {name: SQL_HOST, value: {{ .host }}}
- {name: SQL_PORT, value: {{ .port | quote }}}
- {name: SQL_DATABASE, value: {{ .database }}}
- {name: SQL_USER, value: {{ .user }}}
- name: SQL_PASSWORD
  {{- include "temporal.password" . | nindent 2 }}
{{- end }}
