{{/* The spec of a pod that runs one command and ends. Takes root; placement, the values that say where
the pod runs; command; and models, whether it mounts them. */}}
{{- define "kaption.commandPod" -}}
{{ include "kaption.pod" . }}
containers:
  - {{ include "kaption.container" . | nindent 4 | trim }}
    args: {{ toJson .command }}
    {{- with include "kaption.commandEnv" . | trim }}
    env: {{- . | nindent 6 }}
    {{- end }}
    resources: {{- toYaml (.placement.resources | default dict) | nindent 6 }}
    volumeMounts: {{- include "kaption.volumeMounts" . | nindent 6 }}
volumes: {{- include "kaption.volumes" . | nindent 2 }}
# With OnFailure the pods, and what they say, would be gone once a Job has failed.
restartPolicy: Never
{{- end }}

{{- define "kaption.commandEnv" -}}
{{ include "kaption.env" . }}
{{- range $variable, $value := include "kaption.variables" (dict "path" "" "settings" (.placement.settings | default dict)) | fromYaml }}
- {name: {{ $variable }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
