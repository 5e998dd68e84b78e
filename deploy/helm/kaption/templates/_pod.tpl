{{/* The spec that all pods share, without containers and volumes. Takes root and placement, the values
that say where the pods run. */}}
{{- define "kaption.pod" -}}
serviceAccountName: {{ include "kaption.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .placement.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .placement.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .placement.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- $gpu := dict "key" .root.Values.gpuResource "operator" "Exists" "effect" "NoSchedule" }}
{{- with concat (ternary (list $gpu) list (gt (int .placement.gpus) 0)) (.placement.tolerations | default list) }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}

{{/* The container that all pods share. Takes root and placement, which says how many GPUs it gets. */}}
{{- define "kaption.container" -}}
{{- $image := .root.Values.image }}
{{- $tag := $image.tag | default .root.Chart.AppVersion }}
{{- if gt (int .placement.gpus) 0 }}
{{- if and (contains "@" $tag) (not $image.gpuTag) }}
{{- fail "image.tag has a digest, and the image for GPUs has another one: set image.gpuTag too" }}
{{- end }}
{{- $tag = $image.gpuTag | default (print $tag "-gpu") }}
{{- end }}
name: kaption
image: "{{ $image.repository }}:{{ $tag }}"
imagePullPolicy: {{ $image.pullPolicy }}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
envFrom:
  - configMapRef: {name: {{ include "kaption.name" .root }}-settings}
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
{{- range $path, $from := .root.Values.files }}
- {name: {{ include "kaption.variable" $path }}, value: /etc/kaption/{{ $path }}}
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
{{- end }}

{{- define "kaption.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: {{ .root.Values.tmpSize }}}}
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
