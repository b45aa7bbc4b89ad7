"""What the lab has in place of what examples/kind/up.sh starts: the script and the page's lines run on it as they stand.

The cluster and Argo CD are there. `kubectl` is the real one, but for what it would fetch from the network and for the
database's pod, whose psql is the lab's. For CloudNativePG's operator see `cloudnative_pg`.
"""

import functools
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from cloudnative_pg import CloudNativePg

from lab import images
from lab.api_client import ApiError
from lab.control_plane import argocd
from lab.control_plane.git import Repository
from lab.helm import helm
from lab.history import History, Watched
from lab.platform import Platform
from lab.postgres import Postgres
from lab.processes import Process, wait_until
from lab.team_gate import TeamGate

T = TypeVar("T")
Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "kind"
PAGE = (EXAMPLE / "README.md").read_text()
APPLICATION_SET = yaml.safe_load((EXAMPLE / "applicationset.yaml").read_text())
ELEMENTS: dict[str, Json] = {one["name"]: one for one in APPLICATION_SET["spec"]["generators"][0]["list"]["elements"]}
NAMESPACE: str = APPLICATION_SET["spec"]["template"]["spec"]["destination"]["namespace"]
HELM_REPOSITORY = "https://go.temporal.io/helm-charts"
LOADED = "temporal-recovery-hook:kind"
"""The image that the script builds and loads."""
RELEASE: str = ELEMENTS["data-temporal"]["source"]["helm"]["valuesObject"]["server"]["image"]["tag"]
ADMIN_TOOLS = f"temporalio/admin-tools:{RELEASE}"
"""The lab's registry has it by a longer tag, as older releases have."""
PATIENCE_SECONDS = 300.0
COMMAND_SECONDS = 60.0

_STAND_IN = """\
#!/bin/sh
for one; do # what is watched has no end
    shift
    [ "$one" = --watch ] || set -- "$@" "$one"
done
case "$*" in
    # Argo CD is there, and progressive syncs are on. Nothing of it, or of the operator, is a Deployment here.
    *" create namespace argocd" | *"/manifests/install.yaml" | *" rollout "*) exit 0 ;;
    *"/cnpg-"*.yaml) set -- apply --server-side {resources} ;;
    "-n temporal exec temporal-db-1 -c postgres -- psql "*)
        shift 7
        exec {psql} --host {host} --port {port} "$@" ;;
esac
exec {kubectl} "$@"
"""


