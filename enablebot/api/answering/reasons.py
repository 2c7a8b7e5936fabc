"""What the bot says when it has no answer: what happened, why, what the reader can do. Never an exception's text."""

from collections.abc import Mapping
from typing import Any

RETRY_ACTION = "enablebot_retry"

_NOT_REACHED = "I could not answer: the language model could not be reached."

_SENTENCES: Mapping[str, str] = {
    "auth": "I could not answer: the language model does not accept EnableBot's key. "
    "Whoever runs EnableBot here has to set a valid OPENAI_API_KEY; asking again before that will not help.",
    "quota": "I could not answer: EnableBot's account with the language model has used up its quota. "
    "Whoever runs EnableBot here has to raise it; asking again before that will not help.",
    "rate_limited": "I could not answer: the language model is taking no more requests at the moment, too many came "
    "at once. Please ask again in a minute.",
    "unavailable": f"{_NOT_REACHED} That is usually over soon: please ask again in a few minutes.",
    "timeout": "I could not answer: the language model took too long. "
    "Please ask again, or split the question into smaller ones.",
    "cut": "I could not finish: the connection to the language model broke off in mid-answer, and did so again when I "
    "started over. Please ask again.",
    "refused": "I have no answer to this: the language model declined it under its content rules. "
    "Putting the question differently may help.",
    "bad_request": "I could not answer: the language model did not accept the request. This is a fault in EnableBot's "
    "settings or code, not in your question. Whoever runs EnableBot here will find the details in its log.",
    "model_missing": "I could not answer: the language model EnableBot is set to use does not exist, or its key may "
    "not use it. Whoever runs EnableBot here has to correct OPENAI_MODEL.",
    "too_long": "I could not answer: the question and this conversation are too long for the language model. "
    "Please ask in a new thread, with a shorter text.",
    "empty": "I have no answer: the language model sent back nothing. Please ask again, in other words if you can.",
    "expired": "I am sorry: your question waited longer than 15 minutes before I could get to it, so I left it "
    "unanswered. If you still need the answer, please ask again.",
    "gave_up": "I am sorry: something went wrong inside EnableBot, and trying again did not help. Your question is "
    "kept on record for whoever runs EnableBot here. You can ask again later.",
    "ambiguous": "I cannot tell whether my answer reached this conversation: Slack did not confirm it. "
    "If you see no answer from me above, press *Retry* and I will answer again.",
}

LENGTH_LIMIT_NOTE = "\n\n_This answer reached its length limit. Ask me to go on, and I will._"
CONTENT_FILTER_NOTE = "\n\n_The language model stopped here under its content rules. Asking differently may help._"
QUESTION_CUT_NOTE = "\n\n_Your message was very long: I read only the first {limit:,} characters of it._"
SURPLUS_PART = "_I started over, and the answer is complete in my message above._"


def sentence(reason: str) -> str:
    """The words for a reason's code; an unknown code reads as a fault of ours."""
    return _SENTENCES.get(reason, _SENTENCES["gave_up"])


def known_reasons() -> frozenset[str]:
    """Every code that has words of its own."""
    return frozenset(_SENTENCES)


def retry_blocks(value: str) -> list[dict[str, Any]]:
    """The ambiguous case as blocks: its sentence and a Retry button that carries `value`."""
    return [
        {"type": "section", "text": {"type": "mrkdwn", "text": sentence("ambiguous")}},
        {
            "type": "actions",
            "elements": [
                {
                    "type": "button",
                    "action_id": RETRY_ACTION,
                    "text": {"type": "plain_text", "text": "Retry"},
                    "value": value,
                }
            ],
        },
    ]
