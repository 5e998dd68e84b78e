{{/* The spec that all pods share, without containers and volumes. Takes root and placement, the values
that say where the pods run. */}}
{{- define "kaption.pod" -}}
serviceAccountName: {{ .placement.serviceAccountName | default (include "kaption.serviceAccount" .root) }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .placement.runtimeClassName | default .root.Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .root.Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .root.Values.dnsConfig }}
dnsConfig: {{ toJson . }}
{{- end }}
{{- with .placement.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .placement.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .placement.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- $gpu := dict "key" (include "kaption.gpuResource" .) "operator" "Exists" "effect" "NoSchedule" }}
{{- with concat (ternary (list $gpu) list (gt (int .placement.gpus) 0)) (.placement.tolerations | default list) }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}

{{/* The container that all pods share. Takes root; placement, which says how many GPUs it gets; and
tools, whether the small image without models does. */}}
{{- define "kaption.container" -}}
{{- $image := .root.Values.image }}
{{- $tag := $image.tag | default .root.Chart.AppVersion }}
{{- if gt (int .placement.gpus) 0 }}
{{- if and (contains "@" $tag) (not $image.gpuTag) }}
{{- fail "image.tag has a digest, and the image for GPUs has another one: set image.gpuTag too" }}
{{- end }}
{{- $tag = $image.gpuTag | default (print $tag "-gpu") }}
{{- else if and .tools (or $image.toolsTag (not (contains "@" $tag))) }}
{{- $tag = $image.toolsTag | default (print $tag "-tools") }}
{{- end }}
name: kaption
image: {{ .placement.image | default (print $image.repository ":" $tag) | quote }}
imagePullPolicy: {{ $image.pullPolicy }}
securityContext: {{- toYaml .root.Values.securityContext | nindent 2 }}
envFrom:
  - configMapRef: {name: {{ include "kaption.settingsName" .root }}}
{{- end }}

{{/* The resource that a GPU is: a stage may ask for a part of one (MIG) or for a shared one. */}}
{{- define "kaption.gpuResource" -}}
{{- .placement.gpuResource | default .root.Values.gpuResource }}
{{- end }}

{{/* Labels and annotations that the values add to a pod. Take root and placement; the annotations, which
also tell a Deployment that a Secret has changed, take models too. */}}
{{- define "kaption.podLabels" -}}
{{- with merge dict (.placement.podLabels | default dict) .root.Values.podLabels }}{{ toYaml . }}{{ end }}
{{- end }}

{{- define "kaption.podAnnotations" -}}
{{- $annotations := merge dict (.placement.podAnnotations | default dict) .root.Values.podAnnotations }}
{{- with include "kaption.sourcesHash" (dict "root" .root "sources" (include "kaption.sources" . | fromYamlArray)) }}
{{- $_ := set $annotations "checksum/sources" . }}
{{- end }}
{{- with $annotations }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* Where a pod of ours gets secrets and files from, as a list. */}}
{{- define "kaption.sources" -}}
{{- $secrets := merge dict (.placement.secrets | default dict) .root.Values.secrets }}
{{- $sources := concat (values $secrets) (values .root.Values.files) }}
{{- if .models }}
{{- $sources = append $sources .root.Values.models.token }}
{{- end }}
{{- toYaml $sources }}
{{- end }}

{{/* Containers beside ours. */}}
{{- define "kaption.sidecars" -}}
{{- with concat .root.Values.sidecars (.placement.sidecars | default list) }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* Environment variables of a container, besides the settings in the ConfigMap. Takes root; placement,
whose secrets override those of all pods; and models, whether it mounts them. */}}
{{- define "kaption.env" -}}
{{- if .models }}
{{- with .root.Values.models.token }}
- name: HF_TOKEN
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- range $path, $from := merge dict (.placement.secrets | default dict) .root.Values.secrets }}
- name: {{ include "kaption.variable" $path }}
  valueFrom: {secretKeyRef: {name: {{ $from.secret }}, key: {{ $from.key }}}}
{{- end }}
{{- range $name, $value := .root.Values.otel }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- range $path, $from := .root.Values.files }}
- {name: {{ include "kaption.variable" $path }}, value: /etc/kaption/{{ $path }}}
{{- end }}
{{- with concat .root.Values.extraEnv (.placement.extraEnv | default list) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Takes the same. The image downloads models into /models. */}}
{{- define "kaption.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .root.Values.files }}
- {name: files, mountPath: /etc/kaption, readOnly: true}
{{- end }}
{{- if .models }}
- {name: models, mountPath: /models}
{{- end }}
{{- with concat .root.Values.extraVolumeMounts (.placement.extraVolumeMounts | default list) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "kaption.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: {{ .root.Values.tmpSize }}}}
{{- with concat .root.Values.extraVolumes (.placement.extraVolumes | default list) }}
{{ toYaml . }}
{{- end }}
{{- with .root.Values.files }}
- name: files
  projected:
    defaultMode: 0440
    sources:
      {{- range $path, $from := . }}
      {{- if $from.audience }}
      - serviceAccountToken: {audience: {{ $from.audience }}, path: {{ $path }}}
      {{- else if $from.configMap }}
      - configMap: {name: {{ $from.configMap }}, items: [{key: {{ $from.key }}, path: {{ $path }}}]}
      {{- else }}
      - secret: {name: {{ $from.secret }}, items: [{key: {{ $from.key }}, path: {{ $path }}}]}
      {{- end }}
      {{- end }}
{{- end }}
{{- if .models }}
- name: models
  {{- if .root.Values.models.claim.create }}
  persistentVolumeClaim: {claimName: {{ include "kaption.name" .root }}-models}
  {{- else }}
  {{- toYaml (.root.Values.models.volume | default (dict "emptyDir" dict)) | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
