{{- define "stead.labels" -}}
app.kubernetes.io/name: stead
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}
{{- define "stead.selector" -}}
app.kubernetes.io/name: stead
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "stead.secret" -}}
{{- default (printf "%s-stead" .Release.Name) .Values.existingSecret -}}
{{- end }}
