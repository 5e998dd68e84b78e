{{/* The environment variable of a setting: KAPTION_KAFKA__CA_FILE for kafka.ca_file. */}}
{{- define "kaption.variable" -}}
KAPTION_{{ . | replace "." "__" | upper }}
{{- end }}

{{/* Nested settings as lines `VARIABLE: "value"`. Values are written as JSON, because YAML would write
a large number as 2.68e+08. */}}
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

{{/* The settings of a stage's pods as JSON: those of all pods, overridden by those of the stage. */}}
{{- define "kaption.stageSettings" -}}
{{- $own := (get .root.Values.stages .stage).settings | default dict }}
{{- mergeOverwrite (deepCopy .root.Values.settings) (deepCopy $own) | toJson }}
{{- end }}

{{/* The setting for the number of threads that a stage computes with. */}}
{{- define "kaption.threads" -}}
{{- get (dict
  "ingest" "ingest.image.decode_processes"
  "score" "clip.threads"
  "recaption" "recaption.transformers.threads"
  "select" "clip.threads"
) . }}
{{- end }}

{{/* The value of a setting as JSON, by its dotted name; empty if it is not set. */}}
{{- define "kaption.lookUp" -}}
{{- $found := .settings }}
{{- range splitList "." .path }}
{{- $found = get (ternary $found dict (kindIs "map" $found)) . }}
{{- end }}
{{- if not (or (kindIs "invalid" $found) (eq (toString $found) "")) }}{{ toJson $found }}{{ end }}
{{- end }}

{{/* Size of the sink's spool: two shards for each partition, because a shard that is written takes
twice its size. */}}
{{- define "kaption.spoolSize" -}}
{{- $settings := include "kaption.stageSettings" (dict "root" . "stage" "sink") | fromJson }}
{{- $bytes := mul 2 .Values.partitions (int64 $settings.sink.shard_bytes) }}
{{- printf "%dMi" (add 1024 (div $bytes 1048576)) }}
{{- end }}

{{/* Records of a stage's batch; for the sink, of a shard. */}}
{{- define "kaption.batch" -}}
{{- $settings := include "kaption.stageSettings" . | fromJson }}
{{- $own := get $settings .stage }}
{{- if eq .stage "sink" }}{{ int64 $own.shard_records }}{{ else }}{{ int64 $own.batch_records }}{{ end }}
{{- end }}

{{- define "kaption.settingsData" -}}
{{- include "kaption.variables" (dict "path" "" "settings" .Values.settings) | trim }}
{{- end }}

{{/* The name of the settings' ConfigMap has the hash of its content. */}}
{{- define "kaption.settingsName" -}}
{{ include "kaption.name" . }}-settings-{{ include "kaption.settingsData" . | sha256sum | trunc 10 }}
{{- end }}

{{/* A hash of the Secrets and ConfigMaps that a pod takes values from, for an annotation that changes
with them; empty where Helm cannot look them up. The uid, which only their readers know, keeps others
from guessing a password by its hash. Takes root and sources. */}}
{{- define "kaption.sourcesHash" -}}
{{- $found := dict }}
{{- range .sources }}
{{- range $kind, $name := dict "Secret" .secret "ConfigMap" .configMap }}
{{- if $name }}
{{- with lookup "v1" $kind $.root.Release.Namespace $name }}
{{- $_ := set $found (print $kind "/" $name) (list .metadata.uid .data .binaryData) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if $found }}{{ toJson $found | sha256sum }}{{ end }}
{{- end }}
