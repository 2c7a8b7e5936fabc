"""Bugs of answers: what is said in Slack, and how often."""

from enablebot.tests.mutants.mutant import Change, Mutant

_CLIENT = "enablebot/shared/slack/client.py"
_CLIENT_TESTS = "enablebot/tests/shared/test_slack_client.py"

MUTANTS = (
    Mutant(
        "slack_sdk's own retries",
        (Change(_CLIENT, "            retry_handlers=[],\n", ""),),
        (f"{_CLIENT_TESTS}::test_a_lost_answer_is_an_unknown_outcome_and_is_never_repeated",),
    ),
    Mutant(
        "links unfurled",
        (Change(_CLIENT, '"unfurl_links": False', '"unfurl_links": True'),),
        (f"{_CLIENT_TESTS}::test_posts_and_updates_without_unfurling",),
    ),
)
