{{/*
Rules between values that a schema can't express. A message names the value and what to do. All messages are shown at once.
*/}}
{{- define "caudal.check" -}}
{{- $v := .Values }}
{{- $problems := list }}
{{- $workloads := include "caudal.workloads" . | fromYaml }}
{{- $contexts := (include "caudal.contexts" . | fromYaml).contexts }}
{{- $has := dict }}
{{- range $name, $secret := $v.secrets }}
  {{- if and $secret.existingSecret (hasKey $v.settings $name) }}
    {{- $problems = append $problems (printf "settings.%s and secrets.%s.existingSecret are both set: leave one of them out." $name $name) }}
  {{- end }}
  {{- $_ := set $has $name (or (ne $secret.existingSecret "") (hasKey $v.settings $name)) }}
{{- end }}

{{- /* Credentials. */}}
{{- if not $has.DATABASE_URL }}
  {{- $problems = append $problems "secrets.DATABASE_URL.existingSecret is not set: name a Secret whose key DATABASE_URL holds PostgreSQL's URL. kubectl create secret generic NAME --from-literal=DATABASE_URL=postgres://... makes one." }}
{{- end }}
{{- if and (not $has.CAUDAL_PERSONAL_DATA_KEYS) (ne (toString (get $v.settings "CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA")) "true") }}
  {{- $problems = append $problems "personal data can't be sealed: set secrets.CAUDAL_PERSONAL_DATA_KEYS.existingSecret to a Secret with \"NAME:KEY\", where \"openssl rand -base64 32\" prints a KEY, or settings.CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA=true to write it as it is." }}
{{- end }}
{{- if hasKey $v.settings "CAUDAL_OWNER_DATABASE_URL" }}
  {{- $problems = append $problems "settings.CAUDAL_OWNER_DATABASE_URL would be in every pod, so that every pod could change what was recorded: use secrets.CAUDAL_OWNER_DATABASE_URL." }}
{{- end }}
{{- if ne (get $v.settings "CAUDAL_AUTH") "off" }}
  {{- if not (or $has.CAUDAL_JWKS (hasKey $v.settings "CAUDAL_OIDC_ISSUER")) }}
    {{- $problems = append $problems "no token can be checked: set settings.CAUDAL_OIDC_ISSUER to your issuer, or secrets.CAUDAL_JWKS.existingSecret, or settings.CAUDAL_JWKS to the URL of its keys (\"caudal keys\" makes a pair of keys), or settings.CAUDAL_AUTH=off in development." }}
  {{- end }}
  {{- if and (gt (len $workloads) 1) (not $has.CAUDAL_SERVICE_KEY) (not $v.serviceKeys.secretPrefix) }}
    {{- $problems = append $problems "workloads call each other and sign these calls with a key: set serviceKeys.secretPrefix, for a key each, or secrets.CAUDAL_SERVICE_KEY.existingSecret, for one that all have (\"caudal keys\" makes keys)." }}
  {{- end }}
  {{- if and $v.serviceKeys.secretPrefix (not $has.CAUDAL_SERVICE_JWKS) }}
    {{- $problems = append $problems (printf "serviceKeys.secretPrefix is set, but no pod could check the calls: set secrets.CAUDAL_SERVICE_JWKS.existingSecret=%s-public. This makes the Secrets: caudal keys%s --kubernetes %s | kubectl apply -n %s -f -" $v.serviceKeys.secretPrefix (include "caudal.keysOfWorkloads" .) $v.serviceKeys.secretPrefix .Release.Namespace) }}
  {{- end }}
{{- else if ne (get $v.settings "CAUDAL_ALLOW_NO_AUTH" | toString) "true" }}
  {{- $problems = append $problems "settings.CAUDAL_AUTH is off, so every caller would be an administrator: leave it out, or set settings.CAUDAL_ALLOW_NO_AUTH=true if that is meant." }}
{{- end }}

