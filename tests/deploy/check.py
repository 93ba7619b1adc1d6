"""Holds the files in deploy/ to what they promise: usage check.py DEPLOY_DIRECTORY.

The chart is linted and rendered by Helm's own library and each manifest validated against the schemas of Kubernetes;
the compose file is read by a parser of the Compose specification; then what both have to carry is looked for.
"""

import json
import pathlib
import sys

import compose_spec
import kubernetes_validate
import yaml
from helm_python.chart import Chart, lint

KUBERNETES = "1.33.0"
VALUES = {"joinSecret": "sixteen characters or more"}
CASES = {
    "defaults": VALUES,
    "a secret of one's own, no policy": {"existingSecret": "mine", "networkPolicy": False},
    "zone, class, environment": {
        **VALUES,
        "zone": "a",
        "storage": {"className": "fast"},
        "environment": {"STEAD_TIMING_DRAIN_MS": "20000"},
    },
}


def need(holds, what):
    if not holds:
        sys.exit(f"deploy: {what}")


def manifests(chart, values):
    rendered = chart.render(values=values, name="prod", namespace="apps")
    texts = [text for path, text in rendered.items() if path.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def check_chart(path):
    report = lint(str(path), values=VALUES, strict=True)
    wrong = report["errors"] + [told for told in report["messages"] if told["severity"] >= 2]
    need(not wrong, f"helm lint: {wrong}")
    chart = Chart.load(str(path))
    for case, values in CASES.items():
        documents = manifests(chart, values)
        for document in documents:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        kinds = sorted(document["kind"] for document in documents)
        print(f"deploy: the chart with {case}: {', '.join(kinds)}")
    try:
        chart.render(values={})
        sys.exit("deploy: the chart renders without a join secret")
    except Exception as refused:
        need("joinSecret" in str(refused), f"the refusal without a secret says nothing of it: {refused}")
    notes = chart.render(values=VALUES)["stead/templates/NOTES.txt"]
    need("no authentication" in notes, "NOTES.txt has no word of warning")
    documents = {document["kind"]: document for document in manifests(chart, VALUES)}
    need(documents["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1, "the disruption budget is not 1")
    check_pod(documents["StatefulSet"]["spec"])


def check_pod(stateful):
    need(stateful["replicas"] == 3, "the chart makes no three nodes")
    pod = stateful["template"]["spec"]
    need(pod["terminationGracePeriodSeconds"] >= 60, "the grace period is below 60 s")
    need(pod["securityContext"]["runAsNonRoot"], "the pod may run as root")
    rule = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
    need(rule["topologyKey"] == "kubernetes.io/hostname", "two pods may share a host")
    need(rule["labelSelector"]["matchLabels"] == stateful["selector"]["matchLabels"], "the anti-affinity is of others")
    node = pod["containers"][0]
    need(node["securityContext"]["readOnlyRootFilesystem"], "the root file system is writable")
    need(node["securityContext"]["capabilities"]["drop"] == ["ALL"], "the container keeps capabilities")
    need(node["livenessProbe"]["httpGet"]["path"] == "/livez", "liveness is not /livez")
    need(node["readinessProbe"]["httpGet"]["path"] == "/ready", "readiness is not /ready")
    need("preStop" not in node.get("lifecycle", {}), "a preStop drains, and SIGTERM does already")
    environment = {variable["name"]: variable.get("value") for variable in node["env"]}
    need(environment["STEAD_INSECURE"] == "true", "a listener beyond loopback has to be allowed")
    need("prod-stead.apps.svc" in environment["STEAD_ALLOWED_HOSTS"].split(","), "the service's name is a foreign host")


def check_compose(path):
    read = yaml.safe_load(path.read_text())
    services = read["services"]
    # This parser knows no merge keys of YAML; after them it reads every field as the specification has it.
    compose = compose_spec.PyCompose.from_json(json.dumps(read))
    need(sorted(compose.service_names()) == sorted(services), "the parsers differ on the services")
    need(len(services) == 3, "there are no three nodes")
    for name, service in services.items():
        need(service["read_only"] and service["cap_drop"] == ["ALL"], f"{name} may do too much")
        need(int(service["stop_grace_period"].rstrip("s")) >= 60, f"{name} has no minute to stop")
        need(all(port.startswith("127.0.0.1:") for port in service["ports"]), f"{name} is open to other machines")
    joining = [service["environment"].get("STEAD_JOIN") for service in services.values()]
    need(joining.count(None) == 1, "there is not one node that makes the cluster")
    print(f"deploy: compose has {', '.join(services)}")


def check_container(path):
    text = path.read_text()
    for what in ["USER 10001:10001", "HEALTHCHECK", "doctor\", \"--alive", "STEAD_INSECURE=true", "no authentication"]:
        need(what in text, f"the Containerfile has no `{what}`")


deploy = pathlib.Path(sys.argv[1])
check_chart(deploy / "helm" / "stead")
check_compose(deploy / "compose.yaml")
check_container(deploy / "Containerfile")
