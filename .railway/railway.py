"""The Railway project as code: `railway config plan` shows, `railway config apply` does. docs/deploy says how.

Needs `pip install railway-sdk` and ENABLEBOT_REPOSITORY, your copy of this repository as account/name.
"""

import os

from railway_sdk import create_railway_context, define_railway, github, project, service

# Entered once, in Project Settings, Shared Variables; one that is left out there counts as not set.
SHARED = (
    "DATABASE_URL",
    "SUPABASE_URL",
    "SUPABASE_SERVICE_KEY",
    "ENCRYPTION_KEYS",
    "API_PUBLIC_URL",
    "WEB_PUBLIC_URL",
    "OPERATOR_SLACK_USERS",
    "METRICS_TOKEN",
)
API_ONLY = (
    # Only the pre-deploy command needs it, and Railway runs that with the service's own variables.
    "DATABASE_ADMIN_URL",
    "SLACK_SIGNING_SECRET",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_MODEL",
    "OPENAI_EMBEDDING_MODEL",
)
WEB_ONLY = ("SESSION_SECRET", "SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET")


@define_railway
def main(ctx=None):
    """Two services from one repository; the database is Supabase's, or any other that DATABASE_URL names."""
    repository = os.environ.get("ENABLEBOT_REPOSITORY", "").strip()
    if repository.count("/") != 1:
        raise SystemExit("Set ENABLEBOT_REPOSITORY to your copy of this repository on GitHub, as account/name.")
    shared = create_railway_context(ctx).shared

    def environment(*names, port):
        fixed = {"ENVIRONMENT": "production", "LOG_FORMAT": "json", "TRUSTED_PROXY": "on", "PORT": port}
        return fixed | {name: shared[name] for name in names}

    both = {
        "source": github(repository),
        "build": {
            "builder": "RAILPACK",
            "watchPatterns": ["enablebot/**", "requirements.txt", ".python-version"],
        },
        # Asked only while deploying: the gate before the old deployment is replaced.
        "healthcheck": "/ready",
        "healthcheckTimeout": 120,
        "deploy": {
            "overlapSeconds": 5,
            # Railway's default is to kill at once. Keep DRAIN_SECONDS (20) below it.
            "drainingSeconds": 30,
            "restartPolicyType": "ON_FAILURE",
            "restartPolicyMaxRetries": 10,
        },
    }
    api = service(
        "api",
        start="python -m enablebot.scripts.start_api",
        preDeploy=["python -m enablebot migrate"],
        env=environment(*SHARED, *API_ONLY, port="8001"),
        **both,
    )
    web = service(
        "web",
        start="python -m enablebot.scripts.start_web",
        env=environment(*SHARED, *WEB_ONLY, port="8000"),
        **both,
    )
    return project("enablebot", resources=[api, web])
