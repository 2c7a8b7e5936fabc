import inspect

import pytest

from enablebot.shared import errors
from enablebot.shared.errors import (
    EnableBotError,
    KeyMissing,
    ModelError,
    NotFound,
    SealBroken,
    SettingsError,
    SlackError,
    SlackRateLimited,
    SlackRefused,
)

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, EnableBotError)]
DRAWN = errors.__doc__ or ""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_drawing_with_its_status(kind: type[EnableBotError]) -> None:
    line = next(line for line in DRAWN.splitlines() if kind.__name__ in line.split())
    digits = [word for word in line.split() if word.isdigit() and len(word) == 3]
    if digits:
        assert digits[0] == str(kind.status)


def test_the_drawing_shows_no_error_that_is_not_there() -> None:
    drawn = [line.lstrip("│├└─ ").split()[0] for line in DRAWN.splitlines() if line[:1] in {"│", "├", "└", "E"}]
    assert set(drawn[1:]) | {"EnableBotError"} == {kind.__name__ for kind in KINDS}


def test_the_drawing_nests_as_the_classes_do() -> None:
    parents: list[tuple[int, str]] = []
    for line in DRAWN.splitlines():
        name = line.lstrip("│├└─ ").split(" ")[0]
        kind = getattr(errors, name, None)
        if not name or not inspect.isclass(kind):
            continue
        depth = len(line) - len(line.lstrip("│├└─ "))
        while parents and parents[-1][0] >= depth:
            parents.pop()
        if parents:
            assert kind.__bases__ == (getattr(errors, parents[-1][1]),)
        parents.append((depth, name))


def test_codes_tell_the_errors_apart() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and code.replace("_", "").isalpha() for code in codes)


def test_an_error_says_what_it_was_given() -> None:
    error = NotFound("There is no such document.", details={"id": "42"})
    assert (str(error), error.message, error.status, error.code) == (error.message, error.message, 404, "not_found")
    assert error.details == {"id": "42"}
    assert NotFound("x").details == {}


def test_settings_faults_are_all_in_the_message() -> None:
    error = SettingsError(fault for fault in ("A is missing.", "B is wrong."))
    assert error.faults == ("A is missing.", "B is wrong.")
    assert all(fault in str(error) for fault in error.faults)


def test_a_broken_seal_has_one_message_and_takes_no_other() -> None:
    assert str(SealBroken()) == str(SealBroken())
    with pytest.raises(TypeError):
        SealBroken("because of the tag")  # type: ignore[call-arg]


def test_a_missing_key_is_named() -> None:
    error = KeyMissing("k2025")
    assert error.key_id == "k2025"
    assert "k2025" in str(error)


def test_slack_errors_say_which_call_and_why() -> None:
    error = SlackRefused("Slack refused.", method="chat.postMessage", slack_code="channel_not_found")
    assert isinstance(error, SlackError)
    assert (error.method, error.slack_code, error.status) == ("chat.postMessage", "channel_not_found", 502)
    limited = SlackRateLimited("Too fast.", method="chat.update", retry_after=1.5)
    assert (limited.retry_after, limited.slack_code) == (1.5, "ratelimited")


@pytest.mark.parametrize(
    ("reason", "permanent"),
    [
        ("auth", True),
        ("quota", True),
        ("refused", True),
        ("bad_request", True),
        ("model_missing", True),
        ("too_long", True),
        ("rate_limited", False),
        ("unavailable", False),
        ("timeout", False),
        ("cut", False),
    ],
)
def test_a_model_error_knows_whether_asking_again_helps(reason: errors.ModelReason, permanent: bool) -> None:
    assert ModelError("No answer.", reason=reason).permanent is permanent
    assert ModelError("No answer.", reason=reason, permanent=not permanent).permanent is not permanent
