import stat
import subprocess
import sys
from base64 import b64encode
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enablebot.config.development import development_secrets
from enablebot.config.reference import SETTINGS_REFERENCE, Service, Variable, env_example, settings_reference_markdown
from enablebot.config.settings import Settings, load_settings
from enablebot.shared.encryption.keyring import Keyring
from enablebot.shared.errors import SettingsError

ROOT = Path(__file__).parents[3]
CANARY = "Zq7-canary-Kp2"
NAMES = tuple(variable.name for variable in SETTINGS_REFERENCE)
KEY = "k20261122:" + b64encode(bytes(range(32))).decode()

PRODUCTION: dict[str, str] = {
    "ENVIRONMENT": "production",
    "ENABLEBOT_DATA_DIR": "/var/lib/enablebot",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "WARNING",
    "DRAIN_SECONDS": "25",
    "DATABASE_URL": "postgresql://enablebot:h7Gk2pQ9@db.internal:5432/enablebot",
    "DATABASE_ADMIN_URL": "postgresql://owner:h7Gk2pQ8@db.internal:5432/enablebot",
    "DATABASE_POOL_SIZE": "20",
    "SUPABASE_URL": "https://abcdefgh.supabase.co",
    "SUPABASE_SERVICE_KEY": "sb_secret_h7Gk2pQ9h7Gk2pQ9",
    "ENCRYPTION_KEYS": KEY,
    "SESSION_SECRET": "h7Gk2pQ9h7Gk2pQ9h7Gk2pQ9h7Gk2pQ9",
    "SLACK_CLIENT_ID": "1234567890.0987654321",
    "SLACK_CLIENT_SECRET": "0123456789abcdef0123456789abcdef",
    "SLACK_SIGNING_SECRET": "fedcba9876543210fedcba9876543210,00112233445566778899aabbccddeeff",
    "SLACK_BASE_URL": "https://slack.com",
    "OPENAI_API_KEY": "sk-proj-h7Gk2pQ9h7Gk2pQ9",
    "OPENAI_BASE_URL": "https://models.internal/v1",
    "OPENAI_MODEL": "gpt-6-luna",
    "OPENAI_EFFORT": "low",
    "OPENAI_EMBEDDING_MODEL": "text-embedding-3-small",
    "EMBEDDING_MODEL_DIR": "/opt/minilm",
    "OPENAI_DEADLINE_SECONDS": "45.5",
    "API_HOST": "0.0.0.0",
    "API_PORT": "9001",
    "WEB_HOST": "::",
    "WEB_PORT": "9000",
    "PORT": "8080",
    "API_PUBLIC_URL": "https://api.enablebot.example",
    "WEB_PUBLIC_URL": "https://enablebot.example",
    "TRUSTED_PROXY": "on",
    "OPERATOR_SLACK_USERS": "T0123ABCD/U0456EFGH, T0123ABCD/U0789IJKL",
    "METRICS_TOKEN": "h7Gk2pQ9h7Gk2pQ9",
    "OPENAPI_PUBLIC": "off",
    "READER_WITHOUT_WALLS": "off",
    "KNOWLEDGE_MOST_DOCUMENTS": "200",
    "KNOWLEDGE_MOST_MEGABYTES": "300",
    "WORKER_LEASE_SECONDS": "90",
    "WORKER_CONCURRENCY": "64",
    "WORKER_TENANT_CONCURRENCY": "4",
    "WORKER_DOCUMENTS": "3",
    "WORKER_TIME_SCALE": "1",
}

REQUIRED: dict[Service, set[str]] = {
    "api": {
        "ENCRYPTION_KEYS",
        "SLACK_SIGNING_SECRET",
        "OPENAI_API_KEY",
        "API_PUBLIC_URL",
        "WEB_PUBLIC_URL",
        "DATABASE_URL",
    },
    "web": {
        "ENCRYPTION_KEYS",
        "SESSION_SECRET",
        "SLACK_CLIENT_ID",
        "SLACK_CLIENT_SECRET",
        "API_PUBLIC_URL",
        "WEB_PUBLIC_URL",
        "DATABASE_URL",
    },
    "cli": {"DATABASE_URL"},
}

