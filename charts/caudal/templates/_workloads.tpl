{{/*
The one thing that this chart knows: a workload. Everything else is said of workloads, and follows from them.
*/}}

{{/* All contexts, with their queues and routes: from the code, by scripts/charts.ts. */}}
{{- define "caudal.contexts" -}}
{{ .Files.Get "files/topology.yaml" }}
{{- end }}

{{- define "caudal.contextNames" -}}
{{- range (include "caudal.contexts" . | fromYaml).contexts }}
- {{ .name }}
{{- end }}
{{- end }}

{{/* Workloads by name, with every key that they were not given. */}}
{{- define "caudal.workloads" -}}
{{- $names := include "caudal.contextNames" . | fromYamlArray }}
{{- $preset := dict }}
{{- if ne .Values.preset "none" }}{{ $preset = .Files.Get (printf "presets/%s.yaml" .Values.preset) | fromYaml }}{{ end }}
{{- $workloads := dict }}
{{- range $name, $given := mergeOverwrite $preset (deepCopy .Values.workloads) }}
  {{- $roles := $given.roles | default (list "command" "query" "relay" "projector" "process" "jobs") }}
  {{- $contexts := $given.contexts | default $names }}
  {{- $serves := or (has "command" $roles) (has "query" $roles) }}
  {{- $w := dict "name" $name "roles" $roles "contexts" $contexts "serves" $serves }}
  {{- $_ := set $w "enabled" (ne $given.enabled false) }}
  {{- $_ := set $w "public" (and $serves (ne $given.public false)) }}
  {{- $_ := set $w "projections" ($given.projections | default list) }}
  {{- $_ := set $w "replicas" ($given.replicas | default 0 | int) }}
  {{- if not (hasKey $given "replicas") }}{{ $_ := set $w "replicas" 1 }}{{ end }}
  {{- $_ := set $w "maxReplicas" ($given.maxReplicas | default 0 | int) }}
  {{- $_ := set $w "scaleOn" ($given.scaleOn | default "cpu") }}
  {{- $prefetch := dig "settings" "CAUDAL_PREFETCH" (dig "CAUDAL_PREFETCH" 512 $.Values.settings) $given | int }}
  {{- $_ := set $w "prefetch" $prefetch }}
  {{- $_ := set $w "target" ($given.target | default (ternary (mul 4 $prefetch) 70 (eq $w.scaleOn "queues")) | int) }}
  {{- $_ := set $w "algorithm" ($given.algorithm | default $.Values.kong.algorithm) }}
  {{- $_ := set $w "resources" (mergeOverwrite (deepCopy $.Values.resources) ($given.resources | default dict)) }}
  {{- $_ := set $w "settings" (mergeOverwrite (deepCopy $.Values.settings) ($given.settings | default dict)) }}
  {{- if $w.enabled }}{{ $_ := set $workloads $name $w }}{{ end }}
{{- end }}
{{- toYaml $workloads }}
{{- end }}

{{/* Patterns of the queues that a workload reads, generations of projections included. Some projections have no queue. */}}
{{- define "caudal.queues" -}}
{{- $w := .workload }}
{{- $prefix := "" }}
{{- with $w.settings.CAUDAL_NAMESPACE }}{{ $prefix = printf "%s\\." . }}{{ end }}
{{- range (include "caudal.contexts" .root | fromYaml).contexts }}
{{- if has .name $w.contexts }}
{{- if has "projector" $w.roles }}
{{- range $name, $pattern := .projections }}
{{- if and $pattern (or (empty $w.projections) (has $name $w.projections)) }}
- {{ printf "%s%s" $prefix $pattern | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- if has "process" $w.roles }}
{{- range .processes }}
- {{ printf "%s%s" $prefix . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The projections of a workload that read their logs instead of a queue. */}}
{{- define "caudal.queueless" -}}
{{- $w := .workload }}
{{- range (include "caudal.contexts" .root | fromYaml).contexts }}
{{- if and (has .name $w.contexts) (has "projector" $w.roles) }}
{{- range $name, $pattern := .projections }}
{{- if and (not $pattern) (or (empty $w.projections) (has $name $w.projections)) }}
- {{ $name }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
