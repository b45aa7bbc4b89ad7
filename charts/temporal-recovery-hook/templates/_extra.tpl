{{/* extraObjects with their templates expanded, as {objects: [...]}. */}}
{{- define "trh.extraObjects" -}}
{{- $objects := list -}}
{{- range .Values.extraObjects -}}
{{- $objects = append $objects (tpl (toYaml .) $ | fromYaml) -}}
{{- end -}}
{{- dict "objects" $objects | toYaml -}}
{{- end -}}

{{/* A hook of its own would be no part of what the receipt waits for, and PreSync or Sync hooks run beside the gate. */}}
{{- define "trh.faults.extraObjects" -}}
{{- range $index, $object := (include "trh.extraObjects" . | fromYaml).objects -}}
{{- $annotations := dig "metadata" "annotations" (dict) $object | default dict -}}
{{- if get $object "Error" }}
extraObjects[{{ $index }}]: is no YAML any more once its templates are expanded ({{ get $object "Error" }}): quote what they print
{{- else if not (and $object.apiVersion $object.kind (dig "metadata" "name" "" $object)) }}
extraObjects[{{ $index }}]: apiVersion, kind and metadata.name are required: give a whole object
{{- end -}}
{{- range $name, $_ := $annotations -}}
{{- if regexMatch "^(argocd\\.argoproj\\.io/hook|helm\\.sh/hook)" $name }}
extraObjects[{{ $index }}]: {{ $name }} would make it a hook: the gate is the only hook of its Application, and the receipt does not wait for others; remove it (argocd.argoproj.io/sync-wave orders objects)
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
