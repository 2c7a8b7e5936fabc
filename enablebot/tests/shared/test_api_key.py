"""How a key of the REST API reads."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enablebot.shared.models.api_key import hash_of_key, make_key, reads_as_key, start_of_key
from enablebot.shared.redaction import Redactor


@given(st.uuids())
def test_every_key_reads_as_one_and_begins_like_its_id(id_: UUID) -> None:
    key = make_key(id_).reveal()
    assert reads_as_key(key)
    assert len(key) == len("eb_") + 22 + 1 + 38
    assert key.startswith(start_of_key(id_))


def test_no_two_keys_are_alike_even_for_one_id() -> None:
    id_ = uuid4()
    keys = {make_key(id_).reveal() for _ in range(200)}
    assert len({hash_of_key(key) for key in keys}) == 200


def test_a_key_with_one_character_changed_is_none() -> None:
    key = make_key(uuid4()).reveal()
    for at, was in enumerate(key):
        for other in ("0", "z", "_", "é", " "):
            if other != was:
                assert not reads_as_key(key[:at] + other + key[at + 1 :])


@pytest.mark.parametrize("text", ["", "eb_", "xoxb-1-2-3", "eb_" + "0" * 22 + "_" + "0" * 38])
def test_what_is_no_key_does_not_read_as_one(text: str) -> None:
    assert not reads_as_key(text)
    key = make_key(uuid4()).reveal()
    assert not reads_as_key(key + text + "\n")
    assert not reads_as_key(" " + key)


def test_a_key_is_not_printed_and_masked_in_any_text() -> None:
    key = make_key(id_ := uuid4())
    assert key.reveal() not in repr(key)
    masked = Redactor().redact(f"sent with {key.reveal()}, twice {key.reveal()}")
    assert key.reveal().rpartition("_")[2] not in masked
    assert masked.count(f"{start_of_key(id_)}***") == 2