# What each setting refuses, whatever the environment; a control character is refused by all of them.
WRONG: dict[str, tuple[str, ...]] = {
    "ENVIRONMENT": (CANARY,),
    "LOG_FORMAT": (CANARY,),
    "LOG_LEVEL": (CANARY, "30"),
    "DRAIN_SECONDS": (CANARY, "nan", "inf", "-1", "0", "601", "1e9"),
    "DATABASE_URL": (f"mysql://{CANARY}@host/db", CANARY, f"postgres://[{CANARY}", "postgres://"),
    "DATABASE_ADMIN_URL": (CANARY,),
    "DATABASE_POOL_SIZE": (CANARY, "0", "501", "1.5", "-1", "٣", "9" * 5000),
    "SUPABASE_URL": (CANARY, f"https://{CANARY}.co/rest/v1", f"https://user:{CANARY}@host", f"ftp://{CANARY}"),
    "ENCRYPTION_KEYS": (
        CANARY,
        f"k1:{CANARY}",
        "k1:" + b64encode(CANARY.encode()).decode(),
        "k1:" + b64encode(bytes(32)).decode(),
        f"{KEY},{KEY}",
        f"{KEY},k2:{KEY.partition(':')[2]}",
        f"{KEY},",
        next(variable.example for variable in SETTINGS_REFERENCE if variable.name == "ENCRYPTION_KEYS"),
    ),
    "SESSION_SECRET": (CANARY,),
    "SLACK_SIGNING_SECRET": (f"{CANARY},", f",{CANARY}", f"{CANARY},,{CANARY}", ","),
    "SLACK_BASE_URL": (CANARY, f"https://slack.com/{CANARY}", f"ws://{CANARY}"),
    "SLACK_APP_TOKEN": (CANARY,),
    "OPENAI_BASE_URL": (CANARY, f"https://{CANARY}:99999/", f"https:///{CANARY}"),
    "OPENAI_EFFORT": (CANARY,),
    "OPENAI_DEADLINE_SECONDS": (CANARY, "0", "601"),
    "API_HOST": (f"http://{CANARY}", f"{CANARY}/x"),
    "WEB_HOST": (f"[{CANARY}]",),
    "API_PORT": (CANARY, "65536", "-1"),
    "WEB_PORT": (CANARY, "65536"),
    "PORT": (CANARY, "65536"),
    "API_PUBLIC_URL": (CANARY, f"https://host/{CANARY}", f"https://host?{CANARY}", f"https://ho st/{CANARY}"),
    "WEB_PUBLIC_URL": (CANARY, f"javascript:{CANARY}"),
    "TRUSTED_PROXY": (CANARY, "2"),
    "OPERATOR_SLACK_USERS": (CANARY, f"T1/{CANARY}", "U1"),
    "METRICS_TOKEN": (CANARY[:15],),
    "OPENAPI_PUBLIC": (CANARY,),
    "READER_WITHOUT_WALLS": (CANARY,),
    "WORKER_LEASE_SECONDS": (CANARY, "0"),
    "WORKER_CONCURRENCY": (CANARY, "0"),
    "WORKER_TENANT_CONCURRENCY": (CANARY, "0"),
    "WORKER_DOCUMENTS": (CANARY, "-1"),
    "WORKER_TIME_SCALE": (CANARY, "0", "2"),
}

PLACEHOLDERS = (
    "changeme",
    "change-me",
    "CHANGE_ME",
    "your-value",
    "YOUR_VALUE",
    "xxx",
    "xxxxxxxx",
    "<paste here>",
    "…",
)