{{- /* TLS. */}}
{{- if not $v.tls.secret }}
  {{- if $v.tls.clientCertificates }}
    {{- $problems = append $problems "tls.clientCertificates is true, but the workloads have no certificates: set tls.secret." }}
  {{- end }}
  {{- range $name, $w := $workloads }}
    {{- if $w.tlsSecret }}
      {{- $problems = append $problems (printf "workloads.%s.tlsSecret is set, but tls.secret is not: set it, for all other workloads and the Jobs." $name) }}
    {{- end }}
  {{- end }}
{{- else if and $v.tls.clientCertificates (ne (include "caudal.tlsStage" .) "require") }}
  {{- $problems = append $problems (printf "tls.clientCertificates is true while tls.stage is %s: plain calls have no certificate. Set tls.stage=require first." $v.tls.stage) }}
{{- end }}
{{- if and $v.tls.secret (not $v.tls.stage) .Release.IsUpgrade }}
  {{- range $name, $w := $workloads }}
    {{- $running := lookup "apps/v1" "Deployment" $.Release.Namespace (printf "%s-%s" (include "caudal.name" $) $name) }}
    {{- if and $running (not (contains "CAUDAL_TLS_CERTIFICATE" (toYaml $running))) }}
      {{- $problems = append $problems (printf "tls.secret is set, but the running workload %s takes no TLS: old and new pods could not call each other. Set tls.stage to accept first, then to call, then to require (docs/tls.md); or to require at once, with an interruption." $name) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if and $v.tls.secret (lookup "v1" "Namespace" "" .Release.Namespace) }}
  {{- $names := list $v.tls.secret }}
  {{- range $workloads }}{{ with .tlsSecret }}{{ $names = append $names . }}{{ end }}{{ end }}
  {{- range $secret := uniq $names }}
    {{- $found := lookup "v1" "Secret" $.Release.Namespace $secret }}
    {{- if not $found }}
      {{- $problems = append $problems (printf "tls.secret: the namespace %s has no Secret %s. Create it first." $.Release.Namespace $secret) }}
    {{- else }}
      {{- range $key := list "tls.crt" "tls.key" "ca.crt" }}
        {{- if not (hasKey ($found.data | default dict) $key) }}
          {{- $problems = append $problems (printf "tls.secret: the Secret %s has no key %s." $secret $key) }}
        {{- end }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}

{{- /* Secrets that are named but missing, if the cluster can be read (not with helm template). */}}
{{- if lookup "v1" "Namespace" "" .Release.Namespace }}
  {{- range $name, $secret := $v.secrets }}
    {{- if $secret.existingSecret }}
      {{- $found := lookup "v1" "Secret" $.Release.Namespace $secret.existingSecret }}
      {{- if not $found }}
        {{- $problems = append $problems (printf "secrets.%s.existingSecret: the namespace %s has no Secret %s. Create it first." $name $.Release.Namespace $secret.existingSecret) }}
      {{- else if not (hasKey ($found.data | default dict) $secret.key) }}
        {{- $problems = append $problems (printf "secrets.%s.key: the Secret %s has no key %s." $name $secret.existingSecret $secret.key) }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}

{{- if and $v.serviceKeys.secretPrefix (lookup "v1" "Namespace" "" .Release.Namespace) }}
  {{- range $name, $_ := $workloads }}
    {{- $secret := printf "%s-%s" $v.serviceKeys.secretPrefix $name }}
    {{- if not (lookup "v1" "Secret" $.Release.Namespace $secret) }}
      {{- $problems = append $problems (printf "serviceKeys.secretPrefix: the namespace %s has no Secret %s. This makes all of them: caudal keys%s --kubernetes %s | kubectl apply -n %s -f -" $.Release.Namespace $secret (include "caudal.keysOfWorkloads" $) $v.serviceKeys.secretPrefix $.Release.Namespace) }}
    {{- end }}
  {{- end }}
{{- end }}

{{- /* Every role of every context runs in some workload, and what is public, in exactly one. */}}
{{- if not $workloads }}{{ $problems = append $problems "there is no workload: set preset, or workloads." }}{{ end }}
{{- range $context := $contexts }}
  {{- $public := dict "command" list "query" list }}
  {{- $run := dict }}
  {{- $fed := list }}
  {{- range $name, $w := $workloads }}
    {{- if has $context.name $w.contexts }}
      {{- range $role := $w.roles }}{{ $_ := set $run $role true }}{{ end }}
      {{- range $role := list "command" "query" }}
        {{- if and $w.public (has $role $w.roles) }}{{ $_ := set $public $role (append (get $public $role) $name) }}{{ end }}
      {{- end }}
      {{- if has "projector" $w.roles }}
        {{- if $w.projections }}{{ $fed = concat $fed $w.projections }}{{ else }}{{ $fed = concat $fed (keys $context.projections) }}{{ end }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- $needed := list "command" "jobs" }}
  {{- if $has.RABBITMQ_URL }}{{ $needed = append $needed "relay" }}{{ end }}
  {{- if $context.endpoints.query.grpc }}{{ $needed = append $needed "query" }}{{ end }}
  {{- if $context.sagas }}{{ $needed = append $needed "saga" }}{{ end }}
  {{- if $context.workers }}{{ $needed = append $needed "worker" }}{{ end }}
  {{- range $role := $needed }}
    {{- if not (hasKey $run $role) }}
      {{- $problems = append $problems (printf "no workload has the role %s for the context %s: add it to a workload." $role $context.name) }}
    {{- end }}
  {{- end }}
  {{- range $projection, $_ := $context.projections }}
    {{- if not (has $projection $fed) }}
      {{- $problems = append $problems (printf "no workload feeds the projection %s: add it to the projections of a workload with the role projector and the context %s." $projection $context.name) }}
    {{- end }}
  {{- end }}
  {{- range $role, $names := $public }}
    {{- if gt (len $names) 1 }}
      {{- $problems = append $problems (printf "the workloads %s all serve %s of %s to the public: set public: false on all but one." (join " and " $names) $role $context.name) }}
    {{- end }}
  {{- end }}
{{- end }}

