"""A household as on a plain server: nginx in front of two api instances and one web."""

import os
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest

from enablebot.local.children import Child
from enablebot.local.household import Household
from enablebot.local.ports import free_port
from enablebot.tests.deploy.nginx import render
from enablebot.tests.house import USUAL, Plan, Play, run


class Run(Protocol):
    """Runs a play in a house whose every address is nginx's."""

    def __call__(self, play: Play, plan: Plan = ..., /) -> Coroutine[Any, Any, None]: ...


@pytest.fixture
def behind_nginx(services_url: str, admin_url: str, tmp_path: Path) -> Run:
    """Run a play in a house behind nginx; the instances are `api-8001` and `api-8011`."""

    def running(play: Play, plan: Plan = USUAL, /) -> Coroutine[Any, Any, None]:
        return run(
            play,
            plan=replace(plan, apis=1, has_web=True, environ={**plan.environ, "TRUSTED_PROXY": "on"}),
            services_url=services_url,
            admin_url=admin_url,
            data_dir=tmp_path / "data",
            rearrange=partial(put_nginx_in_front, prefix=tmp_path / "nginx"),
        )

    return running


def put_nginx_in_front(household: Household, *, prefix: Path) -> Household:
    """Move the services to ports of their own, double the api, and let nginx have the addresses they had."""
    sandbox, api, web = household.children
    fronts = {child.name: int(child.environ[f"{child.name.upper()}_PORT"]) for child in (api, web)}
    instances = {8001: free_port(), 8011: free_port(), 8000: free_port()}

    def moved(child: Child, *, name: str, wanted: int, variable: str) -> Child:
        port = str(instances[wanted])
        return replace(
            child,
            name=name,
            ready_url=f"http://127.0.0.1:{port}/ready",
            environ=dict(child.environ) | {variable: port},
        )

    nginx = render(prefix, api_front=fronts["api"], web_front=fronts["web"], instances=instances)
    return replace(
        household,
        children=(
            sandbox,
            moved(api, name="api-8001", wanted=8001, variable="API_PORT"),
            moved(api, name="api-8011", wanted=8011, variable="API_PORT"),
            moved(web, name="web", wanted=8000, variable="WEB_PORT"),
            Child("nginx", nginx.argv, f"http://127.0.0.1:{fronts['api']}/ready", os.environ),
        ),
    )
