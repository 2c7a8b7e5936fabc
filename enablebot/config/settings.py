"""The environment, read once: typed, frozen, and refused as a whole when anything in it is wrong."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

from pydantic import BaseModel, ConfigDict, SecretStr

from enablebot.config.development import development_secrets
from enablebot.config.envfile import read_env_file
from enablebot.config.reading import Reader
from enablebot.config.reference import SETTINGS_REFERENCE as SETTINGS_REFERENCE
from enablebot.config.reference import Service
from enablebot.shared.encryption.keyring import Keyring
from enablebot.shared.errors import SettingsError

Environment = Literal["development", "production", "test"]
LogFormat = Literal["auto", "text", "json"]
SLACK_BASE_URL = "https://slack.com"

_OPERATOR = re.compile(r"[TE][A-Z0-9]+/[UW][A-Z0-9]+", re.ASCII)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class DatabaseSettings(_Frozen):
    """Where the database is; with none of the addresses, development embeds one under `data_dir`."""

    url: SecretStr | None = None
    admin_url: SecretStr | None = None
    supabase_url: str | None = None
    supabase_service_key: SecretStr | None = None
    data_dir: Path = Path(".enablebot")
    pool_size: int = 10


class EncryptionSettings(_Frozen):
    """Master keys, in the form Keyring.parse reads."""

    keys: SecretStr | None = None


class SessionSettings(_Frozen):
    """What protects the dashboard's cookies."""

    secret: SecretStr | None = None


class SlackSettings(_Frozen):
    """The Slack app's credentials, and where Slack is."""

    client_id: str | None = None
    client_secret: SecretStr | None = None
    signing_secrets: tuple[SecretStr, ...] = ()
    base_url: str = SLACK_BASE_URL
    app_token: SecretStr | None = None

    @property
    def names_app(self) -> bool:
        """Whether these are a Slack app's credentials; with Socket Mode its app-level token is enough."""
        return self.app_token is not None or bool(self.client_id and self.client_secret and self.signing_secrets)

    @property
    def api_url(self) -> str:
        """Where the Web API's methods live."""
        return f"{self.base_url}/api/"


class ModelSettings(_Frozen):
    """The language model that answers."""

    api_key: SecretStr | None = None
    base_url: str | None = None
    name: str = "gpt-6-luna"
    effort: str = "none"
    embedding_model: str | None = None
    embedding_dir: Path | None = None
    deadline_seconds: float = 60


class HttpSettings(_Frozen):
    """Where the two services listen, and where others reach them."""

    api_host: str = "localhost"
    api_port: int = 8001
    web_host: str = "localhost"
    web_port: int = 8000
    api_public_url: str = "http://localhost:8001"
    web_public_url: str = "http://localhost:8000"
    trusted_proxy: bool = False


class AccessSettings(_Frozen):
    """Who may see what lies outside a workspace."""

    operators: frozenset[str] = frozenset()
    metrics_token: SecretStr | None = None
    openapi_public: bool = False


class LoggingSettings(_Frozen):
    """How the log looks."""

    format: LogFormat = "auto"
    level: str = "INFO"


class WorkerSettings(_Frozen):
    """How much one process takes on, and for how long it holds it."""

    lease_seconds: int = 20
    concurrency: int = 32
    tenant_concurrency: int = 8
    documents: int = 2
    time_scale: float = 1.0
    drain_seconds: float = 20


class ReaderSettings(_Frozen):
    """Whether strangers' files may be read behind limits alone, where the system has no walls to offer."""

    without_walls: bool = False


class KnowledgeSettings(_Frozen):
    """How much one workspace may give to be known."""

    most_documents: int = 10_000
    most_megabytes: int = 5000

    @property
    def most_bytes(self) -> int:
        """The same in bytes."""
        return self.most_megabytes * 1024 * 1024


class Settings(_Frozen):
    """Everything the environment decides."""

    environment: Environment
    database: DatabaseSettings = DatabaseSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    session: SessionSettings = SessionSettings()
    slack: SlackSettings = SlackSettings()
    model: ModelSettings = ModelSettings()
    http: HttpSettings = HttpSettings()
    access: AccessSettings = AccessSettings()
    logging: LoggingSettings = LoggingSettings()
    worker: WorkerSettings = WorkerSettings()
    reader: ReaderSettings = ReaderSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()

    @property
    def is_production(self) -> bool:
        """Whether defaults, http and missing secrets are refused."""
        return self.environment == "production"

    def secret_values(self) -> frozenset[str]:
        """Every secret in here, for the log to mask wherever one turns up."""
        held = (
            getattr(section, name)
            for _, section in self
            if isinstance(section, _Frozen)
            for name in section.model_fields_set
        )
        listed = (value if isinstance(value, tuple) else (value,) for value in held)
        secrets = {secret.get_secret_value() for values in listed for secret in values if isinstance(secret, SecretStr)}
        keys = self.encryption.keys.get_secret_value().split(",") if self.encryption.keys else []
        return frozenset(secrets | {key.strip().partition(":")[2] for key in keys})