def production(**changes: str | None) -> dict[str, str]:
    merged = {**PRODUCTION, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def faults_of(environ: dict[str, str], service: Service = "api") -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ, env_file=None, service=service)
    assert caught.value.faults
    for fault in caught.value.faults:
        assert fault in str(caught.value)
    shown = f"{caught.value!s}{caught.value!r}{caught.value.faults!r}"
    assert CANARY not in shown
    assert b64encode(CANARY.encode()).decode() not in shown
    return caught.value.faults


def names_in(faults: tuple[str, ...]) -> set[str]:
    return {fault.replace(":", " ").split(" ")[0] for fault in faults}


def test_the_table_below_covers_every_setting() -> None:
    assert {"SLACK_APP_TOKEN"} == set(NAMES) - set(PRODUCTION)
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("service", ["api", "web", "cli"])
def test_a_complete_production_environment_is_accepted(service: Service) -> None:
    loaded = load_settings(environ=PRODUCTION, env_file=None, service=service)
    assert loaded.is_production
    assert loaded.access.operators == {"T0123ABCD/U0456EFGH", "T0123ABCD/U0789IJKL"}
    assert len(loaded.slack.signing_secrets) == 2
    assert loaded.slack.api_url == "https://slack.com/api/"
    assert loaded.model.deadline_seconds == 45.5
    assert loaded.http.trusted_proxy is True
    assert loaded.access.openapi_public is False


@pytest.mark.parametrize("blank", [None, "", "   "], ids=["missing", "empty", "blank"])
@pytest.mark.parametrize("service", ["api", "web", "cli"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "ENVIRONMENT"])
def test_a_missing_setting_stops_production_exactly_when_it_is_required(
    name: str, service: Service, blank: str | None
) -> None:
    environ = production(**{"SUPABASE_URL": None, "SUPABASE_SERVICE_KEY": None, name: blank})
    if name in REQUIRED[service]:
        faults = faults_of(environ, service)
        assert names_in(faults) == {name}
        assert len(faults) == 1
        assert "is missing" in faults[0]
        assert len(faults[0]) > len(f"{name} is missing. "), "the remedy is missing"
    else:
        load_settings(environ=environ, env_file=None, service=service)


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
@pytest.mark.parametrize("name", NAMES)
def test_production_refuses_a_placeholder_in_any_setting(name: str, placeholder: str) -> None:
    faults = faults_of(production(**{name: placeholder}))
    assert name in names_in(faults)
    assert f"{name} still holds a placeholder." in " ".join(faults) or name == "ENVIRONMENT"


@pytest.mark.parametrize("weak", ["secret", "password123", "test", "a" * 40, "0" * 40])
@pytest.mark.parametrize("name", [variable.name for variable in SETTINGS_REFERENCE if variable.secret])
def test_production_refuses_a_weak_secret(name: str, weak: str) -> None:
    assert name in names_in(faults_of(production(**{name: weak})))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
@pytest.mark.parametrize("environment", ["production", "test"])
def test_a_wrong_value_is_named_and_not_shown(name: str, value: str, environment: str) -> None:
    faults = faults_of({**PRODUCTION, "ENVIRONMENT": environment, name: value})
    assert names_in(faults) == {name}
    assert not any(value in fault for fault in faults if len(value) > 8)


@pytest.mark.parametrize("broken", [f"{CANARY}\nX=1", f"{CANARY}\x00", f"{CANARY}\udcff", f"{CANARY}\x1b[2J"])
@pytest.mark.parametrize("name", NAMES)
def test_characters_that_are_not_text_are_refused_in_any_setting(name: str, broken: str) -> None:
    assert names_in(faults_of(production(**{name: broken}))) >= {name}


@pytest.mark.parametrize(
    "name", ["SUPABASE_URL", "SLACK_BASE_URL", "OPENAI_BASE_URL", "API_PUBLIC_URL", "WEB_PUBLIC_URL"]
)
def test_production_refuses_http(name: str) -> None:
    secure = PRODUCTION[name]
    faults = faults_of(production(**{name: secure.replace("https://", "http://")}))
    assert names_in(faults) == {name}
    assert "https" in faults[0]