def lines(heading: str) -> list[str]:
    """The commands below one of the page's headings."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)^## ", PAGE, re.DOTALL | re.MULTILINE)
    return re.findall(r"^kubectl .*", section, re.MULTILINE)


class OnKind:
    """The example on a platform. A context manager: left, everything of it is taken off."""

    def __init__(self, platform: Platform, directory: Path) -> None:
        self.platform = platform
        self.client = platform.client
        self.directory = directory
        self.postgres = Postgres(platform.host)
        self.repository = Repository(directory / "git")
        version = re.search(r"CLOUDNATIVE_PG=(\S+)", (EXAMPLE / "up.sh").read_text())
        assert version
        self.operator = CloudNativePg(platform, self.postgres, NAMESPACE, version[1])
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.postgres)
            self._example = self._copied(stack.enter_context(_served(self._helm_repository())))
            self._environment = self._programs()
            for image, name in (
                (images.GATE, f"library/{LOADED}"),
                (f"temporalio/admin-tools:{images.admin_tools_tag(RELEASE)}", ADMIN_TOOLS),
            ):
                self.platform.nodes[0].load(image, f"docker.io/{name}")
            self.history = stack.enter_context(History(self._watched()))
            stack.callback(self._leave)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- what its user does -----------------------------------------------------------------------------------------

    def up(self) -> str:
        """Run up.sh with the URL of this checkout in git; what it prints. The operator for PostgreSQL acts meanwhile."""
        log = self.directory / "up.log"
        argv = [str(self._example / "up.sh"), self.repository.url, "main"]
        with Process.start(argv, log=log, env=self._environment) as script:
            try:
                self.operator.reconcile()
                code = script.wait(PATIENCE_SECONDS)
            except TimeoutError as error:
                raise AssertionError(f"{error}\n{script.tail()}") from None
            assert code == 0, script.tail()
        return log.read_text()

    def run(self, line: str) -> str:
        """Run a line of the page in a shell; what it prints."""
        done = subprocess.run(  # noqa: S602 -- our own page's
            line, shell=True, env=self._environment, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    # --- what can be looked at --------------------------------------------------------------------------------------

    def application(self, name: str) -> Json:
        return self.client.get(f"{argocd.APPLICATIONS}/{name}")

    def job(self, name: str) -> Json:
        return self.client.get(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{name}")

    def pods(self) -> list[Json]:
        """Those of Temporal's servers that are not on their way out."""
        selector = "app.kubernetes.io/name=temporal,app.kubernetes.io/component!=database"
        found = self.client.list(f"/api/v1/namespaces/{NAMESPACE}/pods", label_selector=selector)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def gate(self, name: str) -> TeamGate:
        return TeamGate(self.client, self.history, self.platform.logs, NAMESPACE, name)

    def frontend(self) -> str:
        service = self.client.get(f"/api/v1/namespaces/{NAMESPACE}/services/temporal-frontend")
        return f"{service['spec']['clusterIP']}:7233"

    def until(self, holds: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
        """Wait for it; what is not there yet does not hold. A ``TimeoutError`` shows what there was instead."""

        def answer() -> T | None:
            with suppress(ApiError):
                return holds()
            return None

        try:
            found = wait_until(answer, seconds, what, 0.3)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n\n{self.describe()}") from None
        assert found is not None
        return found

    def describe(self) -> str:
        """What a person would look at first."""
        shown = [f"logs below {self.platform.directory} and {self.directory}"]
        for line in (
            "kubectl -n argocd get applications -o wide",
            f"kubectl -n {NAMESPACE} get pods,jobs",
            "kubectl -n argocd get events",
            f"kubectl -n {NAMESPACE} logs -l app.kubernetes.io/component=gate --tail=20",
        ):
            with suppress(AssertionError):
                shown.append(self.run(line)[-3000:])
        for name in ELEMENTS:
            with suppress(ApiError):
                status = self.application(name)["status"]
                shown.append(f"{name}: {status.get('conditions')} {status.get('operationState', {}).get('message')}")
        return "\n".join(shown)

    # --- in place of the network ------------------------------------------------------------------------------------

    def _helm_repository(self) -> Path:
        """Temporal's, with the lab's chart at the version that the example asks for."""
        (version,) = {one["source"]["targetRevision"] for one in ELEMENTS.values() if "chart" in one["source"]}
        chart, packages = self.directory / "temporal", self.directory / "helm-charts"
        shutil.copytree(ROOT / "lab" / "charts" / "temporal", chart)
        stated = (chart / "Chart.yaml").read_text()
        (chart / "Chart.yaml").write_text(re.sub(r"(?m)^version: .*", f"version: {version}", stated))
        packages.mkdir()
        helm(3).package(chart, packages)
        return packages

    def _copied(self, helm_repository: str) -> Path:
        """The example beside the checkout, with that repository's address; and the checkout in git."""
        copy = self.directory / "checkout" / "examples" / "kind"
        shutil.copytree(EXAMPLE, copy)
        manifest = copy / "applicationset.yaml"
        assert manifest.read_text().count(HELM_REPOSITORY) == 2
        manifest.write_text(manifest.read_text().replace(HELM_REPOSITORY, helm_repository))
        folders = [one["source"]["path"] for one in ELEMENTS.values() if "path" in one["source"]]
        files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()]
        self.repository.commit({str(file.relative_to(ROOT)): file.read_bytes() for file in files}, "this checkout")
        return copy

    def _programs(self) -> dict[str, str]:
        """The environment in which script and page are run: docker and kind have nothing to do."""
        programs = self.directory / "bin"
        programs.mkdir()
        stand_in = _STAND_IN.format(
            resources=" ".join(f"--filename={file}" for file in self.operator.resources),
            psql=self.postgres.program("psql"), host=self.postgres.host, port=self.postgres.port,
            kubectl=self.platform.plane.build.kubectl,
        )  # fmt: skip
        for name, text in (("docker", "#!/bin/sh\n"), ("kind", "#!/bin/sh\n"), ("kubectl", stand_in)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        kubeconfig = json.loads(self.platform.plane.kubeconfig.read_text())
        kubeconfig["contexts"][0]["name"] = kubeconfig["current-context"] = "kind-temporal-gate"  # as kind writes it
        (self.directory / "kubeconfig").write_text(json.dumps(kubeconfig))
        return {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(self.directory),
            "KUBECONFIG": str(self.directory / "kubeconfig"),
            "PGPASSWORD": self.postgres.superuser_password,
        }

    # --- around it --------------------------------------------------------------------------------------------------

    def _watched(self) -> list[Watched]:
        return [
            Watched(self.client, "Application", argocd.APPLICATIONS, lambda one: one["metadata"]["name"] in ELEMENTS),
            Watched(self.client, "Pod", f"/api/v1/namespaces/{NAMESPACE}/pods"),
        ]

    def _leave(self) -> None:
        """Take it off; a sync that runs is ended, or it would make the namespace anew."""
        self._delete(f"{argocd.APPLICATION_SETS}/{APPLICATION_SET['metadata']['name']}")
        for name in ELEMENTS:
            path = f"{argocd.APPLICATIONS}/{name}"
            with suppress(ApiError):  # it is not there
                if self.client.get(path).get("status", {}).get("operationState", {}).get("phase") == "Running":
                    self.client.patch(path, {"status": {"operationState": {"phase": "Terminating"}}})
            self._delete(path)
        self._delete(f"/api/v1/namespaces/{NAMESPACE}")
        for name in self.operator.kinds:
            self._delete(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")

    def _delete(self, path: str) -> None:
        try:
            self.client.delete(path)
        except ApiError as error:
            if error.reason != "NotFound":
                raise


@contextmanager
def _served(packages: Path) -> Iterator[str]:
    """Serve a folder with packages as a repository of charts; its URL."""
    handler = functools.partial(_Quiet, directory=str(packages))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        helm(3).index(packages, url)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield url
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
