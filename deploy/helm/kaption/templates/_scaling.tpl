{{/* yes, if an autoscaler and not `replicas` sets the number of a stage's workers. An HPA does not scale
a stage on a GPU, because its CPU use says nothing about its load. */}}
{{- define "kaption.scaled" -}}
{{- $gpus := int (get .root.Values.stages .component).gpus }}
{{- if or (eq .root.Values.autoscaler "keda") (and (eq .root.Values.autoscaler "hpa") (eq $gpus 0)) }}yes{{ end }}
{{- end }}

{{/* The number of pods of a Deployment. Where an autoscaler sets it, the number that runs now: without
one, the upgrade that switches the autoscaler on would leave one pod. Takes root; name, of the
Deployment; scaled; and replicas, the number in the values. */}}
{{- define "kaption.replicas" -}}
{{- if not .scaled }}
replicas: {{ .replicas }}
{{- else }}
{{- with lookup "apps/v1" "Deployment" .root.Release.Namespace .name }}
replicas: {{ .spec.replicas }}
{{- end }}
{{- end }}
{{- end }}

{{- define "kaption.maxReplicas" -}}
{{- $most := int (get .root.Values.stages .component).maxReplicas }}
{{- if gt $most (int .root.Values.partitions) }}
{{- fail (printf "stages.%s.maxReplicas is %d, but a topic has %d partitions, and more replicas would have nothing to do: lower it, or set partitions to what the topics have" .component $most (int .root.Values.partitions)) }}
{{- end }}
{{- $most }}
{{- end }}

{{/* How fast an autoscaler may act. Takes root; and own, what differs in a stage. */}}
{{- define "kaption.behavior" -}}
{{- $behavior := mergeOverwrite (deepCopy .root.Values.behavior) (deepCopy .own) }}
{{- if and $behavior.scaleDown (kindIs "invalid" $behavior.scaleDown.stabilizationWindowSeconds) }}
{{- $_ := set $behavior.scaleDown "stabilizationWindowSeconds" .root.Values.startLimitSeconds }}
{{- end }}
{{- toYaml $behavior }}
{{- end }}

{{/* Fails where the cluster's KEDA is older than 2.13, which brought limitToPartitionsWithLag and
configMapTargetRef, and the group eventing.keda.sh by which it is known. Where there is no KEDA, the
API server says so. */}}
{{- define "kaption.kedaChecked" -}}
{{- if and (.Capabilities.APIVersions.Has "keda.sh/v1alpha1") (not (.Capabilities.APIVersions.Has "eventing.keda.sh/v1alpha1")) }}
{{- fail "the cluster's KEDA is older than 2.13, which the chart needs: upgrade KEDA, or set autoscaler to hpa or none" }}
{{- end }}
{{- end }}

{{/* Where KEDA finds its log-in to Kafka, under KEDA's names of parameters; empty if Kafka asks for
none. */}}
{{- define "kaption.kedaParameters" -}}
{{- $parameters := dict
  "kafka.username" "username"
  "kafka.password" "password"
  "kafka.oauth_client_id" "username"
  "kafka.oauth_client_secret" "password"
  "kafka.oauth_token_url" "oauthTokenEndpointUri"
  "kafka.oauth_scope" "scopes"
  "kafka.ca_file" "ca"
  "kafka.certificate_file" "cert"
  "kafka.key_file" "key"
  "kafka.key_password" "keyPassword"
}}
{{- $secrets := list }}
{{- $maps := list }}
{{- range $path, $parameter := $parameters }}
{{- $from := get $.Values.secrets $path | default (get $.Values.files $path) }}
{{- if and $from $from.secret }}
{{- $secrets = append $secrets (dict "parameter" $parameter "name" $from.secret "key" $from.key) }}
{{- else if and $from $from.configMap }}
{{- $maps = append $maps (dict "parameter" $parameter "name" $from.configMap "key" $from.key) }}
{{- else if include "kaption.lookUp" (dict "settings" $.Values.settings "path" $path) }}
{{- $maps = append $maps (dict "parameter" $parameter "name" (include "kaption.settingsName" $) "key" (include "kaption.variable" $path)) }}
{{- end }}
{{- end }}
{{- with $secrets }}
secretTargetRef: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $maps }}
configMapTargetRef: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "kaption.kedaAuthentication" -}}
{{- if .Values.keda.authentication }}
{{- .Values.keda.authentication }}
{{- else if get .Values.files "kafka.oauth_token_file" }}
{{- fail "KEDA cannot read kafka.oauth_token_file: name a TriggerAuthentication of your own in keda.authentication" }}
{{- else if include "kaption.kedaParameters" . }}
{{- include "kaption.name" . }}-kafka
{{- end }}
{{- end }}

{{- define "kaption.kedaSasl" -}}
{{- get (dict
  "PLAIN" "plaintext"
  "SCRAM-SHA-256" "scram_sha256"
  "SCRAM-SHA-512" "scram_sha512"
  "OAUTHBEARER" "oauthbearer"
) . }}
{{- end }}