@pytest.mark.parametrize(
    "url", ["https://localhost:8001", "https://127.0.0.1", "https://[::1]:8001", "https://api.localhost"]
)
def test_production_refuses_public_addresses_that_lead_nowhere(url: str) -> None:
    assert names_in(faults_of(production(API_PUBLIC_URL=url, WEB_PUBLIC_URL=url))) == {
        "API_PUBLIC_URL",
        "WEB_PUBLIC_URL",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "DEBUG"),
        ("LOG_LEVEL", "debug"),
        ("SLACK_BASE_URL", "https://slack.example.org"),
        ("SLACK_BASE_URL", "https://slack.com.evil.example"),
        ("SLACK_APP_TOKEN", "xapp-1-A0123-456-abcdef"),
        ("WORKER_TIME_SCALE", "0.01"),
    ],
)
def test_production_refuses_what_is_for_development(name: str, value: str) -> None:
    assert names_in(faults_of(production(**{name: value}))) == {name}
    load_settings(environ=production(ENVIRONMENT="test", **{name: value}), env_file=None)


def test_all_faults_are_named_at_once() -> None:
    broken = {name: f"{CANARY}\x07" for name in NAMES if name != "ENVIRONMENT"}
    assert names_in(faults_of({**broken, "ENVIRONMENT": "production"})) == set(NAMES) - {"ENVIRONMENT"}


def test_half_of_a_supabase_pair_is_refused_everywhere() -> None:
    bare = {"ENVIRONMENT": "test"}
    assert names_in(faults_of({**bare, "SUPABASE_URL": "https://a.supabase.co"})) == {"SUPABASE_SERVICE_KEY"}
    assert names_in(faults_of({**bare, "SUPABASE_SERVICE_KEY": "sb_secret_abcdefgh"})) == {"SUPABASE_URL"}


def test_supabase_alone_is_a_database() -> None:
    loaded = load_settings(environ=production(DATABASE_URL=None), env_file=None, service="api")
    assert loaded.database.url is None
    assert loaded.database.supabase_url == "https://abcdefgh.supabase.co"


