{{/* What every pod of the release has in common. */}}

{{- define "caudal.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "caudal.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: {{ .Values.readOnlyRootFilesystem }}
capabilities: { drop: [ALL] }
{{- end }}

{{/*
The credentials of a workload, or of a Job if there is no workload: those that are set, and that a role of the workload uses (files/topology.yaml).
Only Jobs have the owner of the database, and pods that move months to the archive. With serviceKeys each workload has a key of its own. Keys of
personal data are for contexts that have some; the broker is for commands and workers of contexts that put work on it.
Credentials that begin with the name of a context are only for pods that run it in the roles that use them, its sagas unless others are named: no
other pod has a card gateway's key.
*/}}
{{- define "caudal.secretsOf" -}}
{{- $w := .workload }}
{{- $credentials := (include "caudal.contexts" .root | fromYaml).credentials }}
{{- range $setting, $secret := .root.Values.secrets }}
{{- $context := splitList "_" $setting | first | lower }}
{{- $ofContext := has $context (include "caudal.contextNames" $.root | fromYamlArray) }}
{{- $users := list }}
{{- range $role := get $credentials.roles $setting | default (list "saga") }}
{{- $only := dig $setting $role (list) $credentials.contexts }}
{{- if or (not $w) (not $only) (include "caudal.meet" (list $only $w.contexts)) }}{{ $users = append $users $role }}{{ end }}
{{- end }}
{{- $left := and $w $ofContext (not (and (include "caudal.meet" (list $users $w.roles)) (has $context $w.contexts))) }}
{{- if and $w (hasKey $credentials.roles $setting) }}{{ $left = or $left (not (include "caudal.meet" (list $users $w.roles))) }}{{ end }}
{{- $left = or $left (and $w (eq $setting "CAUDAL_PERSONAL_DATA_KEYS") (not (include "caudal.meet" (list $credentials.personal $w.contexts)))) }}
{{- $own := and $w (eq $setting "CAUDAL_SERVICE_KEY") $.root.Values.serviceKeys.secretPrefix }}
{{- $archives := and $w (has "jobs" $w.roles) (hasKey $.root.Values.settings "CAUDAL_ARCHIVE") }}
{{- $left = or $left (and $w (eq $setting "CAUDAL_OWNER_DATABASE_URL") (not $archives)) }}
{{- if $own }}
{{ $setting }}: { name: {{ printf "%s-%s" $.root.Values.serviceKeys.secretPrefix $w.name }}, key: {{ $setting }} }
{{- else if and $secret.existingSecret (not $left) }}
{{ $setting }}: { name: {{ $secret.existingSecret }}, key: {{ $secret.key | quote }} }
{{- end }}
{{- end }}
{{- end }}

{{/* Whether two lists have something in common: empty if not. */}}
{{- define "caudal.meet" -}}
{{- $other := index . 1 }}
{{- range index . 0 }}{{ if has . $other }}x{{ end }}{{ end }}
{{- end }}

{{/* `root`, and `workload` if the pod belongs to one. */}}
{{- define "caudal.volumes" -}}
- name: tmp
  emptyDir: { sizeLimit: 64Mi }
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $setting, $secret := include "caudal.secretsOf" . | fromYaml }}
      - secret:
          name: {{ $secret.name }}
          items: [{ key: {{ $secret.key | quote }}, path: {{ $setting }} }]
      {{- end }}
{{- with .root.Values.caBundle }}
{{- if .configMap }}
- name: ca
  configMap: { name: {{ .configMap }}, items: [{ key: {{ .key | quote }}, path: ca.crt }] }
{{- end }}
{{- end }}
{{- with .root.Values.tls.secret }}
- name: tls
  secret: { secretName: {{ ($.workload | default dict).tlsSecret | default . }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{- define "caudal.mounts" -}}
- { name: tmp, mountPath: /tmp }
- { name: secrets, mountPath: /run/secrets/caudal, readOnly: true }
{{- if .Values.caBundle.configMap }}
- { name: ca, mountPath: /run/ca, readOnly: true }
{{- end }}
{{- if .Values.tls.secret }}
# The whole folder, so that changes arrive.
- { name: tls, mountPath: /run/tls, readOnly: true }
{{- end }}
{{- end }}

{{/* The variables of settings and credentials for every command of caudal. `root`, and `workload` if the pod belongs to one. */}}
{{- define "caudal.env" -}}
- { name: LOG_LEVEL, value: {{ .root.Values.logLevel | quote }} }
{{- if .root.Values.caBundle.configMap }}
- { name: CAUDAL_TRUSTED_CA, value: /run/ca/ca.crt }
{{- end }}
{{- if .root.Values.tls.secret }}
- { name: CAUDAL_TLS_CERTIFICATE, value: /run/tls/tls.crt }
- { name: CAUDAL_TLS_KEY, value: /run/tls/tls.key }
- { name: CAUDAL_TLS_CA, value: /run/tls/ca.crt }
- { name: CAUDAL_TLS_SERVER_NAME, value: {{ include "caudal.tlsName" .root | quote }} }
- { name: CAUDAL_TLS_CALLS, value: {{ empty (include "caudal.callsByTls" .root) | not | quote }} }
- { name: CAUDAL_TLS_PLAINTEXT, value: {{ ne (include "caudal.tlsStage" .root) "require" | quote }} }
- { name: CAUDAL_TLS_CLIENTS, value: {{ ternary "services" "any" .root.Values.tls.clientCertificates }} }
{{- end }}
{{- range $setting, $_ := include "caudal.secretsOf" . | fromYaml }}
{{- if has $setting (list "CAUDAL_JWKS" "CAUDAL_SERVICE_JWKS") }}
{{- /* As a place, which is read again: a key that is taken out of the Secret ends without a restart. */}}
- { name: {{ $setting }}, value: file:///run/secrets/caudal/{{ $setting }} }
{{- else }}
- { name: {{ $setting }}_FILE, value: /run/secrets/caudal/{{ $setting }} }
{{- end }}
{{- end }}
{{- if not (hasKey (ternary (.workload | default dict).settings .root.Values.settings (hasKey . "workload")) "CAUDAL_CREDENTIALS") }}
- { name: CAUDAL_CREDENTIALS, value: required }
{{- end }}
- { name: CAUDAL_COMMAND_ADDRESS, value: {{ printf "dns:///%s-{context}-command:%v" (include "caudal.name" .root) .root.Values.ports.grpc | quote }} }
- { name: CAUDAL_QUERY_ADDRESS, value: {{ printf "dns:///%s-{context}-query:%v" (include "caudal.name" .root) .root.Values.ports.grpc | quote }} }
{{- $everywhere := include "caudal.settings" (dict "root" .root "settings" .root.Values.settings) | fromYaml }}
{{- range $setting, $value := ternary (.workload | default dict).settings $everywhere (hasKey . "workload") }}
{{- /* Helm reads whole numbers as floating-point ones, and writes large ones as 1e+06. */}}
{{- if kindIs "float64" $value }}{{ if eq $value (floor $value) }}{{ $value = int64 $value }}{{ end }}{{ end }}
- { name: {{ $setting }}, value: {{ $value | toString | quote }} }
{{- end }}
{{- end }}

{{/* The placement of every pod of the release. */}}
{{- define "caudal.placement" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
# Kubernetes would add variables like CAUDAL_PORT for Services, and Caudal would read them as settings.
enableServiceLinks: false
{{- with .root.Values }}
{{- with .image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
securityContext: {{ include "caudal.podSecurity" .root | nindent 2 }}
{{- end }}

{{/* A pod that runs one command of caudal and ends: of a Job or CronJob. `account`, `args`, `root`. */}}
{{- define "caudal.jobPod" -}}
metadata:
  labels:
    {{- include "caudal.labels" .root | nindent 4 }}
    app.kubernetes.io/component: job
spec:
  restartPolicy: Never
  {{- include "caudal.placement" . | nindent 2 }}
  containers:
    - name: caudal
      image: {{ include "caudal.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: {{ toJson .args }}
      env: {{ include "caudal.env" (dict "root" .root) | nindent 8 }}
      resources: {{ toYaml .root.Values.resources | nindent 8 }}
      securityContext: {{ include "caudal.containerSecurity" .root | nindent 8 }}
      volumeMounts: {{ include "caudal.mounts" .root | nindent 8 }}
  volumes: {{ include "caudal.volumes" (dict "root" .root) | nindent 4 }}
{{- end }}
