{{- define "ffapi.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "ffapi.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "ffapi.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "ffapi.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that select the pods of a component: (dict "root" $ "component" "gateway"). */}}
{{- define "ffapi.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ffapi.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "ffapi.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{ include "ffapi.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ffapi
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{/* An image: (dict "root" $ "image" .Values.image.control). */}}
{{- define "ffapi.image" -}}
{{- $repository := .image.repository }}
{{- with .root.Values.image.registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end }}
{{- if .image.digest }}
{{- printf "%s@%s" $repository .image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) }}
{{- end }}
{{- end }}

{{/* The service account of a role: (dict "root" $ "role" "gateway"). */}}
{{- define "ffapi.serviceAccountName" -}}
{{- $account := (index .root.Values .role).serviceAccount }}
{{- if $account.create }}
{{- default (printf "%s-%s" (include "ffapi.fullname" .root) .role) $account.name }}
{{- else }}
{{- default "default" $account.name }}
{{- end }}
{{- end }}

{{/* The keys of the secret that a role needs, as `<section>.<key>` and the name in the secret. */}}
{{- define "ffapi.secrets" -}}
nats.url: nats-url-{{ . }}
postgres.url: postgres-url
{{- if ne . "operator" }}
secrets.master_key: master-key
{{- end }}
{{- if eq . "gateway" }}
secrets.pepper: pepper
secrets.verifying_key: verifying-key
{{- end }}
{{- if eq . "projector" }}
secrets.signing_key: signing-key
{{- end }}
{{- end }}

{{/* Environment variables that name the files of those secrets. */}}
{{- define "ffapi.secretEnv" -}}
{{- range $setting, $key := include "ffapi.secrets" . | fromYaml }}
- name: FFAPI_{{ $setting | replace "." "__" | upper }}_FILE
  value: /etc/ffapi/secrets/{{ $key }}
{{- end }}
{{- end }}

{{/* The volume with those files: (dict "root" $ "role" "gateway"). */}}
{{- define "ffapi.secretVolume" -}}
- name: secrets
  secret:
    secretName: {{ required "existingSecret is required: a secret with the keys that values.yaml lists" .root.Values.existingSecret }}
    defaultMode: 0440
    items:
      {{- range $setting, $key := include "ffapi.secrets" .role | fromYaml }}
      - key: {{ $key }}
        path: {{ $key }}
      {{- end }}
{{- end }}

{{- define "ffapi.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "ffapi.topologySpread" -}}
{{- if .constraints }}
{{- toYaml .constraints }}
{{- else }}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "ffapi.selectorLabels" $ | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}

{{/* The pods of a role; with `once`, of a worker that runs one task and ends. Parameters as of "ffapi.deployment". */}}
{{- define "ffapi.pod" -}}
{{- $root := .root }}
{{- $values := .values }}
{{- $http := eq .role "gateway" }}
{{- $scratch := ne .role "projector" }}
{{- $grace := $values.terminationGracePeriodSeconds }}
{{- if eq .role "worker" }}{{ $grace = add $values.drainSeconds 30 }}{{ end }}
metadata:
  labels:
    {{- include "ffapi.labels" . | nindent 4 }}
    {{- with merge (dict) $values.podLabels $root.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ $root.Values.config | sha256sum }}
    {{- with merge (dict) $values.podAnnotations $root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  serviceAccountName: {{ include "ffapi.serviceAccountName" . }}
  # A workload identity mounts a token of its own.
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- if .once }}
  restartPolicy: Never
  {{- end }}
  {{- with $values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ $grace }}
  securityContext:
    {{- toYaml $root.Values.podSecurityContext | nindent 4 }}
  containers:
    - name: {{ .role }}
      image: {{ include "ffapi.image" (dict "root" $root "image" .image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [--config, /etc/ffapi/ffapi.toml, {{ .role }}{{ if .once }}, --once{{ end }}]
      securityContext:
        {{- include "ffapi.containerSecurityContext" . | nindent 8 }}
      env:
        {{- include "ffapi.secretEnv" .role | nindent 8 }}
        - name: FFAPI_METRICS__LISTEN
          value: 0.0.0.0:9464
        {{- if $http }}
        - name: FFAPI_GATEWAY__LISTEN
          value: 0.0.0.0:8080
        {{- end }}
        {{- if $scratch }}
        - name: FFAPI_STORAGE__ROOT
          value: /data/storage
        {{- end }}
        {{- if eq .role "worker" }}
        - name: FFAPI_WORKER__DRAIN
          value: {{ $values.drainSeconds | quote }}
        - name: FFAPI_WORKER__SLOTS
          {{- if $values.slots }}
          value: {{ $values.slots | quote }}
          {{- else }}
          valueFrom:
            resourceFieldRef:
              resource: limits.cpu
          {{- end }}
        {{- end }}
        {{- with concat $root.Values.extraEnv $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        {{- if $http }}
        - name: http
          containerPort: 8080
        {{- end }}
        - name: metrics
          containerPort: 9464
      {{- if $http }}
      startupProbe:
        httpGet: { path: /health, port: http }
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: { path: /health, port: http }
        periodSeconds: 10
        timeoutSeconds: 5
      readinessProbe:
        httpGet: { path: /health/ready, port: http }
        periodSeconds: 5
        timeoutSeconds: 5
      {{- else }}
      # Roles without HTTP answer on the port of their metrics as long as they run.
      startupProbe:
        httpGet: { path: /metrics, port: metrics }
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: { path: /metrics, port: metrics }
        periodSeconds: 20
        timeoutSeconds: 10
      readinessProbe:
        httpGet: { path: /metrics, port: metrics }
        periodSeconds: 10
        timeoutSeconds: 10
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/ffapi/ffapi.toml
          subPath: ffapi.toml
          readOnly: true
        - name: secrets
          mountPath: /etc/ffapi/secrets
          readOnly: true
        - name: tmp
          mountPath: /tmp
        {{- if $scratch }}
        - name: data
          mountPath: /data
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "ffapi.fullname" $root }}
    {{- include "ffapi.secretVolume" . | nindent 4 }}
    - name: tmp
      emptyDir:
        sizeLimit: 1Gi
    {{- if $scratch }}
    - name: data
      {{- if $root.Values.storage.existingClaim }}
      persistentVolumeClaim:
        claimName: {{ $root.Values.storage.existingClaim }}
      {{- else }}
      emptyDir:
        sizeLimit: {{ $values.scratchSize }}
      {{- end }}
    {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- include "ffapi.topologySpread" (dict "root" $root "component" .component "constraints" $values.topologySpreadConstraints) | nindent 4 }}
{{- end }}

{{/*
The deployment of a role. (dict "root" $ "role" "gateway" "component" "gateway" "values" …, "image" …)
A component is a role, or a pool of workers.
*/}}
{{- define "ffapi.deployment" -}}
{{- $root := .root }}
{{- $values := .values }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "ffapi.fullname" $root }}-{{ .component }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "ffapi.labels" . | nindent 4 }}
spec:
  {{- if not .scaled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "ffapi.selectorLabels" . | nindent 6 }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: {{ ternary "25%" 0 (eq .role "worker") }}
      maxSurge: {{ ternary "25%" 1 (eq .role "worker") }}
  template:
    {{- include "ffapi.pod" . | nindent 4 }}
{{- end }}