def load_settings(
    *,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = Path(".env"),
    service: Service = "cli",
) -> Settings:
    """Read the environment, in development over `.env`; SettingsError names every fault at once, never a value.

    `service` decides which settings production insists on, and whose port `PORT` is.
    In development, missing ENCRYPTION_KEYS and SESSION_SECRET are made once and kept in the data directory.
    """
    values = dict(os.environ if environ is None else environ)
    file_faults = _add_env_file(values, env_file)
    is_production = values.get("ENVIRONMENT", "").strip().lower() == "production"
    is_development = values.get("ENVIRONMENT", "").strip().lower() in {"", "development"}
    reader = Reader(values, production=is_production, service=service)
    reader.faults += file_faults
    settings = Settings(
        environment=cast("Environment", reader.choice("ENVIRONMENT", "development", "production", "test")),
        logging=LoggingSettings(
            format=cast("LogFormat", reader.choice("LOG_FORMAT", "auto", "text", "json")),
            level=reader.choice("LOG_LEVEL", *_LEVELS),
        ),
        database=_database(reader, is_production),
        encryption=EncryptionSettings(keys=_encryption_keys(reader)),
        session=SessionSettings(secret=reader.secret("SESSION_SECRET", shortest=32)),
        slack=_slack(reader, is_production),
        model=ModelSettings(
            api_key=reader.secret("OPENAI_API_KEY"),
            base_url=reader.address("OPENAI_BASE_URL"),
            name=reader.text("OPENAI_MODEL"),
            effort=reader.choice("OPENAI_EFFORT", *_EFFORTS),
            embedding_model=reader.given("OPENAI_EMBEDDING_MODEL"),
            embedding_dir=_embedding_dir(reader),
            deadline_seconds=reader.number("OPENAI_DEADLINE_SECONDS", smallest=1, largest=600),
        ),
        http=_http(reader, service),
        access=AccessSettings(
            operators=_operators(reader),
            metrics_token=reader.secret("METRICS_TOKEN", shortest=16),
            openapi_public=reader.flag("OPENAPI_PUBLIC"),
        ),
        worker=WorkerSettings(
            lease_seconds=reader.integer("WORKER_LEASE_SECONDS", smallest=1, largest=3600),
            concurrency=reader.integer("WORKER_CONCURRENCY", smallest=1, largest=1000),
            tenant_concurrency=reader.integer("WORKER_TENANT_CONCURRENCY", smallest=1, largest=1000),
            documents=reader.integer("WORKER_DOCUMENTS", smallest=0, largest=100),
            time_scale=reader.number("WORKER_TIME_SCALE", smallest=0.001, largest=1),
            drain_seconds=reader.number("DRAIN_SECONDS", smallest=1, largest=600),
        ),
        reader=ReaderSettings(without_walls=reader.flag("READER_WITHOUT_WALLS") or is_development),
        knowledge=KnowledgeSettings(
            most_documents=reader.integer("KNOWLEDGE_MOST_DOCUMENTS", smallest=1, largest=1_000_000),
            most_megabytes=reader.integer("KNOWLEDGE_MOST_MEGABYTES", smallest=1, largest=1_000_000),
        ),
    )
    if is_production and settings.logging.level == "DEBUG" and reader.given("LOG_LEVEL"):
        reader.fault("LOG_LEVEL", "may not be DEBUG in production")
    if is_production and settings.worker.time_scale != 1 and reader.given("WORKER_TIME_SCALE"):
        reader.fault("WORKER_TIME_SCALE", "may not be changed in production")
    if reader.faults:
        raise SettingsError(dict.fromkeys(reader.faults))
    return _with_development_secrets(settings)


def _add_env_file(values: dict[str, str], env_file: Path | None) -> list[str]:
    """Fill in from `.env` what the process environment does not say, if this is development."""
    named = values.get("ENVIRONMENT", "").strip().lower()
    if env_file is None or named not in {"", "development"} or not env_file.is_file():
        return []
    try:
        found = read_env_file(env_file)
    except (OSError, UnicodeDecodeError):
        return [f"{env_file} cannot be read. Make it a UTF-8 text file that this process may read."]
    faults = [f"{env_file} line {number} is not NAME=value. Correct it." for number in found.unreadable_lines]
    if not named and found.values.get("ENVIRONMENT", "").strip().lower() not in {"", "development"}:
        faults.append(
            f"ENVIRONMENT in {env_file} has no effect, as that file is read in development only. "
            "Set it in the environment of the process."
        )
    for name, value in found.values.items():
        if name != "ENVIRONMENT" and not values.get(name, "").strip():
            values[name] = value
    return faults


