"""What the process counts, in a registry of its own, and the door through which it is read."""

from collections.abc import Awaitable, Callable
from hmac import compare_digest

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from enablebot.shared.errors import NotFound, Unauthorized

# Slack wants its answer within 3 s; these buckets show the way there.
_ACK_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_ANSWER_SECONDS = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 60.0)
_READING_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 300.0)
# From a wake-up to the age at which a question gets an apology instead.
_WAIT_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)


class Metrics:
    """Every figure of the process. Labels are closed sets: never a workspace, a person or a text."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self.events_received = Counter(
            "enablebot_events_received", "Requests from Slack, by what became of them.", ["verdict"], registry=registry
        )
        self.events_settled = Counter(
            "enablebot_events_settled", "Events the worker finished with.", ["outcome"], registry=registry
        )
        self.events_set_aside = Counter(
            "enablebot_events_set_aside",
            "Events given up and kept, to be looked at and replayed.",
            registry=registry,
        )
        self.events_running = Gauge(
            "enablebot_events_running", "Events whose handler runs in this process.", registry=registry
        )
        self.event_wait_seconds = Histogram(
            "enablebot_event_wait_seconds",
            "From an event's acceptance to its first claim, by the database's clock.",
            buckets=_WAIT_SECONDS,
            registry=registry,
        )
        self.claims_lost = Counter(
            "enablebot_claims_lost",
            "Handlers stopped because their event was no longer theirs: taken over, dropped, or the lease ran out.",
            registry=registry,
        )
        self.claim_failures = Counter(
            "enablebot_claim_failures", "Looks into the inbox that the database did not answer.", registry=registry
        )
        self.workspaces_paused = Counter(
            "enablebot_workspaces_paused", "Workspaces whose token Slack called dead.", registry=registry
        )
        self.slack_outage = Gauge(
            "enablebot_slack_outage",
            "1 while Slack answers nobody and questions wait for it, else 0.",
            registry=registry,
        )
        self.clock_skew_seconds = Gauge(
            "enablebot_clock_skew_seconds",
            "How far this machine's clock is ahead of the database's.",
            registry=registry,
        )
        self.ack_seconds = Histogram(
            "enablebot_ack_seconds",
            "From the request of Slack to our acknowledgement.",
            buckets=_ACK_SECONDS,
            registry=registry,
        )
        self.socket_connections = Gauge(
            "enablebot_socket_connections", "Socket Mode connections that Slack has greeted.", registry=registry
        )
        self.socket_endings = Counter(
            "enablebot_socket_endings",
            "Socket Mode connections, by how they ended or why they never began.",
            ["outcome"],
            registry=registry,
        )
        self.inbox_depth = Gauge("enablebot_inbox_depth", "Events in the inbox.", ["state"], registry=registry)
        self.inbox_oldest_seconds = Gauge(
            "enablebot_inbox_oldest_seconds", "Age of the oldest event that waits.", registry=registry
        )
        self.answers = Counter("enablebot_answers", "Questions answered, or not.", ["outcome"], registry=registry)
        self.answer_seconds = Histogram(
            "enablebot_answer_seconds",
            "From the question's arrival to the whole answer in Slack.",
            buckets=_ANSWER_SECONDS,
            registry=registry,
        )
        self.slack_calls = Counter(
            "enablebot_slack_calls", "Calls of Slack's Web API.", ["method", "outcome"], registry=registry
        )
        self.model_calls = Counter(
            "enablebot_model_calls", "Calls of the language model.", ["outcome"], registry=registry
        )
        self.replies_ambiguous = Counter(
            "enablebot_replies_ambiguous", "Replies of which nobody knows whether they arrived.", registry=registry
        )
        self.database_login_strength = Gauge(
            "enablebot_database_login_strength",
            "0: the login may execute our functions only. 1: it may do more than it needs.",
            registry=registry,
        )
        self.installs = Counter(
            "enablebot_installs", "Installations, by how they ended.", ["outcome"], registry=registry
        )
        self.documents = Counter(
            "enablebot_documents", "Documents read, by what became of them.", ["outcome"], registry=registry
        )
        self.documents_reading = Gauge(
            "enablebot_documents_reading", "Documents that this process is reading.", registry=registry
        )
        self.document_wait_seconds = Histogram(
            "enablebot_document_wait_seconds",
            "From a document's upload to its first claim, by the database's clock.",
            buckets=_WAIT_SECONDS,
            registry=registry,
        )
        self.document_seconds = Histogram(
            "enablebot_document_seconds",
            "From the claim of a document until it can be found.",
            buckets=_READING_SECONDS,
            registry=registry,
        )
        self.documents_depth = Gauge(
            "enablebot_documents_depth", "Documents in the inbox, of everybody.", ["state"], registry=registry
        )
        self.documents_oldest_seconds = Gauge(
            "enablebot_documents_oldest_seconds", "Age of the oldest document that is not read yet.", registry=registry
        )
        self.passages = Counter("enablebot_passages", "Passages stored.", registry=registry)
        self.embedding_calls = Counter(
            "enablebot_embedding_calls", "Calls of the embedding model for passages.", ["outcome"], registry=registry
        )
        self.passages_without_vectors = Gauge(
            "enablebot_passages_without_vectors",
            "Passages found by their words only until the embedding model has seen them.",
            registry=registry,
        )
        ProcessCollector(namespace="enablebot", registry=registry)

    def render(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)


def metrics_endpoint(
    metrics: Metrics, *, token: SecretStr | None, is_production: bool
) -> Callable[[Request], Awaitable[Response]]:
    """GET /metrics: open in development, closed in production without METRICS_TOKEN, else for its bearer."""

    async def show_metrics(request: Request) -> Response:
        if token is not None:
            expected = f"Bearer {token.get_secret_value()}".encode()
            if not compare_digest(request.headers.get("authorization", "").encode("latin-1"), expected):
                raise Unauthorized("The figures need the METRICS_TOKEN as a Bearer token.")
        elif is_production:
            raise NotFound("There is nothing at this address.")
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return show_metrics
