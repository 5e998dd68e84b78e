"""Pods of the chart: their privileges, what they may connect to, and how they get secrets."""

import re
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from kaption.workers.fetch import addresses
from kaption.workers.policy.audit import AuditPolicy
from kaption.workers.settings import HealthPolicy
from support.chart import VALUES, Manifest, container, named, pods, render, template, variables

RESTRICTED_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
    *("persistentVolumeClaim", "projected", "secret"),
}


def violations(pod: Manifest) -> Iterator[str]:
    """Find violations of the Pod Security Standard `restricted`, in the order of the standard."""
    shared = pod.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield field
    for volume in pod.get("volumes", []):
        if set(volume) - {"name"} - RESTRICTED_VOLUMES:
            yield f"volume {volume['name']}"
    for it in [*pod.get("initContainers", []), *pod["containers"]]:
        own = it.get("securityContext", {})
        if own.get("privileged"):
            yield "privileged"
        if any("hostPort" in port for port in it.get("ports", [])):
            yield "hostPort"
        if own.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation"
        if own.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
            yield "runAsNonRoot"
        if 0 in (own.get("runAsUser"), shared.get("runAsUser")):
            yield "runAsUser"
        seccomp = own.get("seccompProfile", shared.get("seccompProfile", {}))
        if seccomp.get("type") not in ("RuntimeDefault", "Localhost"):
            yield "seccompProfile"
        capabilities = own.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or capabilities.get("add", []):
            yield "capabilities"


@pytest.mark.parametrize("values", VALUES)
def test_pods_meet_the_restricted_pod_security_profile(values: str) -> None:
    found = {component: list(violations(pod)) for component, pod in pods(render(values)).items()}

    assert len(found) >= 6
    assert not any(found.values()), found


def test_the_check_of_the_profile_finds_violations() -> None:
    assert set(violations({"hostPID": True, "containers": [{"ports": [{"hostPort": 1}]}]})) == {
        *("hostPID", "hostPort", "allowPrivilegeEscalation"),
        *("runAsNonRoot", "seccompProfile", "capabilities"),
    }


