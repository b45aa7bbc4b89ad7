"""Whatever stands in a field of a manifest, an audit ends with a verdict or names what cannot be read; never as a bug."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rollouts import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME

from hook.audit.sources import files
from hook.audit.sources.naming import Name, Names, NamesError
from hook.audit.telling import as_json, print_lines
from hook.audit.verdict import judge

ROLLOUT = Path(__file__).parents[2] / "examples" / "rollout" / "applicationset.yaml"
NAMES = Names(
    Name("--gate", GATE.name),
    Name("--migrations", MIGRATIONS.name),
    Name("--runtime", RUNTIME.name),
    (Name("--downstream", BOOTSTRAP.name),),
)
VALUES: tuple[Any, ...] = (
    *({"an": "object"}, ["a list"], "another text", 12, True),
    *(None, 1 << 70, "\ud800", "{{ .name }}", [None], {"": None}),
)
Place = tuple[str | int, ...]
pytestmark = pytest.mark.timeout(600)
LIVE = """
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: data-temporal-recovery-hook
  namespace: argocd
  labels: {rollout-phase: "300"}
  ownerReferences: [{kind: ApplicationSet, name: temporal}]
spec:
  sources:
    - {repoURL: r, chart: temporal-recovery-hook, targetRevision: 0.1.0, helm: {releaseName: a, values: "hook: {wave: 0}",
       valuesObject: {receipt: {revision: x}}, parameters: [{name: a, value: b}], valueFiles: [a]}}
    - {repoURL: r, path: b, kustomize: {images: [a]}, plugin: {env: [{name: a, value: b}]}}
  syncPolicy: {automated: {prune: true}, retry: {limit: 1, refresh: true}}
status:
  sync: {revision: abc}
  resources: [{kind: ConfigMap, name: a-receipt, namespace: b, syncWave: 1, hook: false, requiresPruning: false}]
  operationState:
    phase: Succeeded
    operation: {sync: {resources: []}}
    syncResult: {resources: [{kind: Job, name: temporal-recovery-hook, namespace: b, hookType: Sync}]}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: schema
  namespace: b
  labels: {app.kubernetes.io/instance: data-migrations-temporal}
  annotations: {argocd.argoproj.io/hook: Sync, argocd.argoproj.io/sync-wave: "1", argocd.argoproj.io/sync-options: a}
spec:
  ttlSecondsAfterFinished: 5
  template: {spec: {initContainers: [{image: a}], containers: [{image: b}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cmd-params-cm}
data: {applicationsetcontroller.enable.progressive.syncs: "true"}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: argocd-applicationset-controller
  labels: {app.kubernetes.io/component: applicationset-controller, app.kubernetes.io/part-of: argocd,
           app.kubernetes.io/version: v3.6.1}
spec: {template: {spec: {containers: [{image: "a/argocd:v3", command: [a], args: [b], env: [{name: a, value: b}]}]}}}
"""
SET = yaml.safe_load(ROLLOUT.read_text())
del SET["spec"]["generators"][0]["matrix"]["generators"][1]["list"]["elements"][2:]
SET["spec"]["templatePatch"] = "spec: {a: b}"
SET["spec"]["syncPolicy"] = {"applicationsSync": "sync"}
SET["spec"]["generators"][0]["matrix"]["generators"][1]["list"]["elementsYaml"] = "- {name: a, phase: b}"
SET["spec"]["generators"].append(
    {"list": {"elements": [{"name": "b"}], "template": {"metadata": {"labels": {"a": "b"}}}}}
)
SET["spec"]["generators"].append(
    {
        "merge": {"mergeKeys": ["a"], "generators": [{"list": {"elements": [{"a": "b"}]}}, {"clusters": {}}]},
        "selector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
    }
)
SET["status"] = {"applicationStatus": [{"application": "a"}]}
DOCUMENTS = [SET, *yaml.safe_load_all(LIVE)]


def places(value: object, place: Place = ()) -> Iterator[Place]:
    """Every field and entry below a value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in entries:
        yield (*place, key)
        yield from places(below, (*place, key))


def changed(number: int, place: Place, value: object) -> list[Any]:
    """The documents with one field that is another."""
    result = [*DOCUMENTS]
    holder: Any = result
    if place:
        holder = result[number] = copy.deepcopy(DOCUMENTS[number])
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1] if place else number] = value
    return result


def audited(documents: list[Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """What an audit says of them: its document, or why they cannot be used."""
    monkeypatch.setattr(files, "_documents", lambda _: iter(documents))
    try:
        seen = files.read(["it.yaml"], NAMES, None)
    except (files.FileError, NamesError) as error:
        return str(error)
    verdict = judge(seen)
    print_lines(verdict, seen.argocd)
    return as_json(verdict, seen.argocd)


def test_the_documents_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the tests below would change what nobody reads."""
    assert '"exitCode"' in audited(DOCUMENTS, monkeypatch)


@pytest.mark.parametrize("document", range(len(DOCUMENTS)))
def test_no_field_ends_an_audit_as_a_bug(
    document: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each field in turn by values of every type; what is said can be encoded, and a fault names the file and the place."""
    count = 0
    for place in [(), *places(DOCUMENTS[document])]:
        for value in VALUES:
            said = audited(changed(document, place, value), monkeypatch)
            assert said.encode()
            assert '"exitCode"' in said or re.match(
                r"--file it\.yaml: (document \d|the template|holds no)|none of |--\w+ .*: there are several ", said
            )
            count += 1
    capsys.readouterr().out.encode()
    assert count >= 50
