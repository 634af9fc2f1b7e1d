{{- define "orchestra-operator.labels" -}}
{{ include "orchestra-operator.selector" . }}
{{ include "orchestra-operator.releaseLabels" . }}
{{- end }}

{{- define "orchestra-operator.consoleLabels" -}}
{{ include "orchestra-operator.consoleSelector" . }}
{{ include "orchestra-operator.releaseLabels" . }}
{{- end }}

{{- define "orchestra-operator.releaseLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "orchestra-operator.selector" -}}
app.kubernetes.io/name: orchestra-operator
{{- end }}

{{- define "orchestra-operator.consoleSelector" -}}
app.kubernetes.io/name: orchestra-console
{{- end }}

{{- define "orchestra-operator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "orchestra-operator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "orchestra-operator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
