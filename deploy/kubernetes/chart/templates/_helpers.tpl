{{/* Fail with one sentence unless `.value` is given. */}}
{{- define "retail.required" -}}
{{- if not .value }}{{ fail (printf "Set %s: %s." .name .meaning) }}{{ end -}}
{{- end }}

{{- define "retail.labels" -}}
app.kubernetes.io/part-of: retail
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "retail.image" -}}
{{- include "retail.required" (dict "value" .Values.image.tag "name" "image.tag" "meaning" "the tag of the image that the cluster runs") -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}

{{/* Security of a pod and of a container, as Pod Security `restricted` wants it. */}}
{{- define "retail.podSecurity" -}}
runAsNonRoot: true
runAsUser: 50000
runAsGroup: 50000
fsGroup: 50000
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}
{{- define "retail.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
{{- end }}

{{/* A pod that runs one command of the project: `.command`, `.resources`, and the chart's context as `.root`. */}}
{{- define "retail.job" -}}
metadata:
  labels:
    {{- include "retail.labels" .root | nindent 4 }}
    # Airflow's labels, so that the same network policies hold.
    tier: airflow
    component: {{ .component }}
    release: {{ .root.Values.airflowRelease }}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext:
    {{- include "retail.podSecurity" .root | nindent 4 }}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "retail.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      securityContext:
        {{- include "retail.containerSecurity" .root | nindent 8 }}
      command: [tini, --, sh, -euc]
      args:
        - |
          {{- .command | nindent 10 }}
      envFrom:
        - configMapRef: {name: retail-settings}
        - secretRef: {name: retail-credentials}
      env:
        {{- range $variable, $key := dict "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" "connection" "AIRFLOW__CORE__FERNET_KEY" "fernet-key" "AIRFLOW__API__SECRET_KEY" "api-secret-key" "AIRFLOW__API_AUTH__JWT_SECRET" "jwt-secret" }}
        - name: {{ $variable }}
          valueFrom:
            secretKeyRef: {name: retail-airflow, key: {{ $key }}}
        {{- end }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /data}
        - {name: backups, mountPath: /backups}
        - {name: users, mountPath: /run/secrets, readOnly: true}
  volumes:
    - name: data
      persistentVolumeClaim: {claimName: retail-data}
    - name: backups
      persistentVolumeClaim: {claimName: retail-backups}
    - name: users
      secret:
        secretName: retail-airflow
        items:
          - {key: airflow-users, path: airflow_users}
{{- end }}
