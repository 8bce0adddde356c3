{{/*
The chart's one concept: a workload. Everything else follows from the workloads.
*/}}

{{/* All contexts, with their queues and endpoints, and deprecated names: from the code, by scripts/charts.ts. */}}
{{- define "caudal.contexts" -}}
{{ .Files.Get "files/topology.yaml" }}
{{- end }}

{{/* Settings under their current names: `root`, `settings`. If both names are given, the current one takes precedence. */}}
{{- define "caudal.settings" -}}
{{- $former := (include "caudal.contexts" .root | fromYaml).formerNames.settings }}
{{- $settings := dict }}
{{- range $name, $value := .settings }}
{{- if not (hasKey $former $name) }}{{ $_ := set $settings $name $value }}
{{- else if not (hasKey $.settings (get $former $name)) }}{{ $_ := set $settings (get $former $name) $value }}{{ end }}
{{- end }}
{{- toYaml $settings }}
{{- end }}

{{/* The workloads of a preset were called `process...` until the role got the name saga: the former names, by the current ones. */}}
{{- define "caudal.formerWorkloads" -}}
{{- if ne .Values.preset "none" }}
{{- range $name, $_ := .Files.Get (printf "presets/%s.yaml" .Values.preset) | fromYaml }}
{{- if hasPrefix "saga" $name }}
{{ $name }}: {{ trimPrefix "saga" $name | printf "process%s" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The settings as the values give them, by their path in the values. */}}
{{- define "caudal.givenSettings" -}}
{{- $given := dict "settings" .Values.settings }}
{{- range $name, $workload := .Values.workloads }}
{{- $_ := set $given (printf "workloads.%s.settings" $name) (($workload).settings | default dict) }}
{{- end }}
{{- toYaml $given }}
{{- end }}

{{/* Deprecated names in the values, as a list of messages that say what to write instead. */}}
{{- define "caudal.deprecations" -}}
{{- $former := (include "caudal.contexts" . | fromYaml).formerNames }}
{{- $found := list }}
{{- range $now, $before := include "caudal.formerWorkloads" . | fromYaml }}
{{- if hasKey $.Values.workloads $before }}{{ $found = append $found (printf "workloads.%s: it is called workloads.%s now." $before $now) }}{{ end }}
{{- end }}
{{- range $workload, $given := .Values.workloads }}
{{- range $role := ($given).roles }}
{{- if hasKey $former.roles $role }}{{ $found = append $found (printf "workloads.%s.roles: the role %s is called %s now." $workload $role (get $former.roles $role)) }}{{ end }}
{{- end }}
{{- end }}
{{- range $path, $settings := include "caudal.givenSettings" . | fromYaml }}
{{- range $name, $_ := $settings }}
{{- if hasKey $former.settings $name }}{{ $found = append $found (printf "%s.%s: it is called %s now." $path $name (get $former.settings $name)) }}{{ end }}
{{- end }}
{{- end }}
{{- toYaml $found }}
{{- end }}

{{- define "caudal.contextNames" -}}
{{- range (include "caudal.contexts" . | fromYaml).contexts }}
- {{ .name }}
{{- end }}
{{- end }}

{{/* Workloads by name, with defaults for every key that is not given. */}}
{{- define "caudal.workloads" -}}
{{- $names := include "caudal.contextNames" . | fromYamlArray }}
{{- $preset := dict }}
{{- if ne .Values.preset "none" }}{{ $preset = .Files.Get (printf "presets/%s.yaml" .Values.preset) | fromYaml }}{{ end }}
{{- $formerRoles := (include "caudal.contexts" . | fromYaml).formerNames.roles }}
{{- $given := deepCopy .Values.workloads }}
{{- range $now, $before := include "caudal.formerWorkloads" . | fromYaml }}
{{- if hasKey $given $before }}
  {{- $_ := set $given $now (mergeOverwrite (get $given $before | default dict) (get $given $now | default dict)) }}
  {{- $_ := unset $given $before }}
{{- end }}
{{- end }}
{{- $everywhere := include "caudal.settings" (dict "root" $ "settings" .Values.settings) | fromYaml }}
{{- $workloads := dict }}
{{- range $name, $given := mergeOverwrite $preset $given }}
  {{- $roles := list }}
  {{- range $role := $given.roles | default (list "command" "query" "relay" "projector" "saga" "jobs" "worker") }}
    {{- $roles = append $roles (get $formerRoles $role | default $role) }}
  {{- end }}
  {{- $roles = uniq $roles }}
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
  {{- $own := include "caudal.settings" (dict "root" $ "settings" ($given.settings | default dict)) | fromYaml }}
  {{- $settings := mergeOverwrite (deepCopy $everywhere) $own }}
  {{- $prefetch := get $settings "CAUDAL_PREFETCH" | default 512 | int }}
  {{- $_ := set $w "prefetch" $prefetch }}
  {{- $_ := set $w "target" ($given.target | default (ternary (mul 4 $prefetch) 70 (eq $w.scaleOn "queues")) | int) }}
  {{- $_ := set $w "algorithm" ($given.algorithm | default $.Values.kong.algorithm) }}
  {{- $_ := set $w "resources" (mergeOverwrite (deepCopy $.Values.resources) ($given.resources | default dict)) }}
  {{- $_ := set $w "settings" $settings }}
  {{- $_ := set $w "tlsSecret" ($given.tlsSecret | default "") }}
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
{{- range $name, $handler := .projections }}
{{- if and $handler.queues (or (empty $w.projections) (has $name $w.projections)) }}
- {{ printf "%s%s" $prefix $handler.queues | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- if has "saga" $w.roles }}
{{- range .sagas }}
- {{ printf "%s%s" $prefix .queues | quote }}
{{- end }}
{{- end }}
{{- if and .workers (has "worker" $w.roles) }}
- {{ printf "%s%s" $prefix .workers.queues | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* How many pods can share the work of a workload: the most parts that one of its handlers has. */}}
{{- define "caudal.parts" -}}
{{- $w := .workload }}
{{- $parts := 1 }}
{{- range (include "caudal.contexts" .root | fromYaml).contexts }}
{{- if has .name $w.contexts }}
{{- if has "projector" $w.roles }}
{{- range $name, $handler := .projections }}
{{- if or (empty $w.projections) (has $name $w.projections) }}{{ $parts = max $parts (int $handler.parts) }}{{ end }}
{{- end }}
{{- end }}
{{- if has "saga" $w.roles }}
{{- range .sagas }}{{ $parts = max $parts (int .parts) }}{{ end }}
{{- end }}
{{- /* A queue of work has no parts: any number of pods shares it. */}}
{{- if and .workers (has "worker" $w.roles) }}{{ $parts = max $parts 1000 }}{{ end }}
{{- end }}
{{- end }}
{{- $parts }}
{{- end }}

{{/* The projections of a workload that read their logs instead of a queue. */}}
{{- define "caudal.queueless" -}}
{{- $w := .workload }}
{{- range (include "caudal.contexts" .root | fromYaml).contexts }}
{{- if and (has .name $w.contexts) (has "projector" $w.roles) }}
{{- range $name, $handler := .projections }}
{{- if and (not $handler.queues) (or (empty $w.projections) (has $name $w.projections)) }}
- {{ $name }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
