{{/* The variable of a setting: kafka.ca_file is KAPTION_KAFKA__CA_FILE. */}}
{{- define "kaption.variable" -}}
KAPTION_{{ . | replace "." "__" | upper }}
{{- end }}

{{/* Nested settings as lines `VARIABLE: "value"`. JSON, since a large number in YAML would be
printed as 2.68e+08. */}}
{{- define "kaption.variables" -}}
{{- range $name, $value := .settings }}
{{- $path := printf "%s%s" $.path $name }}
{{- if kindIs "map" $value }}
{{- include "kaption.variables" (dict "path" (printf "%s." $path) "settings" $value) }}
{{- else if kindIs "string" $value }}
{{ include "kaption.variable" $path }}: {{ $value | quote }}
{{- else if not (kindIs "invalid" $value) }}
{{ include "kaption.variable" $path }}: {{ toJson $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The settings of a stage's pods, as JSON: its own over those of all. */}}
{{- define "kaption.stageSettings" -}}
{{- $own := (get .root.Values.stages .stage).settings | default dict }}
{{- mergeOverwrite (deepCopy .root.Values.settings) (deepCopy $own) | toJson }}
{{- end }}

{{/* The setting that says how many threads a stage computes with. */}}
{{- define "kaption.threads" -}}
{{- get (dict
  "ingest" "ingest.image.decode_processes"
  "score" "clip.threads"
  "recaption" "recaption.transformers.threads"
  "select" "clip.threads"
) . }}
{{- end }}

{{/* A value of nested settings by its path, as JSON; nothing where it is not set. */}}
{{- define "kaption.lookUp" -}}
{{- $found := .settings }}
{{- range splitList "." .path }}
{{- $found = get (ternary $found dict (kindIs "map" $found)) . }}
{{- end }}
{{- if not (or (kindIs "invalid" $found) (eq (toString $found) "")) }}{{ toJson $found }}{{ end }}
{{- end }}

{{/* Room for the sink's spool: a shard for each partition, twice while it is written. */}}
{{- define "kaption.spoolSize" -}}
{{- $settings := include "kaption.stageSettings" (dict "root" . "stage" "sink") | fromJson }}
{{- $bytes := mul 2 .Values.partitions (int64 $settings.sink.shard_bytes) }}
{{- printf "%dMi" (add 1024 (div $bytes 1048576)) }}
{{- end }}

{{/* How many records a stage takes at once: a batch, or a shard. */}}
{{- define "kaption.batch" -}}
{{- $settings := include "kaption.stageSettings" . | fromJson }}
{{- $own := get $settings .stage }}
{{- if eq .stage "sink" }}{{ int64 $own.shard_records }}{{ else }}{{ int64 $own.batch_records }}{{ end }}
{{- end }}
