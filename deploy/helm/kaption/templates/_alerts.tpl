{{/* files/alerts.yaml with what metrics.alerts changes. */}}
{{- define "kaption.alerts" -}}
{{- $alerts := .Values.metrics.alerts }}
{{- $text := .Files.Get "files/alerts.yaml" | replace "(namespace" (print "(" (join ", " $alerts.by)) }}
{{- range $name, $value := $alerts.thresholds }}
{{- $text = regexReplaceAll (printf "[0-9.]+ # %s\\b" $name) $text (printf "%v # %s" $value $name) }}
{{- end }}
{{- $groups := (fromYaml $text).groups }}
{{- $known := list }}
{{- range $group := $groups }}
{{- $kept := list }}
{{- range $rule := $group.rules }}
{{- $name := $rule.alert }}
{{- $known = append $known $name }}
{{- $severity := dict "severity" (get $alerts.severities $name | default $rule.labels.severity) }}
{{- $_ := set $rule "labels" (merge $severity $alerts.ruleLabels) }}
{{- with get $alerts.for $name }}
{{- $_ := set $rule "for" . }}
{{- end }}
{{- with $alerts.runbooks }}
{{- $page := $rule.annotations.runbook_url | trimPrefix "docs/" }}
{{- $_ := set $rule.annotations "runbook_url" (print (trimSuffix "/" .) "/" $page) }}
{{- end }}
{{- if and (eq $name "KaptionNothingScraped") (include "kaption.monitored" $) }}
{{- /* The operator adds the namespace; without it another deployment's metrics would do. */}}
{{- $_ := set $rule "expr" (regexReplaceAll "(kaption_[a-z_]+)" $rule.expr (printf "${1}{namespace=%q}" $.Release.Namespace)) }}
{{- end }}
{{- if not (has $name $alerts.disabled) }}
{{- $kept = append $kept $rule }}
{{- end }}
{{- end }}
{{- $_ := set $group "rules" $kept }}
{{- end }}
{{- range concat $alerts.disabled (keys $alerts.severities) (keys $alerts.for) }}
{{- if not (has . $known) }}
{{- fail (printf "metrics.alerts names %s, and there is no such alert: files/alerts.yaml lists them" .) }}
{{- end }}
{{- end }}
groups: {{- toYaml $groups | nindent 2 }}
{{- end }}

{{- define "kaption.monitored" -}}
{{- if or .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}yes{{ end }}
{{- end }}
