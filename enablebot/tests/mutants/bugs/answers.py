"""Bugs of answers: what is said in Slack, and how often."""

from enablebot.tests.mutants.mutant import Change, Mutant

_CLIENT = "enablebot/shared/slack/client.py"
_CLIENT_TESTS = "enablebot/tests/shared/test_slack_client.py"
_ROOM = "enablebot/api/answering"
_FAULTS = "enablebot/tests/faults"
_KILLED = (
    f"{_FAULTS}/test_qd02_worker_killed.py::test_wherever_a_worker_is_killed_each_question_gets_its_whole_answer_once"
)
_KILLED_BLIND = (
    f"{_FAULTS}/test_qd02_worker_killed.py::"
    "test_where_slack_refuses_the_look_up_a_kill_costs_at_most_a_note_and_says_so"
)
_LOST = f"{_FAULTS}/test_qd05_answers_lost.py::test_whatever_answer_of_slack_is_lost_a_person_sees_one_message"

MUTANTS = (
    Mutant(
        "slack_sdk's own retries",
        (Change(_CLIENT, "            retry_handlers=[],\n", ""),),
        (f"{_CLIENT_TESTS}::test_a_lost_answer_is_an_unknown_outcome_and_is_never_repeated", _LOST),
    ),
    Mutant(
        "links unfurled",
        (Change(_CLIENT, '"unfurl_links": False', '"unfurl_links": True'),),
        (f"{_CLIENT_TESTS}::test_posts_and_updates_without_unfurling",),
    ),
    Mutant(
        "an unknown append is sent again",
        (
            Change(
                f"{_ROOM}/messages.py",
                'await desk.calls.once(\n                "chat.appendStream",',
                'await desk.calls.repeatably(\n                "chat.appendStream",',
            ),
        ),
        (_LOST,),
    ),
    Mutant(
        "a doubtful post is sent again without a look",
        (
            Change(
                f"{_ROOM}/healing.py",
                "                return await self._look_up(entry)\n",
                "                return None\n",
            ),
        ),
        (_LOST,),
    ),
    Mutant(
        "a doubt that cannot be settled is taken for a no",
        (Change(f"{_ROOM}/healing.py", "        raise Unresolved(entry.part)\n", "        return None\n"),),
        (_KILLED_BLIND,),
    ),
    Mutant(
        "what an earlier attempt left is not adopted",
        (
            Change(
                f"{_ROOM}/service.py",
                "    for entry in case.journal.entries:\n        if entry.ts is None:\n            found",
                "    for entry in case.journal.entries[:0]:\n        if entry.ts is None:\n            found",
            ),
        ),
        (_KILLED,),
    ),
    Mutant(
        "the whole answer is not kept",
        (Change(f"{_ROOM}/composing.py", "        await case.journal.save(draft)\n", ""),),
        (_KILLED,),
    ),
    Mutant(
        "the working status outlives a crash",
        (Change(f"{_ROOM}/service.py", "left_behind=not case.is_new", "left_behind=False"),),
        (_KILLED,),
    ),
    Mutant(
        "the intent is recorded after the post",
        (
            Change(
                f"{_ROOM}/journal.py",
                "        row = await patiently(\n"
                "            lambda: self._database.intend_reply(\n"
                "                tenant_id=question.tenant_id,\n"
                "                answer_id=self.answer_id,\n"
                "                event_id=question.event_id,\n"
                "                claim_token=question.claim_token,\n"
                "                part=part,\n"
                "                mode=mode,\n"
                "            )\n"
                "        )\n"
                '        entry = Entry(part, mode, "intended", None, row.intended_at)\n',
                '        entry = Entry(part, mode, "intended", None, question.received_at)\n',
            ),
            Change(
                f"{_ROOM}/journal.py",
                '        """Record what became of a message; without a `ts` the one known stays."""\n'
                "        question = self._question\n",
                "        question = self._question\n"
                '        if self._entries[part].state == "intended":\n'
                "            await self._database.intend_reply(\n"
                "                tenant_id=question.tenant_id,\n"
                "                answer_id=self.answer_id,\n"
                "                event_id=question.event_id,\n"
                "                claim_token=question.claim_token,\n"
                "                part=part,\n"
                "                mode=self._entries[part].mode,\n"
                "            )\n",
            ),
        ),
        (_KILLED,),
    ),
)
