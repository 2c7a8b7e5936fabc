"""Where a passage stands, in words, and what is indexed of it."""

from typing import Any

import pytest

from enablebot.shared.models.passage import Place, in_context


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"page": 3}, "page 3"),
        ({"page": 3, "last_page": 4}, "pages 3–4"),
        ({"page": 3, "last_page": 3}, "page 3"),
        ({"slide": 4}, "slide 4"),
        ({"sheet": "Prices", "rows": [2, 40]}, "sheet Prices, rows 2–40"),
        ({"rows": [2, 2]}, "row 2"),
        ({"line": 12}, "line 12"),
        ({}, ""),
    ],
)
def test_a_place_is_said_in_words_and_survives_json(place: dict[str, Any], words: str) -> None:
    read = Place.from_json(place)
    assert str(read) == words
    assert read.as_json() == place
    assert Place.from_json({**place, "of a later release": 1}) == read


def test_what_is_indexed_begins_with_what_stands_above_it_and_says_it_once() -> None:
    assert in_context("Handbook", ("Leave", "Annual"), "Thirty days") == "Handbook > Leave > Annual\nThirty days"
    assert in_context("Leave", ("LEAVE", "Annual"), "Thirty days") == "LEAVE > Annual\nThirty days"
    assert in_context("", (), "Thirty days") == "Thirty days"
