{{/* Prefix of the names of all objects. */}}
{{- define "hawser.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the pods of a service: (dict "root" $ "component" "ingress"). */}}
{{- define "hawser.selectorLabels" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "hawser.labels" -}}
{{ include "hawser.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: hawser
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "hawser.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{- define "hawser.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create -}}
{{ include "hawser.fullname" . }}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* A setting as text: helm reads 1073741824 as 1.073741824e+09, the services do not. */}}
{{- define "hawser.settingText" -}}
{{- if kindIs "slice" . -}}
{{ join "," . }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{ int64 . }}
{{- else -}}
{{ toString . }}
{{- end -}}
{{- end -}}

{{/* Settings {mqtt: {tcpPort: 1}} as environment variables HAWSER_MQTT_TCP_PORT. */}}
{{- define "hawser.settingsEnv" -}}
{{- range $area, $settings := . }}
{{- range $key, $value := $settings }}
- name: HAWSER_{{ upper $area }}_{{ regexReplaceAll "([A-Z])" $key "_${1}" | upper }}
  value: {{ include "hawser.settingText" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Three quarters of a memory limit in MiB: what Node's heap may take. */}}
{{- define "hawser.heapMiB" -}}
{{- if hasSuffix "Gi" . -}}
{{ mulf (trimSuffix "Gi" . | float64) 768 | int64 }}
{{- else -}}
{{ mulf (trimSuffix "Mi" . | float64) 0.75 | int64 }}
{{- end -}}
{{- end -}}

{{/* The pod's and the container's restrictions: the "restricted" Pod Security Standard. */}}
{{- define "hawser.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "hawser.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* A value of a Secret: (dict "env" ... "secret" ... "key" ...). */}}
{{- define "hawser.secretEnv" -}}
- name: {{ .env }}
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}
{{- end -}}
