"""Every setting there is: what it means, what it falls back to, and what to do when it is missing."""

from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

Service = Literal["api", "web", "cli"]


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable. `required` lists the services that refuse to start in production without it."""

    group: str
    name: str
    default: str
    description: str
    secret: bool = False
    remedy: str = ""
    required: frozenset[Service] = field(default=frozenset())
    example: str = ""


_API: frozenset[Service] = frozenset({"api"})
_WEB: frozenset[Service] = frozenset({"web"})
_BOTH = _API | _WEB
_CREDENTIALS = "Copy it from your Slack app's page: Basic Information, App Credentials."

SETTINGS_REFERENCE: tuple[Variable, ...] = (
    Variable(
        "General",
        "ENVIRONMENT",
        "development",
        "`production` refuses defaults, placeholders, http and missing secrets; `test` reads no file, makes no keys.",
        remedy="Set it to development, production or test, in the environment of the process.",
    ),
    Variable(
        "General",
        "ENABLEBOT_DATA_DIR",
        ".enablebot",
        "Directory of the embedded Postgres and of the keys that development generates.",
        remedy="Name a directory that this process may write.",
    ),
    Variable("General", "LOG_FORMAT", "auto", "`text`, `json`, or `auto`: text on a terminal, JSON elsewhere."),
    Variable("General", "LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING, ERROR or CRITICAL; production refuses DEBUG."),
    Variable(
        "General",
        "DRAIN_SECONDS",
        "20",
        "Seconds between SIGTERM and the end of the process; keep it below what your platform grants.",
    ),
    Variable(
        "Database",
        "DATABASE_URL",
        "",
        "Connection string of PostgreSQL 16 to 18 with pgvector; it wins over Supabase's Data API.",
        secret=True,
        remedy="Set it to postgresql://user:secret@host:5432/name, or set SUPABASE_URL and SUPABASE_SERVICE_KEY.",
    ),
    Variable(
        "Database",
        "DATABASE_ADMIN_URL",
        "",
        "Connection string for `migrate`, when the services log in with fewer rights; DATABASE_URL otherwise.",
        secret=True,
        remedy="Set it to postgresql://owner:secret@host:5432/name, or leave it out.",
    ),
    Variable("Database", "DATABASE_POOL_SIZE", "10", "Connections each process may hold, 1 to 500."),
    Variable(
        "Database",
        "SUPABASE_URL",
        "",
        "Your project's address, for installations that have only the Data API.",
        remedy="Copy it from Supabase: Project Settings, Data API.",
    ),
    Variable(
        "Database",
        "SUPABASE_SERVICE_KEY",
        "",
        "Secret key of that project (`sb_secret_…`).",
        secret=True,
        remedy="Copy it from Supabase: Project Settings, API Keys.",
    ),
    Variable(
        "Secrets",
        "ENCRYPTION_KEYS",
        "",
        "Master keys as id:base64(32 bytes), comma-separated: the first one seals, all of them open. "
        "Keep a copy where the database is not. Generated in development.",
        secret=True,
        remedy="Make one with `python -m enablebot keys generate`.",
        required=_BOTH,
        example="sample:RW5hYmxlQm90IHNhbXBsZSBrZXk6IG5vdCBzZWNyZXQ=",
    ),
    Variable(
        "Secrets",
        "SESSION_SECRET",
        "",
        "At least 32 random characters that protect the dashboard's cookies. Generated in development.",
        secret=True,
        remedy='Make one with `python -c "import secrets; print(secrets.token_urlsafe(32))"`.',
        required=_WEB,
    ),
    Variable("Slack", "SLACK_CLIENT_ID", "", "Client ID of your Slack app.", remedy=_CREDENTIALS, required=_WEB),
    Variable(
        "Slack",
        "SLACK_CLIENT_SECRET",
        "",
        "Client Secret of your Slack app.",
        secret=True,
        remedy=_CREDENTIALS,
        required=_WEB,
    ),
    Variable(
        "Slack",
        "SLACK_SIGNING_SECRET",
        "",
        "Signing Secret of your Slack app; two, comma-separated, while you rotate it.",
        secret=True,
        remedy=_CREDENTIALS,
        required=_API,
    ),
    Variable(
        "Slack",
        "SLACK_BASE_URL",
        "https://slack.com",
        "Where Slack is; another address is for the sandbox and refused in production.",
        remedy="Leave it out to use Slack itself.",
    ),
    Variable(
        "Slack",
        "SLACK_APP_TOKEN",
        "",
        "App-level token (`xapp-…`) for Socket Mode, in development only.",
        secret=True,
        remedy="Leave it out in production, where Slack sends events to API_PUBLIC_URL.",
    ),
    Variable(
        "Language model",
        "OPENAI_API_KEY",
        "",
        "Key for OpenAI, or for the compatible server at OPENAI_BASE_URL.",
        secret=True,
        remedy="Create one at https://platform.openai.com/api-keys.",
        required=_API,
    ),
    Variable("Language model", "OPENAI_BASE_URL", "", "Address of an OpenAI-compatible server; OpenAI when left out."),
    Variable("Language model", "OPENAI_MODEL", "gpt-6-luna", "Model that answers."),
    Variable(
        "Language model",
        "OPENAI_EFFORT",
        "none",
        "Reasoning effort: none, minimal, low, medium, high, xhigh or max.",
    ),
    Variable("Language model", "OPENAI_EMBEDDING_MODEL", "", "Embedding model; search is by words alone without one."),
    Variable(
        "Language model",
        "EMBEDDING_MODEL_DIR",
        "",
        "Directory with all-MiniLM-L6-v2, an embedding model run by ourselves (the extra `minilm`); it wins over the "
        "other.",
        remedy="Name the directory that holds its model.safetensors, tokenizer.json and config.json, or leave it out.",
    ),
    Variable("Language model", "OPENAI_DEADLINE_SECONDS", "60", "Seconds the model may take for one answer, 1 to 600."),
    Variable("Network", "API_HOST", "localhost", "Address the api listens on; `::` (everywhere) in production."),
    Variable("Network", "API_PORT", "8001", "Port the api listens on."),
    Variable("Network", "WEB_HOST", "localhost", "Address the web listens on; `::` (everywhere) in production."),
    Variable("Network", "WEB_PORT", "8000", "Port the web listens on."),
    Variable("Network", "PORT", "", "Wins over API_PORT or WEB_PORT for the one service that is started with it."),
    Variable(
        "Network",
        "API_PUBLIC_URL",
        "http://localhost:8001",
        "Address at which Slack reaches the api.",
        remedy="Set it to the https address of the api, without a path.",
        required=_BOTH,
    ),
    Variable(
        "Network",
        "WEB_PUBLIC_URL",
        "http://localhost:8000",
        "Address at which people reach the web.",
        remedy="Set it to the https address of the web, without a path.",
        required=_BOTH,
    ),
    Variable(
        "Network",
        "TRUSTED_PROXY",
        "off",
        "`on` takes the caller's address from the proxy's X-Real-IP; only behind a proxy that sets it.",
    ),
    Variable(
        "Access",
        "OPERATOR_SLACK_USERS",
        "",
        "Who sees every installation: Slack users as T…/U…, comma-separated.",
        remedy="Write each one as team/user, for example T0123ABCD/U0456EFGH.",
    ),
    Variable(
        "Access",
        "METRICS_TOKEN",
        "",
        "At least 16 characters that open /metrics as a Bearer token; production closes /metrics without it.",
        secret=True,
        remedy='Make one with `python -c "import secrets; print(secrets.token_urlsafe(24))"`.',
    ),
    Variable("Access", "OPENAPI_PUBLIC", "off", "`on` shows the OpenAPI pages in production."),
    Variable(
        "Knowledge",
        "KNOWLEDGE_MOST_DOCUMENTS",
        "10000",
        "Documents one workspace may keep, 1 to 1000000.",
    ),
    Variable(
        "Knowledge",
        "KNOWLEDGE_MOST_MEGABYTES",
        "5000",
        "What the originals of one workspace's documents may weigh together, in MB, 1 to 1000000.",
    ),
    Variable(
        "Knowledge",
        "READER_WITHOUT_WALLS",
        "off",
        "`on` reads documents even where the system cannot wall the reader in (macOS), as development does.",
        remedy="Leave it out, and run on Linux; `python -m enablebot doctor` says whether the walls hold.",
    ),
    Variable(
        "Worker",
        "WORKER_LEASE_SECONDS",
        "20",
        "Seconds a worker holds an event, renewed while it works, before another may take it.",
    ),
    Variable("Worker", "WORKER_CONCURRENCY", "32", "Events one process handles side by side."),
    Variable("Worker", "WORKER_TENANT_CONCURRENCY", "8", "Of these, how many may belong to one workspace."),
    Variable(
        "Worker",
        "WORKER_DOCUMENTS",
        "2",
        "Documents one process reads side by side, beside the events; 0 leaves them to the others.",
    ),
    Variable(
        "Worker",
        "WORKER_TIME_SCALE",
        "1",
        "Shortens waits between retries, for tests and the sandbox; production accepts 1 only.",
        remedy="Leave it out in production.",
    ),
)


def settings_reference_markdown() -> str:
    """docs/reference/settings.md, word for word."""
    lines = [
        "# Settings",
        "",
        "EnableBot reads its settings from the environment, once, at the start.",
        "In development it also reads `.env`; what the environment says wins.",
        "A blank value counts as a missing one.",
        "When settings are wrong, all faults are named at once, and no value is ever printed.",
        "",
        "“Required” means: in production, the service named there does not start without it.",
        "In production every service, and every command that opens the database, "
        "also needs `DATABASE_URL`, or `SUPABASE_URL` with `SUPABASE_SERVICE_KEY`.",
    ]
    for group, variables in groupby(SETTINGS_REFERENCE, key=lambda variable: variable.group):
        lines += ["", f"## {group}", "", "| Name | Default | Required | Meaning |", "|---|---|---|---|"]
        for variable in variables:
            default = f"`{variable.default}`" if variable.default else ""
            required = ", ".join(sorted(variable.required))
            meaning = variable.description + (" Secret." if variable.secret else "")
            lines.append(f"| `{variable.name}` | {default} | {required} | {meaning} |")
    return "\n".join(lines) + "\n"


def env_example() -> str:
    """.env.example, word for word: every setting blank, which means its default."""
    lines = ["# Copy to .env for development. A blank value counts as a missing one, so its default stays."]
    for group, variables in groupby(SETTINGS_REFERENCE, key=lambda variable: variable.group):
        lines += ["", f"## {group}"]
        for variable in variables:
            default = f" Default: {variable.default}." if variable.default else ""
            lines += ["", f"# {variable.description}{default}"]
            if variable.example:
                lines.append(f"# It looks like this one, which is published and therefore refused: {variable.example}")
            lines.append(f"{variable.name}=")
    return "\n".join(lines) + "\n"
