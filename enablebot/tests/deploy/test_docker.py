"""Dockerfiles and compose.yaml, read as far as that goes without an engine."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
import yaml

from enablebot.config.reference import SETTINGS_REFERENCE
from enablebot.tests.deploy.files import ROOT, SERVER, insist_startable

KNOWN = {variable.name: variable for variable in SETTINGS_REFERENCE}
PORTS = {"api": KNOWN["API_PORT"].default, "web": KNOWN["WEB_PORT"].default}
both = pytest.mark.parametrize("service", ["api", "web"])


def instructions(service: str) -> list[tuple[str, str]]:
    """Every instruction of a Dockerfile with its arguments, in order."""
    text = (ROOT / f"Dockerfile.{service}").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def final_stage(service: str) -> list[tuple[str, str]]:
    found = instructions(service)
    last = max(place for place, (name, _) in enumerate(found) if name == "FROM")
    return found[last:]


def the(service: str, name: str) -> str:
    (found,) = [rest for each, rest in final_stage(service) if each == name]
    return found


@both
def test_every_base_is_one_release_of_one_version(service: str) -> None:
    bases = [rest.split()[0] for name, rest in instructions(service) if name == "FROM"]
    wanted = (ROOT / ".python-version").read_text().strip()
    assert len(bases) == 2
    for base in bases:
        assert re.fullmatch(rf"python:{re.escape(wanted)}\.\d+-slim-[a-z]+", base), base


@both
def test_commands_are_in_exec_form_so_that_sigterm_reaches_python(service: str) -> None:
    for name, rest in instructions(service):
        if name in {"RUN", "CMD", "ENTRYPOINT"}:
            assert all(isinstance(word, str) for word in json.loads(rest)), rest
    insist_startable(json.loads(the(service, "CMD")))
    assert json.loads(the(service, "CMD"))[-1] == f"enablebot.scripts.start_{service}"
    assert the(service, "STOPSIGNAL") == "SIGTERM"


@both
def test_it_runs_as_nobody_in_particular(service: str) -> None:
    names = [name for name, _ in final_stage(service)]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", the(service, "USER"))
    assert names.index("USER") > max(place for place, name in enumerate(names) if name in {"RUN", "COPY"})


@both
def test_docker_asks_the_port_it_exposes_whether_the_service_is_alive(service: str) -> None:
    options, _, command = the(service, "HEALTHCHECK").partition("CMD ")
    asked = json.loads(command)
    insist_startable(asked)
    assert asked[-1] == the(service, "EXPOSE") == PORTS[service]
    assert "--start-period=" in options


@both
def test_only_what_is_pinned_by_hash_is_installed(service: str) -> None:
    installs = [json.loads(rest) for name, rest in instructions(service) if name == "RUN" and "install" in rest]
    (install,) = installs
    assert {"--require-hashes", "--no-deps"} <= set(install)
    assert ("--only-binary", ":all:") in pairwise(install)


@both
def test_what_is_copied_is_sent_to_the_builder_and_no_secret_is(service: str) -> None:
    sent = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert sent[0] == "*"
    allowed = {line.removeprefix("!") for line in sent if line.startswith("!")}
    copied = {rest.split()[0] for name, rest in instructions(service) if name == "COPY" and "--from" not in rest}
    assert copied == allowed
    assert all((ROOT / each).exists() for each in copied)
    secrets = {variable.name for variable in SETTINGS_REFERENCE if variable.secret}
    assert not [rest for name, rest in instructions(service) if name in {"ENV", "ARG"} and secrets & set(rest.split())]


# --- compose.yaml


@pytest.fixture
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def test_every_image_of_others_is_one_release(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).exists()
        else:
            assert re.search(r":\d+\.\d+", service["image"]), f"{name}: {service['image']}"


def test_services_start_after_the_migration_and_the_migration_after_the_database(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("api", "web"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services["migrate"]["depends_on"]["db"] == {"condition": "service_healthy"}
    insist_startable(services["migrate"]["command"])
    assert services["migrate"]["restart"] == "no"


def test_every_setting_in_it_is_one_and_holds_no_secret(compose: dict[str, Any]) -> None:
    for name in ("migrate", "api", "web"):
        environment = compose["services"][name]["environment"]
        assert set(environment) <= set(KNOWN)
        assert environment["ENVIRONMENT"] == "production"
        assert environment["DATABASE_URL"].count("${POSTGRES_PASSWORD:?") == 1
    text = (ROOT / "compose.yaml").read_text()
    assert all(":?" in reference for reference in re.findall(r"\$\{[^}]*\}", text)), "a blank one would go unnoticed"


def test_only_the_proxy_is_reachable_from_outside(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert compose["networks"]["inside"]["internal"] is True
    assert services["db"]["networks"] == ["inside"]


@both
def test_a_container_may_write_nowhere_and_is_given_time_to_leave(compose: dict[str, Any], service: str) -> None:
    found = compose["services"][service]
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert float(found["stop_grace_period"].removesuffix("s")) > float(KNOWN["DRAIN_SECONDS"].default)


@both
def test_the_proxy_asks_the_port_that_the_service_listens_on(compose: dict[str, Any], service: str) -> None:
    services = compose["services"]
    assert services["proxy"]["environment"][f"{service.upper()}_INSTANCES"] == f"{service}:{PORTS[service]}"
    assert services[service]["environment"][f"{service.upper()}_PORT"] == PORTS[service]


def test_the_proxys_file_exists_and_its_names_are_all_given(compose: dict[str, Any]) -> None:
    proxy = compose["services"]["proxy"]
    mounted = next(volume for volume in proxy["volumes"] if "Caddyfile" in volume).split(":")[0]
    assert (ROOT / mounted).resolve() == SERVER / "Caddyfile"
    asked = set(re.findall(r"\{\$([A-Z_]+)", (SERVER / "Caddyfile").read_text()))
    assert asked == set(proxy["environment"])
