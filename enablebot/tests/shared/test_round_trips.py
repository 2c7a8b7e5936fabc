"""What a question costs over the Data API, where every call passes a gateway: counted, not timed."""

from collections import Counter

import pytest

from enablebot.tests.database import PostgresServer
from enablebot.tests.round_trips import ASKED_AGAIN, story

pytestmark = [pytest.mark.anyio, pytest.mark.postgrest]

MOST_CALLS_AN_ANSWER = 8


async def test_an_answer_over_the_data_api_needs_at_most_eight_calls(
    postgres_server: PostgresServer, database_name: str
) -> None:
    install, dashboard, first, *answers = await story(postgres_server, database_name, "Data API")
    assert len(answers) == 3
    for answer in answers:
        assert answer.calls["accept_events"] == answer.calls["finish_answer"] == 1, answer
        assert answer.on_the_way <= MOST_CALLS_AN_ANSWER, answer
        assert answer.beside - answer.calls[ASKED_AGAIN] <= 2, answer
    assert min(answer.calls[ASKED_AGAIN] for answer in answers) == 0, answers
    # A process that meets a workspace for the first time looks up who it is and how to speak there, and remembers.
    looked_up = Counter({"find_route": 1, "find_route_of_tenant": 1, "get_installation": 1})
    assert first.on_the_way <= MOST_CALLS_AN_ANSWER + looked_up.total(), first
    assert looked_up <= first.calls, first
    assert install.on_the_way <= 6, install
    assert dashboard.on_the_way <= 2, dashboard
