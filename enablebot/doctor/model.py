"""The language model: does its server take our key, is the model there, and for how long."""

from enablebot.config.settings import Settings
from enablebot.doctor.asking import Silent, ask, unreachable
from enablebot.doctor.findings import Finding

_OPENAI = "https://api.openai.com/v1"


async def examine_model(settings: Settings) -> tuple[list[Finding], float | None]:
    """Findings about the models that the settings name, and our clock minus their server's, in seconds."""
    model = settings.model
    if model.api_key is None:
        missing = Finding(
            "model",
            "warning",
            "OPENAI_API_KEY is not set: `up` plays the model itself",
            "Set OPENAI_API_KEY, or OPENAI_BASE_URL with the key of a compatible server.",
        )
        return [missing], None
    base = (model.base_url or _OPENAI).rstrip("/")
    try:
        answer = await ask(
            "GET", f"{base}/models", headers={"Authorization": f"Bearer {model.api_key.get_secret_value()}"}
        )
    except Silent as silence:
        return [unreachable("model", base, silence)], None
    if answer.status == 401:
        refused = Finding("model", "broken", "the server refuses OPENAI_API_KEY", "Make a new key and set it.")
        return [refused], answer.skew
    rows = answer.body.get("data")
    if answer.status != 200 or not isinstance(rows, list):
        odd = Finding(
            "model", "warning", f"the list of models answered {answer.status}", "Look at OPENAI_BASE_URL and the key."
        )
        return [odd], answer.skew
    known = {row.get("id"): row.get("shutdown_date") for row in rows if isinstance(row, dict)}
    wanted = {"OPENAI_MODEL": model.name}
    if model.embedding_model:
        wanted["OPENAI_EMBEDDING_MODEL"] = model.embedding_model
    return [_one(name, setting, known) for setting, name in wanted.items()], answer.skew


def _one(name: str, setting: str, known: dict[object, object]) -> Finding:
    if name not in known:
        what = f"{name} is not among the {len(known)} models this key may use"
        return Finding("model", "broken", what, f"Set {setting} to one of them.")
    if known[name]:
        what = f"{name} will be shut down on {known[name]}"
        return Finding("model", "warning", what, f"Choose its successor in {setting} before then.")
    return Finding("model", "fine", f"{name} is available")
