"""Bugs towards Slack and the model: limits, refusals, outages, and what takes a process down."""

from enablebot.tests.mutants.mutant import Change, Mutant

_ROOM = "enablebot/api/answering"
_SLACK_FAILS = "enablebot/tests/faults/test_qd06_slack_fails.py"
_MODEL_FAILS = "enablebot/tests/faults/test_qd07_model_fails.py"
_FLOOD = "enablebot/tests/faults/test_qd14_flood.py"
_POISON = (
    "enablebot/tests/faults/test_qd08_poison.py::"
    "test_poison_is_set_aside_after_three_claims_and_all_others_are_answered"
)

MUTANTS = (
    Mutant(
        "Slack's waiting time ignored",
        (
            Change(
                "enablebot/shared/slack/pauses.py",
                "return 0.0 if until is None else max(0.0, until - self._clock())",
                "return 0.0 if until is None else 0.0",
            ),
        ),
        (f"{_SLACK_FAILS}::test_no_method_is_called_again_before_slack_wants_it",),
    ),
    Mutant(
        "Slack's refusals tried again",
        (
            Change(
                f"{_ROOM}/service.py",
                '            return End("failed", reason=f"slack: {error.slack_code}")',
                "            raise",
            ),
        ),
        (f"{_SLACK_FAILS}::test_what_slack_will_not_take_is_tried_once_and_what_passes_is_tried_again",),
    ),
    Mutant(
        "a revoked token is a refusal like any other",
        (
            Change(
                "enablebot/shared/slack/refusals.py",
                '"account_inactive", "token_revoked", ',
                '"account_inactive", ',
            ),
        ),
        (f"{_SLACK_FAILS}::test_a_dead_token_pauses_the_workspace_and_a_new_install_answers_what_waited",),
    ),
    Mutant(
        "a spent quota is asked again",
        (Change("enablebot/shared/errors.py", '{"auth", "quota", "refused",', '{"auth", "refused",'),),
        (f"{_MODEL_FAILS}::test_what_trying_again_cannot_mend_is_asked_once",),
    ),
    Mutant(
        "the breaker never opens",
        (
            Change(
                f"{_ROOM}/breaker.py",
                "return self._failures >= self._limit and self._clock() < self._tries_at",
                "return False",
            ),
        ),
        (f"{_MODEL_FAILS}::test_the_breaker_opens_after_five_failures_and_then_nobody_is_asked",),
    ),
    Mutant(
        "openai's own retries",
        (Change(f"{_ROOM}/model.py", "max_retries=0,", "max_retries=2,"),),
        (f"{_MODEL_FAILS}::test_a_model_that_keeps_failing_is_asked_three_times_a_question",),
    ),
    Mutant(
        "no deadline for the model",
        (
            Change(
                f"{_ROOM}/asking.py",
                "        deadline = loop.time() + request.seconds\n        attempt = 0",
                "        deadline = loop.time() + 600\n        attempt = 0",
            ),
            Change(
                f"{_ROOM}/model.py",
                'gap = self._settings.deadline_seconds / 3 if self._settings.effort == "none" else request.seconds',
                "gap = 600.0",
            ),
        ),
        (f"{_MODEL_FAILS}::test_a_model_that_hangs_or_drips_costs_one_deadline_and_not_one_for_each_attempt",),
    ),
    Mutant(
        "the last word runs the handler",
        (
            Change(
                "enablebot/api/handling.py",
                "        if row.is_last_word:",
                "        if row.is_last_word and row.attempts < 0:",
            ),
        ),
        (_POISON,),
    ),
    Mutant(
        "neighbours of poison die with it again",
        (Change("enablebot/api/suspects.py", "return row.was_lost and not row.is_last_word", "return False"),),
        (_POISON,),
    ),
    Mutant(
        "claims without turns",
        (
            Change(
                "enablebot/shared/database/migrations/functions/claims.sql",
                "v_start constant uuid := coalesce(p_after_tenant, v_nil);",
                "v_start constant uuid := v_nil;",
            ),
        ),
        (f"{_FLOOD}::test_while_one_workspace_floods_others_start_within_five_seconds",),
    ),
    Mutant(
        "questions never grow stale",
        (
            Change(
                f"{_ROOM}/service.py",
                "question.age > STALE_AFTER_SECONDS",
                "question.age > 1000 * STALE_AFTER_SECONDS",
            ),
        ),
        (f"{_FLOOD}::test_after_half_an_hour_without_a_worker_the_old_get_one_apology_and_the_young_an_answer",),
    ),
)