def _database(reader: Reader, is_production: bool) -> DatabaseSettings:
    settings = DatabaseSettings(
        data_dir=reader.directory("ENABLEBOT_DATA_DIR"),
        url=reader.postgres("DATABASE_URL"),
        admin_url=reader.postgres("DATABASE_ADMIN_URL"),
        pool_size=reader.integer("DATABASE_POOL_SIZE", smallest=1, largest=500),
        supabase_url=reader.origin("SUPABASE_URL") or None,
        supabase_service_key=reader.secret("SUPABASE_SERVICE_KEY"),
    )
    if not reader.given("DATABASE_URL"):
        has_url, has_key = bool(reader.given("SUPABASE_URL")), bool(reader.given("SUPABASE_SERVICE_KEY"))
        if has_url and not has_key:
            reader.fault("SUPABASE_SERVICE_KEY", "is missing, SUPABASE_URL needs it")
        elif has_key and not has_url:
            reader.fault("SUPABASE_URL", "is missing, SUPABASE_SERVICE_KEY needs it")
        elif is_production and not has_url:
            reader.fault("DATABASE_URL", "is missing")
    return settings


def _encryption_keys(reader: Reader) -> SecretStr | None:
    keys = reader.secret("ENCRYPTION_KEYS")
    if keys is not None:
        try:
            Keyring.parse(keys.get_secret_value())
        except SettingsError as error:
            reader.faults += error.faults
    return keys


def _slack(reader: Reader, is_production: bool) -> SlackSettings:
    signing = reader.given("SLACK_SIGNING_SECRET")
    secrets = [] if signing is None else [secret.strip() for secret in signing.split(",")]
    if not all(secrets):
        reader.fault("SLACK_SIGNING_SECRET", "lists a blank secret between its commas")
    base_url = reader.origin("SLACK_BASE_URL")
    if is_production and base_url != SLACK_BASE_URL:
        reader.fault("SLACK_BASE_URL", "must be Slack's own address in production")
    app_token = reader.secret("SLACK_APP_TOKEN")
    if is_production and app_token is not None:
        reader.fault("SLACK_APP_TOKEN", "is for development")
    elif app_token is not None and not app_token.get_secret_value().startswith("xapp-"):
        reader.fault("SLACK_APP_TOKEN", "is not an app-level token, which starts with xapp-")
    return SlackSettings(
        client_id=reader.given("SLACK_CLIENT_ID"),
        client_secret=reader.secret("SLACK_CLIENT_SECRET"),
        signing_secrets=tuple(SecretStr(secret) for secret in secrets if secret),
        base_url=base_url,
        app_token=app_token,
    )


def _http(reader: Reader, service: Service) -> HttpSettings:
    ports = {
        "api": reader.integer("API_PORT", smallest=0, largest=65535),
        "web": reader.integer("WEB_PORT", smallest=0, largest=65535),
    }
    if reader.given("PORT") is not None:
        port = reader.integer("PORT", smallest=0, largest=65535)
        if service in ports:
            ports[service] = port
    return HttpSettings(
        api_host=reader.host("API_HOST"),
        api_port=ports["api"],
        web_host=reader.host("WEB_HOST"),
        web_port=ports["web"],
        api_public_url=reader.origin("API_PUBLIC_URL", default=f"http://localhost:{ports['api'] or 8001}"),
        web_public_url=reader.origin("WEB_PUBLIC_URL", default=f"http://localhost:{ports['web'] or 8000}"),
        trusted_proxy=reader.flag("TRUSTED_PROXY"),
    )


def _embedding_dir(reader: Reader) -> Path | None:
    return None if reader.given("EMBEDDING_MODEL_DIR") is None else reader.directory("EMBEDDING_MODEL_DIR")


def _operators(reader: Reader) -> frozenset[str]:
    listed = frozenset(filter(None, map(str.strip, (reader.given("OPERATOR_SLACK_USERS") or "").split(","))))
    if not all(_OPERATOR.fullmatch(user) for user in listed):
        reader.fault("OPERATOR_SLACK_USERS", "is not a list of team/user")
    return listed


def _with_development_secrets(settings: Settings) -> Settings:
    missing = settings.encryption.keys is None or settings.session.secret is None
    if settings.environment != "development" or not missing:
        return settings
    made = development_secrets(settings.database.data_dir)
    return settings.model_copy(
        update={
            "encryption": EncryptionSettings(keys=settings.encryption.keys or SecretStr(made["ENCRYPTION_KEYS"])),
            "session": SessionSettings(secret=settings.session.secret or SecretStr(made["SESSION_SECRET"])),
        }
    )
