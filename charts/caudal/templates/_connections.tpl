{{/*
The most connections to PostgreSQL that the release can have, by its parts: computed like apps/server/src/connections.ts, with its
numbers (files/topology.yaml).
*/}}

{{/* Of one process: `root`, `roles`, `contexts`, `settings`. */}}
{{- define "caudal.connectionsOfProcess" -}}
{{- $numbers := (include "caudal.contexts" .root | fromYaml).connections }}
{{- $appends := false }}
{{- range $role := $numbers.appendingRoles }}{{ if has $role $.roles }}{{ $appends = true }}{{ end }}{{ end }}
{{- $pool := get .settings "CAUDAL_POOL_SIZE" | default $numbers.poolSize | int }}
{{- $append := ternary (mul $numbers.append (len .contexts)) 0 $appends | int }}
{{- $locks := ternary $numbers.locks 0 $appends | int }}
{{- $listen := int $numbers.listen }}
{{- toYaml (dict "pool" $pool "append" $append "locks" $locks "listen" $listen "total" (add $pool $append $locks $listen)) }}
{{- end }}

{{/*
Parts by name, each with `pods`, `each` (of one pod) and `sum`. A workload counts with two pods more than its maximum: during a
rollout one is new, and one that has been replaced still finishes its work.
*/}}
{{- define "caudal.connections" -}}
{{- $numbers := (include "caudal.contexts" . | fromYaml).connections }}
{{- $parts := dict }}
{{- $builds := false }}
{{- range $name, $w := include "caudal.workloads" . | fromYaml }}
  {{- $each := include "caudal.connectionsOfProcess" (dict "root" $ "roles" $w.roles "contexts" $w.contexts "settings" $w.settings) | fromYaml }}
  {{- $pods := add (max (int $w.replicas) (int $w.maxReplicas)) 2 }}
  {{- $_ := set $parts (printf "workloads.%s" $name) (dict "pods" $pods "each" $each "sum" (mul $pods (int $each.total))) }}
  {{- if and (has "projector" $w.roles) $w.maxReplicas (eq (int $w.replicas) 0) }}{{ $builds = true }}{{ end }}
{{- end }}
{{- /* A Job runs a command of caudal with all contexts, which may do what any role does. */}}
{{- $everywhere := include "caudal.settings" (dict "root" . "settings" .Values.settings) | fromYaml }}
{{- $command := include "caudal.connectionsOfProcess" (dict "root" . "roles" $numbers.appendingRoles "contexts" (include "caudal.contextNames" . | fromYamlArray) "settings" $everywhere) | fromYaml }}
{{- $commands := list }}
{{- range $name, $_ := .Values.jobs }}{{ $commands = append $commands (printf "jobs.%s" $name) }}{{ end }}
{{- if $builds }}{{ $commands = append $commands "the Job that builds views" }}{{ end }}
{{- range $name := $commands }}{{ $_ := set $parts $name (dict "pods" 1 "each" $command "sum" (int $command.total)) }}{{ end }}
{{- if .Values.migrate }}
  {{- $one := dict "total" (int $numbers.migrate) }}
  {{- $_ := set $parts "the Job that migrates" (dict "pods" 1 "each" $one "sum" (int $numbers.migrate)) }}
{{- end }}
{{- $total := 0 }}
{{- range $parts }}{{ $total = add $total (int .sum) }}{{ end }}
{{- toYaml (dict "total" $total "parts" $parts) }}
{{- end }}

{{/* The parts in words, a line each, after `indent`. */}}
{{- define "caudal.connectionLines" -}}
{{- $indent := .indent }}
{{- range $name, $part := .parts }}
{{ $indent }}{{ $name }}: {{ $part.pods }} x {{ $part.each.total }}
{{- if hasKey $part.each "pool" }} (pool {{ $part.each.pool }}{{ with $part.each.append }}, appends {{ . }}{{ end }}{{ with $part.each.locks }}, locks {{ . }}{{ end }}, listener {{ $part.each.listen }}){{ end }} = {{ $part.sum }}
{{- end }}
{{- end }}
