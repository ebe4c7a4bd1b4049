"""The files of `deploy/` against what they speak of: no container runs here, but much that would fail can be read."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

MANIFESTS = ("ray-cluster.yaml", "ray-job.yaml")
VARIABLE = re.compile(r"\$\{(\w+)([^}]*)\}")
SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|ACCESS_KEY|AUTH_STRING")


@pytest.fixture(scope="module")
def deploy(repository: Path) -> Path:
    return repository / "deploy"


@pytest.fixture(scope="module")
def compose_text(deploy: Path) -> str:
    """Without comments, so that what is said about a variable is not taken for its use."""
    lines = (deploy / "compose.yaml").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


@pytest.fixture(scope="module")
def services(compose_text: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(compose_text)["services"]
    return found


@pytest.fixture(scope="module")
def clusters(deploy: Path) -> dict[str, dict[str, Any]]:
    """What each manifest says about its cluster."""
    manifests = {name: yaml.safe_load((deploy / name).read_text(encoding="utf-8")) for name in MANIFESTS}
    assert [(manifest["apiVersion"], manifest["kind"]) for manifest in manifests.values()] == [
        ("ray.io/v1", "RayCluster"),
        ("ray.io/v1", "RayJob"),
    ]
    return {name: manifest["spec"].get("rayClusterSpec", manifest["spec"]) for name, manifest in manifests.items()}


@pytest.fixture(scope="module")
def dockerfile(deploy: Path) -> list[tuple[str, str]]:
    """Instructions and their arguments, continued lines joined and comments left out."""
    lines = (deploy / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def locked(repository: Path, package: str) -> str:
    """The version of a package in the lock file."""
    match = re.search(rf"^{package}==(\S+)$", (repository / "requirements.lock").read_text(encoding="utf-8"), re.M)
    assert match, f"{package} is not in requirements.lock"
    return match[1]


def containers(cluster: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield from group["template"]["spec"]["containers"]


def entrypoint(deploy: Path) -> list[str]:
    job = yaml.safe_load((deploy / "ray-job.yaml").read_text(encoding="utf-8"))
    return shlex.split(job["spec"]["entrypoint"])


def words_of(command: list[str]) -> list[str]:
    """The subcommands a command line begins with: `prefect worker start --pool x` gives prefect, worker, start."""
    words: list[str] = []
    for word in command:
        if word.startswith("-"):
            break
        words.append(word)
    return words


def options_of(command: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in command if word.startswith("--")}


def known_options(words: list[str]) -> set[str]:
    """The options that an installed command takes.

    Raises:
        KeyError: there is no such command or subcommand.
    """
    program, *subcommands = words
    if program == "prefect":
        from prefect.cli._app import _app

        app = _app
        for name in subcommands:
            app = app[name]
        return {name for argument in app.assemble_argument_collection() for name in argument.names}
    command: Any
    if program == "ray":
        from ray.scripts.scripts import cli as command
    elif program == "mlflow":
        from mlflow.cli import cli as command
    else:
        raise KeyError(program)
    for name in subcommands:
        command = command.commands[name]
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)}


def test_every_file_says_first_what_it_is_for(deploy: Path) -> None:
    for path in deploy.iterdir():
        if path.name != ".env":
            assert re.match(r"# \w+", path.read_text(encoding="utf-8")), path.name


def test_the_readme_does_not_promise_what_nobody_has_seen(deploy: Path) -> None:
    text = (deploy / "README.md").read_text(encoding="utf-8")
    assert text.splitlines()[1].startswith("Not run on a live cluster")
    assert "NCCL" in text


def test_every_file_is_in_the_readme(deploy: Path) -> None:
    text = (deploy / "README.md").read_text(encoding="utf-8")
    for path in deploy.iterdir():
        if path.name not in {"README.md", ".env", ".gitignore"}:
            assert f"`{path.name}`" in text, path.name


def test_variables_are_explained(compose_text: str, deploy: Path) -> None:
    text = (deploy / "README.md").read_text(encoding="utf-8")
    names = {match[1] for match in VARIABLE.finditer(compose_text)}
    assert "RAY_AUTH_TOKEN" in names
    for name in names:
        assert f"`{name}`" in text, name


def test_secrets_have_no_default_and_are_demanded(compose_text: str) -> None:
    demanded = set()
    for match in VARIABLE.finditer(compose_text):
        if SECRET.search(match[1]):
            assert match[2].startswith(":?"), match[0]
            demanded.add(match[1])
    assert demanded == {"POSTGRES_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY", "PREFECT_PASSWORD", "RAY_AUTH_TOKEN"}


def test_no_secret_is_written_down(services: dict[str, dict[str, Any]], deploy: Path) -> None:
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable) or "@" in str(value):
                assert VARIABLE.search(str(value)), f"{name}: {variable}"
    assert ".env" in (deploy / ".gitignore").read_text(encoding="utf-8").split()


def test_images_are_pinned(services: dict[str, dict[str, Any]], clusters: dict[str, dict[str, Any]]) -> None:
    images = [service["image"] for service in services.values()]
    images += [container["image"] for cluster in clusters.values() for container in containers(cluster)]
    for image in images:
        tag = image.rpartition("/")[2].partition(":")[2]
        assert re.match(r"\d+\.\d+", tag), image


def test_own_images_are_of_this_version_and_of_the_locked_ray(
    services: dict[str, dict[str, Any]], clusters: dict[str, dict[str, Any]], repository: Path, deploy: Path
) -> None:
    project = re.search(r'^version = "(.+)"$', (repository / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert project
    expected = f"{project[1]}-ray{locked(repository, 'ray')}-"
    images = [service["image"] for service in services.values() if "build" in service]
    images += [container["image"] for cluster in clusters.values() for container in containers(cluster)]
    tags = {image.partition("colorize:")[2] for image in images}
    assert tags == {f"{expected}cpu", f"{expected}cuda"}
    for name in ("README.md", "Dockerfile"):
        for tag in re.findall(r"colorize:(\S+-)", (deploy / name).read_text(encoding="utf-8")):
            assert tag == expected, name


def test_own_images_are_built_for_what_they_are_called(services: dict[str, dict[str, Any]], deploy: Path) -> None:
    for name, service in services.items():
        if "build" in service:
            assert service["image"].endswith(f"-{service['build']['args']['TORCH']}"), name
            context = (deploy / service["build"]["context"]).resolve()
            assert (context / service["build"]["dockerfile"]).is_file(), name


def test_manifests_name_the_locked_ray(clusters: dict[str, dict[str, Any]], repository: Path) -> None:
    assert {cluster["rayVersion"] for cluster in clusters.values()} == {locked(repository, "ray")}


def test_services_wait_for_something_that_can_be_waited_for(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert services[other]["healthcheck"]["test"], f"{name} waits for {other}"
            else:
                assert how["condition"] == "service_completed_successfully", f"{name} waits for {other}"
                assert services[other]["restart"] == "no", f"{other} never completes"


def test_health_is_asked_where_a_service_listens(services: dict[str, dict[str, Any]]) -> None:
    asked = {name: re.findall(r"127\.0\.0\.1:(\d+)", str(s.get("healthcheck"))) for name, s in services.items()}
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.rpartition(":")[2] in asked[name], name


def test_ports_are_on_loopback(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports), ports


def test_services_reach_each_other_by_names_that_exist(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        texts = [str(value) for value in service.get("environment", {}).values()]
        texts += [word for word in service.get("command", []) if word.startswith("--address")]
        for text in texts:
            for host in re.findall(r"(?://|@|=)([a-z][a-z0-9-]*):\d+", text):
                assert host in services, f"{name}: {text}"


def test_volumes_are_declared(compose_text: str, services: dict[str, dict[str, Any]]) -> None:
    declared = set(yaml.safe_load(compose_text)["volumes"])
    used = {volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert used - {".."} == declared


def test_commands_exist_with_their_options(services: dict[str, dict[str, Any]]) -> None:
    seen = set()
    for name, service in services.items():
        command = service.get("command", [])
        if "build" not in service or command[0] == "python":
            continue
        words = words_of(command)
        assert options_of(command) <= known_options(words), f"{name}: {options_of(command) - known_options(words)}"
        seen.add(" ".join(words))
    assert seen == {"mlflow server", "prefect server start", "prefect worker start", "ray start"}


def test_a_command_with_a_wrong_option_is_noticed() -> None:
    assert "--pool" in known_options(["prefect", "worker", "start"])
    assert "--pools" not in known_options(["prefect", "worker", "start"])
    assert "--no-serve-artifacts" in known_options(["mlflow", "server"])
    assert "--head" in known_options(["ray", "start"])
    with pytest.raises(KeyError):
        known_options(["ray", "begin"])


def test_prefect_commands_of_the_readme_exist(deploy: Path) -> None:
    text = (deploy / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^.*exec prefect-worker prefect --no-prompt ([^#\n]+)", text, re.M)
    assert commands
    for line in commands:
        command = ["prefect", *shlex.split(line)]
        assert options_of(command) <= known_options(words_of(command)), line


def test_modules_that_are_run_exist(deploy: Path) -> None:
    texts = [(deploy / name).read_text(encoding="utf-8") for name in ("README.md", "compose.yaml", "Dockerfile")]
    modules = set(re.findall(r"python -m ([\w.]+)", " ".join([*texts, *entrypoint(deploy)]))) - {"venv"}
    assert "pipelines.train" in modules
    for module in modules:
        assert importlib.util.find_spec(module), module


def test_python_in_commands_compiles(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if service.get("command", [""])[0] == "python":
            compile(service["command"][2], name, "exec")


def test_the_job_joins_the_cluster_it_runs_in(deploy: Path) -> None:
    words = entrypoint(deploy)
    assert words[:2] == ["env", "--chdir=/project"]
    assert "RAY_ADDRESS=auto" in words
    assert words[-3:] == ["python", "-m", "pipelines.train"]
    spec = yaml.safe_load((deploy / "ray-job.yaml").read_text(encoding="utf-8"))["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["backoffLimit"] >= 1


def test_both_manifests_describe_the_same_cluster(clusters: dict[str, dict[str, Any]]) -> None:
    assert clusters["ray-cluster.yaml"] == clusters["ray-job.yaml"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_cluster_grows_from_nothing_to_four_gpus(clusters: dict[str, dict[str, Any]], name: str) -> None:
    cluster = clusters[name]
    assert cluster["enableInTreeAutoscaling"] is True
    (group,) = cluster["workerGroupSpecs"]
    assert (group["minReplicas"], group["maxReplicas"]) == (0, 4)
    (container,) = group["template"]["spec"]["containers"]
    for kind in ("requests", "limits"):
        assert container["resources"][kind]["nvidia.com/gpu"] == "1"
    assert container["image"].endswith("-cuda")


@pytest.mark.parametrize("name", MANIFESTS)
def test_kubernetes_demands_the_token(clusters: dict[str, dict[str, Any]], name: str, deploy: Path) -> None:
    options = clusters[name]["authOptions"]
    assert options["mode"] == "token"
    text = (deploy / "README.md").read_text(encoding="utf-8")
    assert f"secret generic {options['secretName']} --from-literal=auth_token=" in text


@pytest.mark.parametrize("name", MANIFESTS)
def test_secrets_and_volumes_of_the_cluster_are_explained(
    clusters: dict[str, dict[str, Any]], name: str, deploy: Path
) -> None:
    text = (deploy / "README.md").read_text(encoding="utf-8")
    cluster = clusters[name]
    for container in containers(cluster):
        assert not any("value" in variable for variable in container.get("env", [])), "a secret may be written down"
        for source in container["envFrom"]:
            assert f"secret generic {source['secretRef']['name']} " in text
    head = cluster["headGroupSpec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in head["volumes"]}
    assert {mount["name"] for mount in head["containers"][0]["volumeMounts"]} == set(volumes)
    assert f"configmap {volumes['params']['configMap']['name']} " in text
    assert f"`{volumes['project']['persistentVolumeClaim']['claimName']}`" in text


def test_every_ray_process_of_the_team_has_the_token(services: dict[str, dict[str, Any]]) -> None:
    concerned = [name for name, s in services.items() if s.get("command", [""])[0] == "ray"] + ["prefect-worker"]
    assert len(concerned) == 4
    for name in concerned:
        environment = services[name]["environment"]
        assert environment["RAY_AUTH_MODE"] == "token", name
        assert environment["RAY_AUTH_TOKEN"].startswith("${RAY_AUTH_TOKEN:?"), name


def test_prefect_demands_a_password_and_the_worker_has_it(services: dict[str, dict[str, Any]]) -> None:
    demanded = services["prefect-server"]["environment"]["PREFECT_SERVER_API_AUTH_STRING"]
    assert demanded == services["prefect-worker"]["environment"]["PREFECT_API_AUTH_STRING"]


def test_settings_of_prefect_exist(services: dict[str, dict[str, Any]]) -> None:
    """Prefect passes over a variable that it does not know."""
    import prefect.settings

    for service in services.values():
        for name in service.get("environment", {}):
            if name.startswith("PREFECT_"):
                assert hasattr(prefect.settings, name), name


def test_flows_use_the_database_since_locks_are_in_it(services: dict[str, dict[str, Any]]) -> None:
    server = services["mlflow"]["environment"]["MLFLOW_BACKEND_STORE_URI"]
    assert services["prefect-worker"]["environment"]["MLFLOW_TRACKING_URI"] == server
    assert server.startswith("postgresql://")


def test_the_worker_polls_the_pool_of_the_deployments(services: dict[str, dict[str, Any]], repository: Path) -> None:
    content = yaml.safe_load((repository / "prefect.yaml").read_text(encoding="utf-8"))
    command = services["prefect-worker"]["command"]
    assert {item["work_pool"]["name"] for item in content["deployments"]} == {command[command.index("--pool") + 1]}


def test_settings_named_for_the_team_are_valid(deploy: Path) -> None:
    from colorize.settings.sections import RegistrySettings, ScalingSettings

    text = (deploy / "README.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]
    assert blocks
    for block in blocks:
        assert set(block) <= {"scaling", "registry"}
        storage = ScalingSettings.model_validate(block["scaling"]).storage
        assert storage is not None
        assert storage.startswith("s3://")
        RegistrySettings.model_validate(block.get("registry", {}))


def test_the_image_is_of_the_python_of_the_project_and_not_of_root(dockerfile: list[tuple[str, str]]) -> None:
    assert dockerfile[0][0] == "FROM"
    assert dockerfile[0][1].startswith("python:3.11-slim")
    users = [argument for instruction, argument in dockerfile if instruction == "USER"]
    assert users[-1] not in {"root", "0"}


def test_the_image_holds_no_secret(dockerfile: list[tuple[str, str]]) -> None:
    for instruction, argument in dockerfile:
        if instruction in {"ARG", "ENV"}:
            assert not SECRET.search(argument), argument


def test_the_image_is_set_up_as_the_makefile_does(dockerfile: list[tuple[str, str]], repository: Path) -> None:
    text = (repository / "Makefile").read_text(encoding="utf-8")
    uv = re.search(r"^UV_VERSION := (\S+)$", text, re.M)
    assert uv
    assert ("ARG", f"UV_VERSION={uv[1]}") in dockerfile
    set_in_image = next(argument for instruction, argument in dockerfile if instruction == "ENV").split()
    for name, value in re.findall(r"^export (\w+) := ([\w]+)$", text, re.M):
        assert f"{name}={value}" in set_in_image


def test_what_is_copied_is_tracked_and_let_through(
    dockerfile: list[tuple[str, str]], repository: Path, deploy: Path
) -> None:
    done = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=True)
    tracked = done.stdout.splitlines()
    rules = (deploy / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert "*" in rules
    copied = set()
    for instruction, argument in dockerfile:
        assert instruction != "ADD"
        if instruction == "COPY":
            copied |= {word for word in argument.split()[:-1] if not word.startswith("--")}
    for source in copied:
        assert any(path == source or path.startswith(f"{source}/") for path in tracked), source
    assert copied == let_through
