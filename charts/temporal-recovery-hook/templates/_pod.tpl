{{/* How long the gate itself may take: a migration that works is waited for beyond deadlineSeconds. */}}
{{- define "trh.longestRunSeconds" -}}
{{- maxf .Values.deadlineSeconds .Values.migrationDeadlineSeconds -}}
{{- end -}}

{{/* How long Kubernetes lets the hook's Job live: longer than that. */}}
{{- define "trh.activeDeadlineSeconds" -}}
{{- .Values.hook.activeDeadlineSeconds | default (addf (include "trh.longestRunSeconds" . | float64 | ceil) 300) | int -}}
{{- end -}}

{{/*
The Job's spec, the hook's and the watchdog's: dict root, name, config, serviceAccount, component, job (dict: own,
backoffLimit, activeDeadlineSeconds).
*/}}
{{- define "trh.jobSpec" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
backoffLimit: {{ .job.backoffLimit }}
activeDeadlineSeconds: {{ .job.activeDeadlineSeconds }}
# The program's exit codes (docs/reasons.md): settings, schema, migration, access, Temporal and downstream name what a
# person has to do, and a guard that is superseded ends for a newer commit: a second try would say the same. Bugs (1), deadlines (3) and signals (143) are tried again.
podFailurePolicy:
  rules:
    - action: FailJob
      onExitCodes:
        containerName: gate
        operator: In
        values: [2, 4, 5, 6, 7, 8, 10]
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
template:
  metadata:
    labels:
      {{- $labels := include "trh.labels" $root | fromYaml }}
      {{- toYaml (merge (dict "app.kubernetes.io/component" .component) $labels $v.podLabels) | nindent 6 }}
    {{- with merge dict $v.podAnnotations $v.commonAnnotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    restartPolicy: Never # podFailurePolicy needs it
    serviceAccountName: {{ .serviceAccount | quote }}
    automountServiceAccountToken: true # it is the program's way to the API server
    enableServiceLinks: false # a Service named trh-… would set TRH_… variables, which are settings
    {{- with $v.imagePullSecrets }}
    imagePullSecrets:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $v.hostAliases }}
    hostAliases:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $v.dnsConfig }}
    dnsConfig:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $v.priorityClassName }}
    priorityClassName: {{ . | quote }}
    {{- end }}
    {{- with $v.podSecurityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $v.nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $v.tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $v.affinity }}
    affinity:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $v.topologySpreadConstraints }}
    topologySpreadConstraints:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $v.extraContainers }}
    initContainers:
      {{- range . }}
      - {{- toYaml (merge (dict "restartPolicy" "Always") .) | nindent 8 }}
      {{- end }}
    {{- end }}
    containers:
      - name: gate
        image: {{ include "trh.image" $root | quote }}
        imagePullPolicy: {{ $v.image.pullPolicy }}
        command: [temporal-recovery-hook]
        args: [run, --config, {{ include "trh.configDirectory" $root }}/config.yaml]
        env:
          # The run's id, by which it knows its own operations again.
          - name: TRH_RUN__ID
            valueFrom:
              fieldRef:
                fieldPath: metadata.labels['batch.kubernetes.io/controller-uid']
          {{- if .job.own }}
          # Its Job, read once: since when the deadline counts, and which Application's sync made it.
          - name: TRH_RUN__JOB
            valueFrom:
              fieldRef:
                fieldPath: metadata.labels['batch.kubernetes.io/job-name']
          - name: TRH_RUN__NAMESPACE
            valueFrom:
              fieldRef:
                fieldPath: metadata.namespace
          {{- end }}
          {{- with $v.extraEnv }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
        {{- with $v.resources }}
        resources:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with $v.securityContext }}
        securityContext:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        volumeMounts:
          - name: config
            mountPath: {{ include "trh.configDirectory" $root }}
            readOnly: true
          {{- if include "trh.secretSources" $root }}
          - name: secrets
            mountPath: {{ include "trh.secretsDirectory" $root }}
            readOnly: true
          {{- end }}
          - name: tmp
            mountPath: /tmp
          {{- with $v.extraVolumeMounts }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
    volumes:
      - name: config
        configMap:
          name: {{ .config | quote }}
      {{- with include "trh.secretSources" $root | trim }}
      - name: secrets
        projected:
          # Readable by owner and group alone: libpq refuses a private key that others may read.
          defaultMode: 0440
          sources:
            {{- . | nindent 12 }}
      {{- end }}
      - name: tmp
        emptyDir:
          sizeLimit: 16Mi
      {{- with $v.extraVolumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
{{- end -}}
