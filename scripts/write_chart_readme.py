"""Writes what documents the chart: its README, and the descriptions of its values in `values.schema.json`.

The values' texts are those of `values.yaml`, the scenarios those of `ci/`, the version that of `Chart.yaml`. Editors show
the schema's descriptions where a value is written; nothing else of the schema is changed.

python scripts/write_chart_readme.py           write both
python scripts/write_chart_readme.py --check   only tell whether they are as written
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

CHART = Path(__file__).resolve().parent.parent / "charts" / "temporal-recovery-hook"
DOCUMENT = CHART / "README.md"
SCHEMA = CHART / "values.schema.json"

INTRODUCTION = """\
# temporal-recovery-hook

<!-- Written by scripts/write_chart_readme.py from values.yaml, Chart.yaml and ci/: change it there. -->

{description} Chart {version}, program {app_version}, Kubernetes `{kubernetes}`, Helm 3 and 4.

The chart is an Application of its own, between the schema migration and Temporal's servers. Its Job is a `Sync` hook.
A ConfigMap in a later wave, the *receipt*, is applied only after the Job has succeeded. Until then the Application is
OutOfSync, which holds a RollingSync. The Job waits until both of Temporal's schemas match the release that is
deployed, and repairs what it can. It ends with a reason, an exit code and a remedy.

## The smallest values

```yaml
{smallest}```

The Secret is in the gate's namespace, with the keys `username` and `password`, as in CloudNativePG's `<cluster>-app`.
Helm never reads it. Set `runtime.namespace` to have pods restarted, `temporal.frontend.address` to have Temporal
itself checked, and `downstream` to have the namespace bootstrap synced again.

Before the gate's first sync, its own namespace must exist, and also `runtime.namespace` if you set it: a Role is
created in it. The AppProject must allow Roles and RoleBindings there and in the Applications' namespaces.

With Argo CD, give them as `helm.valuesObject` or in a values file. With Helm alone, the Job is a post-install and
post-upgrade hook, and Helm waits for it:

```
helm install temporal-recovery-hook {repository} --version {version} \\
  --namespace temporal --values values.yaml --set gate.application.enabled=false --timeout 7h
```

## What is installed

| wave | object | why |
|---:|---|---|
| -1 | ServiceAccount, Roles, RoleBindings, ConfigMap | the gate's rights, where it needs some, and its settings |
| -1 | `extraObjects` | what you add, unless it has a wave of its own |
| 0 | Job (hook) | the gate; runs at each sync, and at `helm install` and `helm upgrade` |
| 1 | ConfigMap `…-receipt` | a checksum of all the above, and `receipt.revision` |
| 1 | CronJob (`watchdog.enabled`) | the same program on a schedule |

There is no cluster-wide right, and no Secret's value in any object. `helm uninstall` leaves the Job behind, as it
does with every hook.

## Scenarios

The tests render, lint and validate each of them, with Helm 3 and 4.

| values | scenario |
|---|---|
{scenarios}

## Values

An empty string, 0 or [] means that the value is unset. Values that are not listed are refused, and so are
contradictions, with one line that says what to do. """


@dataclass(frozen=True)
class Value:
    """One documented value."""

    path: str
    default: Any
    text: str


def sections(source: str) -> Iterator[tuple[str, list[Value]]]:
    """Yield the sections of a values file with their values. Raises ValueError for a value without its documentation."""
    lines = source.splitlines()
    root = yaml.compose(source)
    assert isinstance(root, yaml.MappingNode)  # noqa: S101 -- a values file is a mapping
    values = list(_values(root, lines, ()))
    starts = [(number, line[5:].strip()) for number, line in enumerate(lines) if line.startswith("# == ")]
    ends = [number for number, _ in starts[1:]] + [len(lines)]
    for (start, title), end in zip(starts, ends, strict=True):
        yield title, [value for line, value in values if start < line < end]


def _values(node: yaml.MappingNode, lines: list[str], block: tuple[str, ...]) -> Iterator[tuple[int, Value]]:
    for key, value in node.value:
        path, line = (*block, key.value), key.start_mark.line
        text = _documentation(lines, line)
        if text is not None:
            yield line, Value(".".join(path), _plain(value), text)
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from _values(value, lines, path)
        else:
            message = f"values.yaml:{line + 1}: {'.'.join(path)} has no documentation (# -- …) above it"
            raise ValueError(message)


def _documentation(lines: list[str], line: int) -> str | None:
    """Return the text of the comment above a line, None where that is none that begins ``# --``."""
    above: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        above.insert(0, lines[line].lstrip().removeprefix("#").strip())
    starts = [number for number, text in enumerate(above) if text.startswith("-- ")]
    return " ".join(above[starts[-1] :])[3:] if starts else None


def _plain(node: yaml.Node) -> Any:  # noqa: ANN401 -- whatever the YAML holds
    return yaml.safe_load(yaml.serialize(node))


def render() -> str:
    """Return the document."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    image = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["image"]
    scenarios = sorted((CHART / "ci").glob("*-values.yaml"))
    smallest = (CHART / "ci" / "smallest-values.yaml").read_text(encoding="utf-8")
    lines = [
        INTRODUCTION.format(
            description=chart["description"],
            version=chart["version"],
            repository=f"oci://{image['repository']}/charts/{chart['name']}",  # as release.yaml pushes it
            app_version=chart["appVersion"],
            kubernetes=chart["kubeVersion"],
            smallest=re.sub(r"^#.*\n", "", smallest, flags=re.MULTILINE),
            scenarios="\n".join(f"| [{one.name}](ci/{one.name}) | {_comment(one)} |" for one in scenarios),
        )
    ]
    for title, values in sections((CHART / "values.yaml").read_text(encoding="utf-8")):
        lines += [f"### {title}", "", "| value | default | |", "|---|---|---|"]
        lines += [f"| `{one.path}` | `{json.dumps(one.default, ensure_ascii=False)}` | {one.text} |" for one in values]
        lines.append("")
    return "\n".join(lines)


def _comment(file: Path) -> str:
    first = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return " ".join(line.removeprefix("#").strip() for line in first)


def render_schema() -> str:
    """Return the schema with each value's description. Raises KeyError for a value that is not in it."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for _, values in sections((CHART / "values.yaml").read_text(encoding="utf-8")):
        for value in values:
            block = schema
            for part in value.path.split("."):  # what is below a $ref is shared by several values: it is not followed
                block = block["properties"][part]
            block["description"] = value.text
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write both, or compare them."""
    parser = argparse.ArgumentParser(description="Write the chart's README.md and its schema's descriptions.")
    parser.add_argument("--check", action="store_true", help="compare only; exit code 1 when they are not as written")
    only_check = parser.parse_args().check
    wanted = {DOCUMENT: render(), SCHEMA: render_schema()}
    if only_check:
        old = [file.name for file, text in wanted.items() if file.read_text(encoding="utf-8") != text]
        print(f"out of date: {', '.join(old)}: run without --check" if old else "README and schema are as written")
        return 1 if old else 0
    for file, text in wanted.items():
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
