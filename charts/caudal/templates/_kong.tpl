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
{{- if $k.corsOrigins }}
- plugin: cors
  restOnly: true
  config:
    origins: {{ toJson $k.corsOrigins }}
    methods: [GET, POST, PATCH, PUT, DELETE, OPTIONS]
    headers: [authorization, content-type, idempotency-key, if-match, if-none-match, apikey, consistency-token, x-request-id]
    exposed_headers: [etag, age, consistency-token, x-request-id, retry-after, location]
    max_age: 600
{{- end }}
{{- if $k.otlpTracesEndpoint }}
- plugin: opentelemetry
  config:
    traces_endpoint: {{ $k.otlpTracesEndpoint }}
    resource_attributes: { service.name: kong }
    propagation: { default_format: w3c, extract: [w3c], inject: [w3c] }
{{- end }}
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