@pytest.mark.parametrize("values", VALUES)
def test_pods_have_a_read_only_root_and_no_token(values: str) -> None:
    for pod in pods(render(values)).values():
        only = container(pod)
        mounts = {it["name"]: it["mountPath"] for it in only["volumeMounts"]}

        assert only["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert mounts.keys() == {it["name"] for it in pod["volumes"]}
        assert mounts["tmp"] == "/tmp"


def test_secrets_appear_as_references_only() -> None:
    manifests = render("hardened")
    hidden = re.compile("PASSWORD|SECRET|ACCESS_KEY")

    assert not named(manifests, "Secret")
    maps = named(manifests, "ConfigMap").values()
    assert not [it for each in maps for it in each["data"] if hidden.search(it)]
    for pod in pods(manifests).values():
        held = {it["name"]: it for it in container(pod)["env"] if hidden.search(it["name"])}
        assert {name: next(iter(it["valueFrom"])) for name, it in held.items()} == dict.fromkeys(
            [
                "KAPTION_KAFKA__PASSWORD",
                "KAPTION_REDIS__PASSWORD",
                "KAPTION_STORE__ACCESS_KEY",
                "KAPTION_STORE__SECRET_KEY",
            ],
            "secretKeyRef",
        )


def test_a_stage_may_have_a_kafka_user_of_its_own() -> None:
    user = "stages.sink.settings.kafka.username=kaption-sink"
    password = r"stages.sink.secrets.kafka\.password"
    secret = f"{password}.secret=sink,{password}.key=password"
    manifests = render("hardened", "--set", f"{user},{secret}")
    made = pods(manifests)

    held = {
        component: it["valueFrom"]["secretKeyRef"]["name"]
        for component, pod in made.items()
        for it in container(pod)["env"]
        if it["name"] == "KAPTION_KAFKA__PASSWORD"
    }
    assert held == dict.fromkeys(made, "kaption-kafka") | {"sink": "sink", "doctor-sink": "sink"}
    assert variables(manifests, "sink")["KAPTION_KAFKA__USERNAME"] == "kaption-sink"
    assert variables(manifests, "sink")["KAPTION_REDIS__PASSWORD"] == "secret"


def test_settings_name_the_paths_of_mounted_files() -> None:
    manifests = render(
        *("oauth", "--set", r"files.kafka\.oauth_token_file.audience=kafka,autoscaler=none"),
        *("--set", r"files.kafka\.ca_file.secret=ca,files.kafka\.ca_file.key=ca.crt"),
        *("--set", r"files.store\.ca_file.configMap=ca,files.store\.ca_file.key=ca.crt"),
    )
    pod = pods(manifests)["ingest"]
    (files,) = (it["projected"]["sources"] for it in pod["volumes"] if it["name"] == "files")
    (mounted,) = (it for it in container(pod)["volumeMounts"] if it["name"] == "files")

    assert files == [
        {"secret": {"name": "ca", "items": [{"key": "ca.crt", "path": "kafka.ca_file"}]}},
        {"serviceAccountToken": {"audience": "kafka", "path": "kafka.oauth_token_file"}},
        {"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "store.ca_file"}]}},
    ]
    assert mounted["readOnly"] is True
    for source in ("kafka.ca_file", "kafka.oauth_token_file", "store.ca_file"):
        variable = "KAPTION_" + source.replace(".", "__").upper()
        assert variables(manifests, "ingest")[variable] == f"{mounted['mountPath']}/{source}"


def test_pods_may_reach_s3_by_their_own_role() -> None:
    account = named(render("oauth"), "ServiceAccount")[""]

    assert account["metadata"]["annotations"].keys() == {"eks.amazonaws.com/role-arn"}
    for pod in pods(render("oauth")).values():
        assert pod["serviceAccountName"] == account["metadata"]["name"]
        assert not [it for it in container(pod).get("env", []) if "STORE" in it["name"]]


def test_all_pods_reach_only_the_servers_and_dns() -> None:
    policy = named(render("hardened"), "NetworkPolicy")[""]["spec"]

    reached = [
        (rule["to"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], ports)
        for rule in policy["egress"]
        for ports in [[port["port"] for port in rule["ports"]]]
    ]
    assert reached == [
        ("kube-system", [53, 53]),
        ("kafka", [9093]),
        ("stores", [6379]),
        ("stores", [8333]),
    ]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    entered = [it["port"] for rule in policy["ingress"] for it in rule["ports"]]
    assert entered == [HealthPolicy().port, AuditPolicy().port]
    for pod in named(render("hardened"), "Deployment").values():
        labels = pod["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()


def test_pods_reach_the_dns_cache_of_their_node_or_the_dns_of_openshift() -> None:
    def rule(*options: str) -> Manifest:
        policy = named(render("hardened", *options), "NetworkPolicy")[""]["spec"]
        first: Manifest = policy["egress"][0]
        return first

    dns = "networkPolicy.dns[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name"
    openshift = rule("--set", f"{dns}=openshift-dns,networkPolicy.dnsPorts={{53,5353}}")

    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in rule()["to"]
    assert [it["port"] for it in openshift["ports"]] == [53, 53, 5353, 5353]
    assert "openshift-dns" in str(openshift["to"])


def test_pods_may_have_a_dns_configuration_of_their_own() -> None:
    options = "dnsPolicy=None,dnsConfig.nameservers={169.254.20.10}"

    for pod in pods(render("hardened", "--set", options)).values():
        assert pod["dnsPolicy"] == "None"
        assert pod["dnsConfig"] == {"nameservers": ["169.254.20.10"]}
    assert "dns" not in template("defaults")


def test_ingest_reaches_the_internet_but_no_private_network() -> None:
    policy = named(render("hardened"), "NetworkPolicy")["internet"]["spec"]
    ((who,), (rule,)) = policy["podSelector"]["matchExpressions"], policy["egress"]
    blocks = [it["ipBlock"] for it in rule["to"]]

    assert who["values"] == ["ingest", "models"]
    assert rule["ports"] == [{"protocol": "TCP"}]
    assert [it["cidr"] for it in blocks] == ["0.0.0.0/0", str(addresses._GLOBAL_V6), "10.20.0.0/16"]
    # The policy excludes the same networks as ingest itself, and no others.
    assert [set(map(ip_network, it.get("except", []))) for it in blocks] == [
        {it for it in addresses._DENIED if it.version == 4},
        {it for it in addresses._DENIED if it.version == 6},
        set(),
    ]


def test_the_default_values_make_no_network_policy() -> None:
    assert "NetworkPolicy" not in template("defaults")
