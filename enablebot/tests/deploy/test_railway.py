"""railway.toml, .railway/railway.py and what Railpack reads: they say the same, and what they start exists."""

import runpy
import shlex
import tomllib
from typing import Any

import pytest

from enablebot.api.main import create_app as create_api
from enablebot.config.reference import SETTINGS_REFERENCE
from enablebot.tests.deploy.files import ROOT, insist_startable
from enablebot.web.main import create_app as create_web

KNOWN = {variable.name: variable for variable in SETTINGS_REFERENCE}
DRAIN_SECONDS = float(KNOWN["DRAIN_SECONDS"].default)


@pytest.fixture
def toml() -> dict[str, Any]:
    return tomllib.loads((ROOT / "railway.toml").read_text())


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The project as Railway's own SDK hands it to the CLI."""
    monkeypatch.setenv("ENABLEBOT_REPOSITORY", "somebody/enablebot")
    found: dict[str, Any] = evaluate().to_graph()
    return found


def evaluate(*arguments: object) -> Any:
    return runpy.run_path(str(ROOT / ".railway" / "railway.py"))["main"](*arguments)


def services(graph: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in graph["resources"]}


def test_both_services_start_what_exists(toml: dict[str, Any], graph: dict[str, Any]) -> None:
    commands = [toml["deploy"]["startCommand"], *toml["deploy"]["preDeployCommand"]]
    for node in services(graph).values():
        commands += [node["deploy"]["startCommand"], *node["deploy"].get("preDeployCommand", [])]
    assert len(commands) == 5
    for command in commands:
        insist_startable(shlex.split(command))


def test_the_procfile_starts_what_exists() -> None:
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert set(lines) == {"api", "web"}
    for command in lines.values():
        insist_startable(shlex.split(command))
    # Railpack starts `web` for whichever service has no start command of its own.
    assert "enablebot.scripts.start " in lines["web"]


def test_the_one_file_and_the_project_as_code_deploy_alike(toml: dict[str, Any], graph: dict[str, Any]) -> None:
    alike = {"healthcheckPath", "healthcheckTimeout", "restartPolicyType", "restartPolicyMaxRetries"}
    alike |= {"overlapSeconds", "drainingSeconds"}
    for node in services(graph).values():
        assert {key: node["deploy"][key] for key in alike} == {key: toml["deploy"][key] for key in alike}
        assert node["build"]["builder"] == toml["build"]["builder"]


def test_the_schema_is_migrated_before_anything_is_replaced(toml: dict[str, Any], graph: dict[str, Any]) -> None:
    assert toml["deploy"]["preDeployCommand"] == ["python -m enablebot migrate"]
    assert services(graph)["api"]["deploy"]["preDeployCommand"] == ["python -m enablebot migrate"]


def test_a_service_is_given_longer_to_leave_than_it_takes(toml: dict[str, Any]) -> None:
    # Railway refuses the whole file when these are strings.
    assert type(toml["deploy"]["drainingSeconds"]) is int
    assert type(toml["deploy"]["overlapSeconds"]) is int
    assert toml["deploy"]["drainingSeconds"] > DRAIN_SECONDS


def test_the_gate_of_a_deployment_is_an_address_of_both_services(toml: dict[str, Any]) -> None:
    for create in (create_api, create_web):
        assert toml["deploy"]["healthcheckPath"] in source_of(create)


def source_of(create: Any) -> str:
    text: str = create.__globals__["__spec__"].loader.get_source(create.__module__)
    return text


def test_every_variable_is_a_setting_and_every_secret_is_a_reference(graph: dict[str, Any]) -> None:
    for node in services(graph).values():
        for name, value in node["variables"].items():
            assert name in KNOWN, name
            assert value["type"] == ("literal" if name in {"ENVIRONMENT", "LOG_FORMAT", "TRUSTED_PROXY", "PORT"} else
                                     "sharedReference"), name  # fmt: skip
            assert value["type"] == "sharedReference" or not KNOWN[name].secret


@pytest.mark.parametrize("service", ["api", "web"])
def test_each_service_gets_what_it_refuses_to_start_without(graph: dict[str, Any], service: str) -> None:
    required = {variable.name for variable in SETTINGS_REFERENCE if service in variable.required}
    given = set(services(graph)[service]["variables"])
    assert required <= given
    # And nothing that opens a door which is the other's.
    others = {"api": {"SESSION_SECRET", "SLACK_CLIENT_SECRET"}, "web": {"SLACK_SIGNING_SECRET", "DATABASE_ADMIN_URL"}}
    assert not others[service] & given


def test_behind_railways_edge_the_callers_address_is_taken_from_it(graph: dict[str, Any]) -> None:
    for node in services(graph).values():
        assert node["variables"]["TRUSTED_PROXY"]["value"] == "on"


def test_the_cli_may_hand_over_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLEBOT_REPOSITORY", "somebody/enablebot")
    given = evaluate({"command": "plan", "environment": "production"}).to_graph()
    assert given == evaluate(None).to_graph()
    assert services(given)["web"]["source"]["repo"] == "somebody/enablebot"


@pytest.mark.parametrize("repository", ["", "enablebot"])
def test_a_project_without_its_repository_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, repository: str
) -> None:
    monkeypatch.setenv("ENABLEBOT_REPOSITORY", repository)
    with pytest.raises(SystemExit, match="Set ENABLEBOT_REPOSITORY"):
        evaluate()


def test_railpack_and_the_project_agree_on_python() -> None:
    version = (ROOT / ".python-version").read_text().strip()
    assert (ROOT / "runtime.txt").read_text().strip() == f"python-{version}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert version in project["project"]["requires-python"]
    assert project["tool"]["mypy"]["python_version"] == version


def test_nothing_makes_railway_build_with_docker_unasked() -> None:
    assert not (ROOT / "Dockerfile").exists(), "Railway builds with a file of that name whatever the builder says"
