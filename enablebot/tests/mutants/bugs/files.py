"""Bugs about files people share in Slack: where the token goes, and what a crash costs."""

from enablebot.tests.mutants.mutant import Change, Mutant

_FETCH = "enablebot/api/knowledge/fetch.py"
_FILES = "enablebot/api/slack/handlers/files.py"
_SERVICE = "enablebot/api/answering/service.py"
_ELSEWHERE = "enablebot/tests/api/test_fetch.py"
_KILLED = (
    "enablebot/tests/faults/test_shared_files_killed.py::"
    "test_wherever_a_process_is_killed_a_file_is_confirmed_once_added_once_and_told"
)

MUTANTS = (
    Mutant(
        "a redirect carries the token along",
        (Change(_FETCH, "allow_redirects=False,", "allow_redirects=True,"),),
        (f"{_ELSEWHERE}::test_no_redirect_is_followed",),
    ),
    Mutant(
        "an address with a user's name in it is Slack's",
        (Change("enablebot/shared/slack/origins.py", ' or "@" in parts.netloc', ""),),
        (f"{_ELSEWHERE}::test_nothing_is_asked_of_anybody_but_slacks_file_hosts",),
    ),
    Mutant(
        "a file of any length is taken",
        (
            Change(
                _FETCH,
                "            size += len(chunk)\n            if size > self._most_bytes:",
                "            size += len(chunk)\n            if size > 1 << 62:",
            ),
        ),
        (f"{_ELSEWHERE}::test_a_body_without_end_is_left_where_it_gets_too_long",),
    ),
    Mutant(
        "half a file passes for the whole",
        (Change(_FETCH, "and size < file.size:", "and size > file.size:"),),
        (f"{_ELSEWHERE}::test_what_came_only_in_part_is_asked_for_another_time",),
    ),
    Mutant(
        "what follows a confirmation is stored only after its event is settled",
        (
            Change(
                _SERVICE,
                '            if on_shown is not None and end.state in ("complete", "ambiguous"):\n'
                '                await on_shown(_only_ts(case.journal) if end.state == "complete" else None)\n',
                "",
            ),
            Change(
                _SERVICE,
                "        self._count(end, latency_ms)\n        return GAVE_UP",
                "        if on_shown is not None:\n            await on_shown(_only_ts(case.journal))\n"
                "        self._count(end, latency_ms)\n        return GAVE_UP",
            ),
        ),
        (_KILLED,),
    ),
    Mutant(
        "what an attempt that died has added was there already",
        (Change(_FILES, "document.added_at >= event.row.received_at", "False"),),
        (_KILLED,),
    ),
    Mutant(
        "anybody may undo what an admin added",
        (
            Change(
                "enablebot/api/slack/handlers/undo.py",
                "        document.added_by == presser for document in present",
                "        True for document in present",
            ),
        ),
        ("enablebot/tests/api/test_shared_files.py::test_what_another_takes_back_is_refused_with_a_plain_reason",),
    ),
)
