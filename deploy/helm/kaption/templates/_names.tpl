{{- define "kaption.name" -}}
{{- if contains "kaption" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-kaption{{ end }}
{{- end }}

{{/* Labels of a selector: of all pods of the release, or with component of one part. They must never
change, because the selector of a Deployment cannot. */}}
{{- define "kaption.selector" -}}
app.kubernetes.io/name: kaption
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "kaption.labels" -}}
{{ include "kaption.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "kaption.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "kaption.name" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{/* The topic that a stage reads. The stage's name is the name of its consumer group. */}}
{{- define "kaption.topic" -}}
{{- get (dict
  "ingest" "pairs.raw"
  "score" "pairs.ingested"
  "recaption" "pairs.scored"
  "select" "pairs.captioned"
  "sink" "pairs.clean"
) . }}
{{- end }}