{{- /* Names that are given twice: the current one and its deprecated one. */}}
{{- range $now, $before := include "caudal.formerWorkloads" . | fromYaml }}
  {{- if and (hasKey $v.workloads $before) (hasKey $v.workloads $now) }}
    {{- $problems = append $problems (printf "workloads.%s is the deprecated name of workloads.%s, and both are given: leave %s out." $before $now $before) }}
  {{- end }}
{{- end }}
{{- $formerSettings := (include "caudal.contexts" . | fromYaml).formerNames.settings }}
{{- range $path, $settings := include "caudal.givenSettings" . | fromYaml }}
  {{- range $before, $now := $formerSettings }}
    {{- if and (hasKey $settings $before) (hasKey $settings $now) (ne (get $settings $before | toString) (get $settings $now | toString)) }}
      {{- $problems = append $problems (printf "%s.%s is the deprecated name of %s, and both are given with different values: leave %s out." $path $before $now $before) }}
    {{- end }}
  {{- end }}
{{- end }}

{{- /* Rules within a workload. */}}
{{- range $name, $w := $workloads }}
  {{- if and $w.projections (not (has "projector" $w.roles)) }}
    {{- $problems = append $problems (printf "workloads.%s.projections: projections need the role projector: add it, or remove projections." $name) }}
  {{- end }}
  {{- if and (has "saga" $w.roles) (has "payments" $w.contexts) (not (or $has.PAYMENTS_GATEWAY_URL (hasKey $w.settings "PAYMENTS_GATEWAY_URL") (hasKey $w.settings "PAYMENTS_GATEWAY"))) }}
    {{- $problems = append $problems (printf "workloads.%s takes payments, but has no card gateway: set settings.PAYMENTS_GATEWAY_URL or secrets.PAYMENTS_GATEWAY_URL.existingSecret, or settings.PAYMENTS_GATEWAY=sandbox, which accepts every card and moves no money." $name) }}
  {{- end }}
  {{- $sleeps := or (has "projector" $w.roles) (eq (int $w.maxReplicas) 0) }}
  {{- if and (eq (int $w.replicas) 0) (or (has "saga" $w.roles) (not $sleeps) (and $w.maxReplicas (ne $w.scaleOn "queues"))) }}
    {{- $problems = append $problems (printf "workloads.%s.replicas is 0: only a projector that is scaled on queues may have 0 pods. Without a pod, timers of sagas do not fire." $name) }}
  {{- end }}
  {{- if eq (int $w.replicas) 0 }}
    {{- range include "caudal.queueless" (dict "root" $ "workload" $w) | fromYamlArray }}
      {{- $problems = append $problems (printf "workloads.%s.replicas is 0, but the projection %s has no queue that could wake it: set replicas to 1 or more, or feed it in another workload." $name .) }}
    {{- end }}
  {{- end }}
  {{- if $w.maxReplicas }}
    {{- if lt (int $w.maxReplicas) (int $w.replicas) }}
      {{- $problems = append $problems (printf "workloads.%s.maxReplicas (%d) is less than replicas (%d)." $name (int $w.maxReplicas) (int $w.replicas)) }}
    {{- end }}
    {{- if eq $w.scaleOn "queues" }}
      {{- if not (and $v.secrets.RABBITMQ_MANAGEMENT_URL.existingSecret $has.RABBITMQ_URL) }}
        {{- $problems = append $problems (printf "workloads.%s.scaleOn is queues: set secrets.RABBITMQ_URL.existingSecret and secrets.RABBITMQ_MANAGEMENT_URL.existingSecret, or scaleOn: cpu." $name) }}
      {{- end }}
      {{- range without $w.roles "projector" "saga" "worker" }}
        {{- $problems = append $problems (printf "workloads.%s.scaleOn is queues, which the role %s does not read: scale it on cpu, or in a workload of its own." $name .) }}
      {{- end }}
      {{- if not (include "caudal.queues" (dict "root" $ "workload" $w) | fromYamlArray) }}
        {{- $problems = append $problems (printf "workloads.%s.scaleOn is queues, but its contexts have no queues for its roles: set scaleOn: cpu, or change roles or contexts." $name) }}
      {{- end }}
      {{- $parts := include "caudal.parts" (dict "root" $ "workload" $w) | int }}
      {{- if gt (int $w.maxReplicas) $parts }}
        {{- $problems = append $problems (printf "workloads.%s.maxReplicas is %d, but none of its handlers has more than %d parts, so the other pods would only stand by: set maxReplicas to %d or less, or raise parts in the definition of a projection or saga." $name (int $w.maxReplicas) $parts $parts) }}
      {{- end }}
      {{- if lt (int $w.target) (mul 2 (int $w.prefetch) | int) }}
        {{- $problems = append $problems (printf "workloads.%s.target is %d, less than two prefetches (CAUDAL_PREFETCH is %d): the messages that the consumers hold would already scale it up. Raise target, or lower CAUDAL_PREFETCH." $name (int $w.target) (int $w.prefetch)) }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if and $v.kong.enabled (ne $v.kong.auth "none") (not $v.kong.consumers) }}
  {{- $problems = append $problems (printf "kong.auth is %s, but there are no kong.consumers, so every call would be refused: add consumers, or set kong.auth: none." $v.kong.auth) }}
{{- end }}
{{- if $v.kong.enabled }}
  {{- $untrusting := list }}
  {{- range $name, $w := $workloads }}
    {{- if and $w.public (not (get $w.settings "CAUDAL_TRUSTED_PROXIES")) }}{{ $untrusting = append $untrusting $name }}{{ end }}
  {{- end }}
  {{- if $untrusting }}
    {{- $problems = append $problems (printf "kong.enabled is true, and Kong would be the address of all callers of %s: the wrong tokens of one would keep the others out. Set settings.CAUDAL_TRUSTED_PROXIES to the network of Kong's pods, such as 10.244.0.0/16 (docs/limits.md)." (join ", " $untrusting)) }}
  {{- end }}
{{- end }}
{{- if and (eq $v.kong.rateLimit.policy "redis") (not $v.kong.rateLimit.redisHost) }}
  {{- $problems = append $problems "kong.rateLimit.policy is redis: set kong.rateLimit.redisHost." }}
{{- end }}
{{- if and $v.kong.corsOrigins (hasKey $v.settings "CAUDAL_CORS_ORIGINS") }}
  {{- $problems = append $problems "kong.corsOrigins and settings.CAUDAL_CORS_ORIGINS are both set: leave kong.corsOrigins out, the setting is for Kong too." }}
{{- end }}
{{- /* Connections to PostgreSQL, with everything at its maximum. */}}
{{- $connections := include "caudal.connections" . | fromYaml }}
{{- if gt (int $connections.total) (int $v.database.maxConnections) }}
  {{- $lines := include "caudal.connectionLines" (dict "parts" $connections.parts "indent" "      ") }}
  {{- $problems = append $problems (printf "the release may open %d connections to PostgreSQL, and database.maxConnections is %d. Set that to what the server allows (its max_connections, less those that it reserves and others use). If it allows fewer, lower maxReplicas (or replicas), settings.CAUDAL_POOL_SIZE or the number of contexts of the largest of these:%s\n    A workload counts with two pods more than its maximum: while it is rolled out, one is new and one ends." (int $connections.total) (int $v.database.maxConnections) $lines) }}
{{- end }}
{{- if $problems }}
  {{- fail (printf "\n\nCaudal can't be installed like this:\n  - %s\n" (join "\n  - " $problems)) }}
{{- end }}
{{- end }}

{{/* What "caudal keys" needs to know of the workloads: a leading space and `--workload NAME=CONTEXTS@ROLES` for each. */}}
{{- define "caudal.keysOfWorkloads" -}}
{{- $all := include "caudal.contextNames" . | fromYamlArray }}
{{- range $name, $w := include "caudal.workloads" . | fromYaml }} --workload {{ $name }}={{ if eq (len $w.contexts) (len $all) }}all{{ else }}{{ join "," $w.contexts }}{{ end }}@{{ join "," $w.roles }}{{ end }}
{{- end }}
