"""docker-compose.yml and the Dockerfile agree with each other, the CLI and the code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from ruamel.yaml import YAML

from tests.unit.dockerfile import Stage, read_stages

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")
COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
STAGES = read_stages(ROOT / "Dockerfile")
LIBPQ_VARIABLES = {"PGPASSWORD"}
IMAGE = re.compile(r"[a-z0-9]+([._/-][a-z0-9]+)*(:[\w.-]+)?")


def _interpolate(value: str, given: dict[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        default = match["rest"] if match["kind"] == "-" else None
        found = given.get(match["name"], default)
        assert found is not None, f"{match[0]} has neither a value nor a default"
        return found

    return VARIABLE.sub(replace, value)


def _strings(value: object) -> Iterator[str]:
    match value:
        case dict():
            for part in value.values():
                yield from _strings(part)
        case list():
            for part in value:
                yield from _strings(part)
        case str():
            yield value


def _parse(arguments: list[str]) -> dict[str, Any]:
    """Parse arguments with the real CLI, run nothing, and return the command's parameters."""
    from tuner.cli.app import app

    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while subcommands := getattr(command, "commands", None):
        command = subcommands[rest.pop(0)]
    parameters: dict[str, Any] = command.make_context(arguments[0], rest).params
    return parameters


def _secrets() -> dict[str, str]:
    names = ("POSTGRES_PASSWORD", "TUNER_ADMIN_TOKEN", "TUNER_WORKER_TOKEN")
    return dict.fromkeys(names, "secret")


def _command(name: str) -> list[str]:
    return [_interpolate(word, _secrets()) for word in OURS[name]["command"]]


def test_the_services_are_the_ones_documented() -> None:
    assert set(SERVICES) == {"db", "migrate", "server", "worker", "worker-gpu"}
    document = (ROOT / "docs" / "docker.md").read_text()
    assert [name for name in SERVICES if f"`{name}`" not in document] == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_well_formed_image(name: str) -> None:
    assert IMAGE.fullmatch(SERVICES[name]["image"])


def test_postgres_is_pinned_to_a_major_version_that_is_supported() -> None:
    image, _, tag = SERVICES["db"]["image"].partition(":")
    assert image == "postgres"
    assert int(tag) >= 15


@pytest.mark.parametrize("name", OURS)
def test_a_build_names_a_stage_and_arguments_that_exist(name: str) -> None:
    build = OURS[name]["build"]
    assert (ROOT / build["context"] / "Dockerfile").is_file()
    assert set(build.get("args", {})) <= STAGES[build["target"]].arguments()


@pytest.mark.parametrize("name", OURS)
def test_a_command_is_one_the_cli_takes(name: str) -> None:
    _parse(_command(name))


@pytest.mark.parametrize("target", ["server", "worker"])
def test_an_image_starts_a_command_the_cli_takes(target: str) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert STAGES[target].command("ENTRYPOINT")[0] in scripts
    _parse(STAGES[target].command("CMD"))


def test_the_server_stands_behind_a_proxy_and_answers_to_known_hosts_only() -> None:
    parameters = _parse(_command("server"))
    assert parameters["behind_proxy"] is True
    assert list(parameters["allowed_host"]) == ["server", "localhost"]
    assert OURS["worker"]["environment"]["TUNER_URL"] == "http://server:8700"


def test_the_code_reads_each_environment_variable() -> None:
    tops = (ROOT / name for name in ("tuner", "api", "storage"))
    sources = [path.read_text() for top in tops for path in top.rglob("*.py")]
    read = set(re.findall(r"\bTUNER_[A-Z_]+\b", "\n".join(sources)))
    dockerfile = (ROOT / "Dockerfile").read_text()
    named = set(re.findall(r"\bTUNER_[A-Z_]+(?==)", dockerfile))
    named |= {variable for service in OURS.values() for variable in service["environment"]}
    assert "TUNER_HOME" in named
    assert named - LIBPQ_VARIABLES <= read


def test_secrets_are_demanded_and_never_written_down() -> None:
    secrets = _secrets()
    used = [match for text in _strings(COMPOSE) for match in VARIABLE.finditer(text)]
    assert {match["name"] for match in used} >= set(secrets)
    assert all(match["kind"] == "?" for match in used if match["name"] in secrets)
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if variable.endswith(("PASSWORD", "TOKEN")):
                assert VARIABLE.fullmatch(value)


@pytest.mark.parametrize("name", ["worker", "worker-gpu"])
def test_a_worker_sees_its_own_token_and_no_other_secret(name: str) -> None:
    used = {match["name"] for text in _strings(SERVICES[name]) for match in VARIABLE.finditer(text)}
    assert used & set(_secrets()) == {"TUNER_WORKER_TOKEN"}
    token = VARIABLE.fullmatch(SERVICES[name]["environment"]["TUNER_TOKEN"])
    given = VARIABLE.fullmatch(SERVICES["server"]["environment"]["TUNER_WORKER_TOKEN"])
    assert token is not None
    assert given is not None
    assert token["name"] == given["name"]


def test_no_secret_stands_on_a_command_line() -> None:
    for service in OURS.values():
        assert not any(name in word for word in service["command"] for name in _secrets())


def test_services_wait_for_what_they_need() -> None:
    conditions = {
        name: {other: how["condition"] for other, how in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }
    assert conditions == {
        "db": {},
        "migrate": {"db": "service_healthy"},
        "server": {"db": "service_healthy", "migrate": "service_completed_successfully"},
        "worker": {"server": "service_healthy"},
        "worker-gpu": {"server": "service_healthy"},
    }
    assert SERVICES["db"]["healthcheck"]["test"]
    assert "/readyz" in STAGES["server"].all("HEALTHCHECK")[-1]


def test_the_gpu_worker_is_a_profile_and_reserves_gpus() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert {name: given for name, given in profiles.items() if given} == {"worker-gpu": ["gpu"]}
    reservations = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]
    assert reservations["devices"][0]["driver"] == "nvidia"
    assert reservations["devices"][0]["capabilities"] == ["gpu"]
    assert "deploy" not in SERVICES["worker"]


def test_artifacts_lie_in_a_volume() -> None:
    folder = str(_parse(_command("server"))["artifacts"])
    mounted = [mount.split(":")[1] for mount in SERVICES["server"]["volumes"]]
    assert any(folder.startswith(f"{place}/") for place in mounted)


def test_named_volumes_are_declared() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    named = {mount.partition(":")[0] for mount in mounts if not mount.startswith((".", "/"))}
    assert named == set(COMPOSE["volumes"])


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
def test_what_a_stage_copies_exists_and_reaches_the_build(stage: Stage) -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    for words in (copy.split() for copy in stage.all("COPY")):
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in STAGES
            continue
        for source in words[:-1]:
            assert (ROOT / source).exists()
            assert f"!{source}" in ignore


@pytest.mark.parametrize("target", ["server", "worker"])
def test_an_image_runs_as_an_ordinary_user_on_pinned_versions(target: str) -> None:
    users = [one.rest for one in STAGES[target].instructions if one.word == "USER"]
    assert users == ["tuner"]
    installs = [run for run in STAGES[target].all("RUN") if "pip install" in run]
    assert installs
    assert all("--constraint /opt/tuner/constraints.txt" in run for run in installs)
