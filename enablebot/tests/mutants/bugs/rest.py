"""Bugs of the REST API: who gets in, what is done twice, what lies in memory, what an answer gives away."""

from enablebot.tests.mutants.mutant import Change, Mutant

_API = "enablebot/api/rest"
_TESTS = "enablebot/tests/api/rest"
_KEYS = "enablebot/shared/database/migrations/functions/api_keys.sql"
_KEPT = "enablebot/tests/shared/test_database_api_keys.py"
_STRANGER = f"{_TESTS}/test_admission.py::test_a_stranger_gets_a_plain_refusal_and_nothing_else"
_SCHEMA = f"{_TESTS}/test_schema.py::test_no_request_meets_a_fault_or_an_answer_that_is_not_described"

MUTANTS = (
    Mutant(
        "a revoked API key still counts",
        (Change(f"{_API}/admission.py", 'if found.state == "revoked":', 'if found.state == "never":'),),
        (_STRANGER,),
    ),
    Mutant(
        "an API key may do more than its scopes say",
        (Change(f"{_API}/admission.py", "if scope not in found.scopes:", "if not scope:"),),
        (_STRANGER,),
    ),
    Mutant(
        "a quota is never used up",
        (Change(f"{_API}/quotas.py", "        bucket.left -= 1\n", ""),),
        (f"{_TESTS}/test_admission.py::test_every_answer_tells_what_is_left",),
    ),
    Mutant(
        "an idempotency key answers for another body",
        (Change(f"{_API}/repeats.py", "if given.fingerprint != fingerprint:", "if not given.fingerprint:"),),
        (f"{_TESTS}/test_repeats.py::test_the_same_key_for_something_else_is_refused",),
    ),
    Mutant(
        "a repeatable request that failed can never be sent again",
        (Change(f"{_API}/documents.py", "        await turn.give_up()\n", ""),),
        (f"{_TESTS}/test_repeats.py::test_what_failed_may_be_sent_again_under_its_key",),
    ),
    Mutant(
        "answers to repeatable requests are stored in the clear",
        (Change(f"{_API}/repeats.py", "sealed = route.key.seal(self.place, body)", "sealed = body"),),
        (f"{_TESTS}/test_repeats.py::test_the_answer_is_kept_sealed_and_for_a_day",),
    ),
    Mutant(
        "two heirs of a dead process do its request",
        (Change(_KEYS, "and r.name_hash = p_name_hash\n  for update;", "and r.name_hash = p_name_hash;"),),
        (f"{_KEPT}::test_a_dead_sender_s_request_goes_to_one_heir_and_its_own_answer_is_refused",),
    ),
    Mutant(
        "requests with one API key wait for each other",
        (Change(_KEYS, " for update skip locked;", " for update;"),),
        (f"{_KEPT}::test_noting_a_use_waits_for_nobody",),
    ),
    Mutant(
        "an upload lies whole in memory",
        (
            Change(
                f"{_API}/documents.py",
                "                content=content,",
                '                content=b"".join([piece async for piece in content]),',
            ),
        ),
        (f"{_TESTS}/test_uploads.py::test_an_upload_never_lies_whole_in_memory",),
    ),
    Mutant(
        "an upload of two files keeps one and says nothing",
        (
            Change(
                f"{_API}/upload.py",
                "        if await self._next_file() is not None:\n",
                "        if await self._next_file() is self:\n",
            ),
        ),
        (f"{_TESTS}/test_uploads.py::test_a_form_with_something_else_in_it_is_told_what",),
    ),
    Mutant(
        "a form that broke off is a document",
        (
            Change(
                "enablebot/shared/multipart.py",
                "        if arrived is None and not self._is_ended:\n",
                "        if arrived is self:\n",
            ),
            Change(
                "enablebot/shared/multipart.py",
                "        if not self._is_ended:\n",
                "        if self._is_ended is None:\n",
            ),
        ),
        ("enablebot/tests/shared/test_multipart.py::test_a_form_that_breaks_off_anywhere_is_refused",),
    ),
    Mutant(
        "a sender that fell silent is waited for",
        (
            Change(
                f"{_API}/upload.py", "asyncio.timeout_at(min(ends_at, clock() + IDLE_SECONDS))", "asyncio.timeout(60)"
            ),
        ),
        (f"{_TESTS}/test_uploads.py::test_a_sender_that_falls_silent_is_not_waited_for",),
    ),
    Mutant(
        "a missing document and another workspace's are told apart",
        (
            Change(
                f"{_API}/problems.py",
                "request_id=view.request_id if view.status >= 500 else None",
                "request_id=view.request_id",
            ),
        ),
        (f"{_TESTS}/test_documents.py::test_another_workspace_s_document_is_as_unknown_as_one_that_never_was",),
    ),
    Mutant(
        "some name of a document is a fault of ours",
        (Change(f"{_API}/documents.py", "    # No name has", "    1 // (len(name or '12') - 1)\n    # No name has"),),
        (_SCHEMA,),
    ),
)