# No commas: before one, and behind it, ENCRYPTION_KEYS holds the ids that its faults may name.
@given(name=st.sampled_from(NAMES), value=st.text(st.characters(exclude_characters=","), max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_settings_or_faults_and_nothing_else(name: str, value: str) -> None:
    environ = {**PRODUCTION, name: f"{value}{CANARY}"}
    try:
        load_settings(environ=environ, env_file=None, service="api")
    except SettingsError as error:
        assert CANARY not in str(error)  # noqa: PT017 - most inputs raise nothing


@pytest.mark.parametrize(
    ("service", "api_port", "web_port"), [("api", 8080, 9000), ("web", 9001, 8080), ("cli", 9001, 9000)]
)
def test_port_wins_for_the_service_it_was_given_to(service: Service, api_port: int, web_port: int) -> None:
    http = load_settings(environ=PRODUCTION, env_file=None, service=service).http
    assert (http.api_port, http.web_port) == (api_port, web_port)


def test_without_anything_test_gets_defaults_and_no_secrets(tmp_path: Path) -> None:
    loaded = load_settings(environ={"ENVIRONMENT": "test", "ENABLEBOT_DATA_DIR": str(tmp_path / "d")}, env_file=None)
    assert loaded == Settings(environment="test", database=loaded.database)
    assert loaded.encryption.keys is None
    assert not (tmp_path / "d").exists()


def test_public_addresses_follow_the_ports_in_development(tmp_path: Path) -> None:
    environ = {"ENABLEBOT_DATA_DIR": str(tmp_path), "API_PORT": "18001", "WEB_PORT": "18000"}
    http = load_settings(environ=environ, env_file=None).http
    assert (http.api_public_url, http.web_public_url) == ("http://localhost:18001", "http://localhost:18000")


def test_production_listens_everywhere_and_development_on_this_machine(tmp_path: Path) -> None:
    bare = production(API_HOST=None, WEB_HOST=None)
    assert load_settings(environ=bare, env_file=None).http.api_host == "::"
    assert load_settings(environ={"ENABLEBOT_DATA_DIR": str(tmp_path)}, env_file=None).http.web_host == "localhost"


def test_no_secret_shows_when_settings_are_printed() -> None:
    loaded = load_settings(environ=PRODUCTION, env_file=None, service="api")
    shown = f"{loaded!r}{loaded!s}{loaded.model_dump_json()}{loaded.model_dump()!r}"
    for variable in SETTINGS_REFERENCE:
        if variable.secret and variable.name in PRODUCTION:
            for part in PRODUCTION[variable.name].split(","):
                assert part not in shown


def test_the_log_can_be_told_every_secret_to_mask() -> None:
    held = load_settings(environ=PRODUCTION, env_file=None, service="api").secret_values()
    for variable in SETTINGS_REFERENCE:
        if variable.secret and variable.name in PRODUCTION:
            assert PRODUCTION[variable.name] in held or set(PRODUCTION[variable.name].split(",")) <= held
    assert KEY.partition(":")[2] in held
    assert PRODUCTION["SLACK_CLIENT_ID"] not in held


def test_settings_cannot_be_changed() -> None:
    loaded = load_settings(environ=PRODUCTION, env_file=None)
    with pytest.raises(ValueError, match="frozen"):
        loaded.environment = "test"  # type: ignore[misc]


# .env


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_development_reads_the_file_and_the_process_environment_wins(env_file: Path, tmp_path: Path) -> None:
    env_file.write_text(
        "# a comment\n\n"
        'export OPENAI_MODEL="from \\"file\\""\n'
        "OPENAI_EMBEDDING_MODEL='single # quoted'\n"
        "API_PORT=7001 # why\n"
        "WEB_PORT=7000\n"
        "SLACK_CLIENT_ID=one#not-a-comment\n"
        "SLACK_CLIENT_SECRET= # nothing yet\n"
        f"ENABLEBOT_DATA_DIR={tmp_path}\n",
        encoding="utf-8-sig",
    )
    loaded = load_settings(environ={"WEB_PORT": "7999", "OPENAI_MODEL": "  "}, env_file=env_file)
    assert loaded.model.name == 'from "file"'
    assert loaded.model.embedding_model == "single # quoted"
    assert (loaded.http.api_port, loaded.http.web_port) == (7001, 7999)
    assert loaded.slack.client_id == "one#not-a-comment"
    assert loaded.slack.client_secret is None


@pytest.mark.parametrize("environment", ["production", "test"])
def test_the_file_is_read_in_development_only(env_file: Path, environment: str) -> None:
    env_file.write_text("OPENAI_MODEL=from-file\nthis is not a setting\n")
    loaded = load_settings(environ=production(ENVIRONMENT=environment), env_file=env_file)
    assert loaded.model.name == PRODUCTION["OPENAI_MODEL"]


def test_production_named_in_the_file_is_a_fault_not_a_surprise(env_file: Path) -> None:
    env_file.write_text("ENVIRONMENT=production\n")
    with pytest.raises(SettingsError, match="read in development only"):
        load_settings(environ={}, env_file=env_file)


def test_unreadable_lines_are_named_by_number(env_file: Path) -> None:
    env_file.write_text(f"OPENAI_MODEL=x\n{CANARY} oops\nA='{CANARY}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={}, env_file=env_file)
    assert [fault.partition(" line ")[2][0] for fault in caught.value.faults] == ["2", "3"]
    assert CANARY not in str(caught.value)


def test_a_file_that_is_not_text_is_a_fault(env_file: Path) -> None:
    env_file.write_bytes(b"OPENAI_MODEL=\xff\xfe\n")
    with pytest.raises(SettingsError, match="UTF-8"):
        load_settings(environ={}, env_file=env_file)


# What development makes for itself


def test_development_secrets_are_made_once_and_only_for_the_owner(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    environ = {"ENABLEBOT_DATA_DIR": str(data_dir)}
    first, second = (load_settings(environ=environ, env_file=None) for _ in range(2))
    assert first.encryption.keys is not None
    assert first.encryption == second.encryption
    assert first.session == second.session
    Keyring.parse(first.encryption.keys.get_secret_value())
    made = data_dir / "development.env"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert [found.name for found in data_dir.iterdir()] == ["development.env"]


def test_a_secret_that_was_set_is_kept_beside_one_that_was_made(tmp_path: Path) -> None:
    environ = {"ENABLEBOT_DATA_DIR": str(tmp_path), "ENCRYPTION_KEYS": KEY}
    loaded = load_settings(environ=environ, env_file=None)
    assert loaded.encryption.keys is not None
    assert loaded.encryption.keys.get_secret_value() == KEY
    assert loaded.session.secret is not None


def test_processes_that_start_together_agree_on_one_secret(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; sys.stdin.read(1)\n"
        "from enablebot.config.development import development_secrets\n"
        "print(dict(development_secrets(Path(sys.argv[1]))))"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(6)
    ]
    outputs = set()
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"!")
        child.stdin.flush()
    for child in children:
        output, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        outputs.add(output)
    assert len(outputs) == 1
    assert [found.name for found in tmp_path.iterdir()] == ["development.env"]


def test_loose_permissions_are_tightened(tmp_path: Path) -> None:
    development_secrets(tmp_path)
    made = tmp_path / "development.env"
    made.chmod(0o644)
    development_secrets(tmp_path)
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "ENCRYPTION_KEYS=\nSESSION_SECRET=x\n", "SESSION_SECRET=x\n"])
def test_a_damaged_file_is_never_replaced(tmp_path: Path, text: str) -> None:
    made = tmp_path / "development.env"
    made.write_text(text)
    with pytest.raises(SettingsError, match="damaged"):
        development_secrets(tmp_path)
    assert made.read_text() == text


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="ENABLEBOT_DATA_DIR"):
        load_settings(environ={"ENABLEBOT_DATA_DIR": str(tmp_path / "file" / "below")}, env_file=None)


