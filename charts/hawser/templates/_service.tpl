{{/*
Deployment and PodDisruptionBudget of one service:
(dict "root" $ "component" "csg-agent" "values" .Values.csgAgent "ports" (list (dict "name" "rest" "port" 8090)) "env" "..." "volumes" list "mounts" list)
*/}}
{{- define "hawser.service" -}}
{{- $root := .root -}}
{{- $values := .values -}}
{{- $labelled := dict "root" $root "component" .component -}}
{{- $settings := mergeOverwrite (deepCopy $root.Values.settings) (deepCopy $values.settings) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "hawser.fullname" $root }}-{{ .component }}
  labels: {{- include "hawser.labels" $labelled | nindent 4 }}
spec:
  replicas: {{ $values.replicas }}
  minReadySeconds: 5
  # a new pod is ready before an old one drains, so that no shard and no listener is ever missing
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector:
    matchLabels: {{- include "hawser.selectorLabels" $labelled | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "hawser.labels" $labelled | nindent 8 }}
        {{- with $values.podLabels }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with $values.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "hawser.serviceAccountName" $root }}
      automountServiceAccountToken: false
      # the variables of service links would look like settings
      enableServiceLinks: false
      # the clock runs from before preStop: waiting, draining, and some room
      terminationGracePeriodSeconds: {{ add $values.preStopSeconds $values.drainSeconds 15 }}
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      securityContext: {{- include "hawser.podSecurity" $root | nindent 8 }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: {{ $values.topologySpread }}
          labelSelector:
            matchLabels: {{- include "hawser.selectorLabels" $labelled | nindent 14 }}
        {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "hawser.image" $root }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [node, services/{{ .component }}/src/main.ts]
          env:
            - name: POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            - name: NODE_OPTIONS
              value: --max-old-space-size={{ include "hawser.heapMiB" $values.resources.limits.memory }}
            - name: HAWSER_HEALTH_HOST
              value: 0.0.0.0
            - name: HAWSER_HEALTH_PORT
              value: "8080"
            {{- with .env }}{{ . | trim | nindent 12 }}{{ end }}
            {{- include "hawser.settingsEnv" $settings | trim | nindent 12 }}
            {{- with $values.extraEnv }}{{ toYaml . | nindent 12 }}{{ end }}
          ports:
            {{- range .ports }}
            - {name: {{ .name }}, containerPort: {{ .port }}, protocol: TCP}
            {{- end }}
            - {name: health, containerPort: 8080, protocol: TCP}
          # live = the event loop turns; it never depends on NATS or RocketMQ. Ready = can serve now.
          startupProbe: {httpGet: {path: /live, port: health}, periodSeconds: 1, failureThreshold: 60}
          livenessProbe: {httpGet: {path: /live, port: health}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3}
          readinessProbe: {httpGet: {path: /ready, port: health}, periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 2}
          {{- if $values.preStopSeconds }}
          lifecycle:
            preStop:
              {{- if semverCompare ">=1.30.0-0" $root.Capabilities.KubeVersion.Version }}
              sleep: {seconds: {{ $values.preStopSeconds }}}
              {{- else }}
              exec: {command: [sleep, {{ $values.preStopSeconds | quote }}]}
              {{- end }}
          {{- end }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          securityContext: {{- include "hawser.containerSecurity" $root | nindent 12 }}
          {{- with concat .mounts $values.extraVolumeMounts }}
          volumeMounts: {{- toYaml . | nindent 12 }}
          {{- end }}
      {{- with concat .volumes $values.extraVolumes }}
      volumes: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- if $values.pdb.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "hawser.fullname" $root }}-{{ .component }}
  labels: {{- include "hawser.labels" $labelled | nindent 4 }}
spec:
  maxUnavailable: {{ $values.pdb.maxUnavailable }}
  selector:
    matchLabels: {{- include "hawser.selectorLabels" $labelled | nindent 6 }}
{{- end }}
{{- end -}}

{{/* RocketMQ's keys, for the service that speaks it. */}}
{{- define "hawser.rocketmqEnv" -}}
{{- with .Values.secrets.rocketmq }}
{{- if .existingSecret }}
{{ include "hawser.secretEnv" (dict "env" "HAWSER_ROCKETMQ_ACCESS_KEY" "secret" .existingSecret "key" .accessKeyKey) }}
{{ include "hawser.secretEnv" (dict "env" "HAWSER_ROCKETMQ_SECRET_KEY" "secret" .existingSecret "key" .secretKeyKey) }}
{{- end }}
{{- end }}
{{- end -}}
