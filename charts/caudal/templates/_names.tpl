{{/* Names and labels. */}}

{{- define "caudal.name" -}}
{{- if contains "caudal" .Release.Name }}{{ .Release.Name | trunc 30 | trimSuffix "-" }}{{ else }}{{ printf "%s-caudal" .Release.Name | trunc 30 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "caudal.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end -}}
{{- end }}

{{/* The name in the certificates of all workloads. */}}
{{- define "caudal.tlsName" -}}
{{ .Values.tls.serverName | default (printf "%s.%s.svc" (include "caudal.name" .) .Release.Namespace) }}
{{- end }}

{{/* How far TLS is turned on. */}}
{{- define "caudal.tlsStage" -}}
{{ .Values.tls.stage | default "require" }}
{{- end }}

{{/* Whether gateways and workloads call by TLS: empty if not. */}}
{{- define "caudal.callsByTls" -}}
{{- if and .Values.tls.secret (ne (include "caudal.tlsStage" .) "accept") }}true{{ end -}}
{{- end }}

{{/* Private addresses and the cluster's own pods, as NetworkPolicyPeers. */}}
{{- define "caudal.privatePeers" -}}
- namespaceSelector: {}
{{- range list "10.0.0.0/8" "172.16.0.0/12" "192.168.0.0/16" "100.64.0.0/10" "fc00::/7" }}
- ipBlock: { cidr: {{ . | quote }} }
{{- end }}
{{- end }}

{{/* The labels that select a release's pods. */}}
{{- define "caudal.selector" -}}
app.kubernetes.io/name: caudal
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "caudal.labels" -}}
{{ include "caudal.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: caudal
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}