# What is written about the settings


def test_env_example_is_the_one_the_reference_gives() -> None:
    assert (ROOT / ".env.example").read_text() == env_example()


def test_env_example_names_every_setting_with_a_line_of_explanation() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = [(line.partition("=")[0], above) for above, line in pairwise(lines) if "=" in line]
    named = [(name, above) for name, above in named if not name.startswith("#")]
    assert tuple(name for name, _ in named) == NAMES
    assert all(above.startswith("# ") for _, above in named)


def test_env_example_copied_as_it_is_changes_nothing(tmp_path: Path) -> None:
    environ = {"ENABLEBOT_DATA_DIR": str(tmp_path)}
    assert load_settings(environ=environ, env_file=ROOT / ".env.example") == load_settings(
        environ=environ, env_file=None
    )


def test_the_reference_page_is_the_one_the_reference_gives() -> None:
    assert (ROOT / "docs" / "reference" / "settings.md").read_text() == settings_reference_markdown()


@pytest.mark.parametrize("variable", SETTINGS_REFERENCE, ids=lambda variable: variable.name)
def test_the_documented_default_is_the_one_in_force(variable: Variable, tmp_path: Path) -> None:
    environ = {"ENABLEBOT_DATA_DIR": str(tmp_path)}
    left_out = load_settings(environ=environ, env_file=None)
    if variable.default and variable.name != "ENABLEBOT_DATA_DIR":
        assert load_settings(environ={**environ, variable.name: variable.default}, env_file=None) == left_out
    if variable.required or variable.secret:
        assert not variable.default or variable.name.endswith("_PUBLIC_URL")
