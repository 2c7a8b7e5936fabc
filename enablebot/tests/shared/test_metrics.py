import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.testclient import TestClient

from enablebot.shared.http import protect
from enablebot.shared.metrics import Metrics, metrics_endpoint

TOKEN = SecretStr("h7Gk2pQ9h7Gk2pQ9")


def client(*, token: SecretStr | None, is_production: bool, metrics: Metrics | None = None) -> TestClient:
    app = FastAPI()
    app.add_route("/metrics", metrics_endpoint(metrics or Metrics(), token=token, is_production=is_production))
    protect(app, public_url="https://api.enablebot.example", has_pages=False)
    return TestClient(app)


def test_what_is_counted_can_be_read() -> None:
    metrics = Metrics()
    metrics.events_received.labels("accepted").inc(3)
    metrics.slack_calls.labels(method="chat.postMessage", outcome="ok").inc()
    metrics.ack_seconds.observe(0.004)
    metrics.inbox_depth.labels("ready").set(7)
    text = client(token=None, is_production=False, metrics=metrics).get("/metrics").text
    assert 'enablebot_events_received_total{verdict="accepted"} 3.0' in text
    assert 'enablebot_slack_calls_total{method="chat.postMessage",outcome="ok"} 1.0' in text
    assert 'enablebot_ack_seconds_bucket{le="0.005"} 1.0' in text
    assert 'enablebot_inbox_depth{state="ready"} 7.0' in text


def test_two_apps_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.replies_ambiguous.inc()
    assert b"enablebot_replies_ambiguous_total 1.0" in one.render()
    assert b"enablebot_replies_ambiguous_total 0.0" in other.render()


@pytest.mark.parametrize("sent", [None, f"Bearer {TOKEN.get_secret_value()}"])
def test_production_shows_nothing_without_a_token_in_the_settings(sent: str | None) -> None:
    answer = client(token=None, is_production=True).get("/metrics", headers={"Authorization": sent} if sent else {})
    assert answer.status_code == 404
    assert "enablebot_" not in answer.text


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        TOKEN.get_secret_value(),
        f"bearer {TOKEN.get_secret_value()}",
        f"Bearer {TOKEN.get_secret_value()}x",
        f"Basic {TOKEN.get_secret_value()}",
        "Bearer ÿ",
    ],
)
@pytest.mark.parametrize("is_production", [True, False])
def test_a_wrong_token_sees_nothing(sent: str | None, is_production: bool) -> None:
    headers = {} if sent is None else {b"authorization": sent.encode("latin-1")}
    answer = client(token=TOKEN, is_production=is_production).get("/metrics", headers=headers)
    assert answer.status_code == 401
    assert "enablebot_" not in answer.text
    assert TOKEN.get_secret_value() not in answer.text


def test_the_right_token_sees_the_figures() -> None:
    answer = client(token=TOKEN, is_production=True).get(
        "/metrics", headers={"Authorization": f"Bearer {TOKEN.get_secret_value()}"}
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "enablebot_answers" in answer.text


def test_no_label_can_carry_a_workspace_or_a_person() -> None:
    labels = {name for collector in Metrics().__dict__.values() for name in getattr(collector, "_labelnames", ())}
    assert labels == {"verdict", "outcome", "state", "method"}
