{{/*
The plugins of Kong that values ask for. `restOnly`: it does nothing for gRPC; `keyed`: it is left out of routes that are called without a
token; `global`: in k8s/kong/kong.yml it stands for all routes and for none, so that it also sees what has no route, and counts REST and
gRPC together. An ingress controller has it for each Ingress, since others may share its Kong.
*/}}
{{- define "caudal.kongPlugins" -}}
{{- $k := .Values.kong }}
- plugin: correlation-id
  global: true
  # Caudal uses it as the id of the call, in its logs and answers. It does not take every id of a caller, so its answer says which it is.
  config: { header_name: x-request-id, generator: uuid, echo_downstream: false }
- plugin: post-function
  global: true
  restOnly: true
  # Kong's own refusals in the form of Caudal's.
  config:
    header_filter: [{{ .Files.Get "files/kong-problem-headers.lua" | toJson }}]
    body_filter: [{{ .Files.Get "files/kong-problem-body.lua" | toJson }}]
- plugin: prometheus
  config: { status_code_metrics: true, latency_metrics: true, bandwidth_metrics: true, upstream_health_metrics: true }
{{- if $k.requestSizeMegabytes }}
- plugin: request-size-limiting
  restOnly: true
  config: { allowed_payload_size: {{ $k.requestSizeMegabytes }}, size_unit: megabytes }
{{- end }}
{{- if eq $k.auth "jwt" }}
- plugin: jwt
  keyed: true
  # A consumer is an issuer. Caudal checks the token again, with its permissions.
  config: { key_claim_name: iss, claims_to_verify: [exp], run_on_preflight: false }
{{- else if eq $k.auth "key-auth" }}
- plugin: key-auth
  keyed: true
  config: { key_names: [apikey], hide_credentials: true, run_on_preflight: false }
{{- end }}
{{- with $k.rateLimit }}
{{- if .perMinute }}
- plugin: rate-limiting
  global: true
  config:
    minute: {{ .perMinute }}
    policy: {{ .policy }}
    {{- if eq $k.auth "key-auth" }}
    limit_by: consumer
    {{- else }}
    # A token is a caller; with jwt a consumer of Kong would be the issuer of all of them. Without a token, the address.
    limit_by: header
    header_name: authorization
    {{- end }}
    # If Kong's counter is unreachable, calls go through.
    fault_tolerant: true
    {{- if .redisHost }}
    redis: { host: {{ .redisHost }} }
    {{- end }}
{{- end }}
{{- end }}
{{- $cors := include "caudal.cors" . | fromJson }}
{{- if $cors.origins }}
- plugin: cors
  restOnly: true
  # As Caudal itself does. Kong answers preflights for it.
  config:
    origins: {{ toJson $cors.origins }}
    methods: {{ toJson $cors.methods }}
    headers: {{ toJson $cors.requestHeaders }}
    exposed_headers: {{ toJson $cors.answerHeaders }}
    credentials: false
    max_age: {{ $cors.maxAgeSeconds }}
{{- end }}
{{- if $k.otlpTracesEndpoint }}
- plugin: opentelemetry
  config:
    traces_endpoint: {{ $k.otlpTracesEndpoint }}
    resource_attributes: { service.name: kong }
    propagation: { default_format: w3c, extract: [w3c], inject: [w3c] }
{{- end }}
{{- end }}

{{/*
What web pages may do: the settings of the listeners, or the older value of Kong alone, with the lists of methods and headers that the code
has.
*/}}
{{- define "caudal.cors" -}}
{{- $known := (include "caudal.contexts" . | fromYaml).cors }}
{{- $settings := .Values.settings | default dict }}
{{- $origins := list }}
{{- range splitList "," ($settings.CAUDAL_CORS_ORIGINS | default "") }}{{ with trim . }}{{ $origins = append $origins . }}{{ end }}{{ end }}
{{- $age := $settings.CAUDAL_CORS_MAX_AGE | default $known.maxAge }}
{{- $unit := get (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0) (regexFind "[a-z]+$" $age) }}
{{- $headers := $known.requestHeaders }}
{{- if eq .Values.kong.auth "key-auth" }}{{ $headers = append $headers "apikey" }}{{ end }}
{{- dict "origins" ($origins | default .Values.kong.corsOrigins) "methods" $known.methods "requestHeaders" $headers "answerHeaders" $known.answerHeaders
    "maxAgeSeconds" (mulf (regexFind "^[0-9.]+" $age | float64) $unit | int) | toJson }}
{{- end }}

{{/* Whether Kong redirects to HTTPS: empty if not. */}}
{{- define "caudal.httpsOnly" -}}
{{- with .Values.kong }}{{ if and .host .tlsSecret .httpsRedirect }}true{{ end }}{{ end -}}
{{- end }}

{{/* An Ingress of a workload's listener: `workload`, `listener`, `suffix`, `paths`, `pathType`, `plugins`, `annotations`, `root`. */}}
{{- define "caudal.ingress" }}
{{- $k := .root.Values.kong }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ include "caudal.name" .root }}-{{ .workload }}-{{ .suffix }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "caudal.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .workload }}
  annotations:
    konghq.com/strip-path: "false"
    konghq.com/plugins: {{ join "," .plugins | quote }}
    {{- if and (eq .listener "rest") (include "caudal.httpsOnly" .root) }}
    konghq.com/protocols: https
    konghq.com/https-redirect-status-code: "308"
    {{- end }}
    {{- with .annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  ingressClassName: {{ $k.ingressClass }}
  {{- if and $k.host $k.tlsSecret }}
  tls: [{ hosts: [{{ $k.host }}], secretName: {{ $k.tlsSecret }} }]
  {{- end }}
  rules:
    - http:
        paths:
          {{- range .paths }}
          - path: {{ . | quote }}
            pathType: {{ $.pathType }}
            backend: { service: { name: {{ include "caudal.name" $.root }}-{{ $.workload }}-{{ $.listener }}, port: { name: {{ $.listener }} } } }
          {{- end }}
      {{- with $k.host }}
      host: {{ . }}
      {{- end }}
{{- end }}
