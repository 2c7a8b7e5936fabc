import copy
import json
import logging
import pickle
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from enablebot.shared.encryption import encryption, keyring
from enablebot.shared.encryption.encryption import Place, SealingKey, Sensitive, key_id_of
from enablebot.shared.encryption.keyring import SAMPLE_KEY, Keyring, WrappedKey, generate_master_key
from enablebot.shared.errors import KeyMissing, SealBroken, SettingsError

VECTORS = json.loads((Path(__file__).parent / "vectors" / "seal_v1.json").read_text())
TOKEN = b"xoxb-1234567890-1234567890123-abcdefghijklmnopqrstuvwx"
TENANT = UUID("0195f3a0-0000-7000-8000-000000000001")
HOME = Place(TENANT, "installations", "bot_token", "0195f3a0-0000-7000-8000-00000000000a")
KEY = SealingKey(UUID("0195f3a0-0000-7000-8000-0000000000aa"), bytes(range(32)))
SEALED = KEY.seal(HOME, TOKEN)
ONE_MESSAGE = str(SealBroken())


def entry(key_id: str, material: bytes) -> str:
    return f"{key_id}:{b64encode(material).decode()}"


def broken(key: SealingKey, place: Place, sealed: bytes) -> None:
    """Refused with the one typed error, which says and carries nothing about the cause."""
    with pytest.raises(SealBroken) as caught:
        key.open(place, sealed)
    assert str(caught.value) == ONE_MESSAGE
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert caught.value.details == {}


# The form of a sealed value (TE-1)


@given(plaintext=st.binary(max_size=300), row=st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_what_is_sealed_opens_in_its_place(plaintext: bytes, row: str) -> None:
    place = Place(TENANT, "messages", "body", row)
    sealed = KEY.seal(place, plaintext)
    assert KEY.open(place, sealed) == plaintext
    assert sealed[:1] == b"\x01"
    assert sealed[1:17] == KEY.id.bytes
    assert len(sealed) == 1 + 16 + 12 + len(plaintext) + 16
    assert key_id_of(sealed) == KEY.id


def test_rows_that_are_not_valid_text_still_bind() -> None:
    place = Place(TENANT, "event_bodies", "body", "Ev\ud800")
    assert KEY.open(place, KEY.seal(place, TOKEN)) == TOKEN
    broken(KEY, Place(TENANT, "event_bodies", "body", "Ev?"), KEY.seal(place, TOKEN))


def test_the_same_value_never_seals_the_same_way_twice() -> None:
    sealed = {KEY.seal(HOME, TOKEN) for _ in range(2000)}
    assert len({value[17:29] for value in sealed}) == 2000


def test_every_changed_bit_and_every_cut_is_refused() -> None:
    for position in range(len(SEALED)):
        for bit in range(8):
            changed = bytearray(SEALED)
            changed[position] ^= 1 << bit
            broken(KEY, HOME, bytes(changed))
        broken(KEY, HOME, SEALED[:position])
        broken(KEY, HOME, SEALED[position + 1 :])


def test_twenty_thousand_mutants_are_refused_alike() -> None:
    source = AESGCM(bytes(32))
    noise = source.encrypt(bytes(12), bytes(20_000 * 8), None)
    refused = 0
    for number in range(20_000):
        kind, where, value, length = struct.unpack_from("<HHHH", noise, number * 8)
        at = where % len(SEALED)
        if kind % 6 == 0:
            mutant = SEALED[:at] + bytes([SEALED[at] ^ (value % 255 + 1)]) + SEALED[at + 1 :]
        elif kind % 6 == 1:
            mutant = SEALED[:at]
        elif kind % 6 == 2:
            mutant = SEALED[:at] + noise[value : value + length % 40 + 1] + SEALED[at:]
        elif kind % 6 == 3:
            mutant = bytes([value % 256]) + SEALED[1:] if value % 256 != 1 else SEALED + b"\x00"
        elif kind % 6 == 4:
            mutant = noise[value : value + length % 200]
        else:
            mutant = SEALED[:29] + noise[value : value + len(SEALED) - 29]
        assert mutant != SEALED
        try:
            KEY.open(HOME, mutant)
        except SealBroken as error:
            assert str(error) == ONE_MESSAGE  # noqa: PT017 - pytest.raises twenty thousand times is slow
            refused += 1
    assert refused == 20_000


@given(blob=st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_arbitrary_bytes_are_refused(blob: bytes) -> None:
    broken(KEY, HOME, blob)
    broken(KEY, HOME, b"\x01" + KEY.id.bytes + blob)


@pytest.mark.parametrize("version", [0, 2, 3, 127, 255])
def test_other_formats_are_refused(version: int) -> None:
    other = bytes([version]) + SEALED[1:]
    broken(KEY, HOME, other)
    with pytest.raises(SealBroken, match=ONE_MESSAGE):
        key_id_of(other)


@pytest.mark.parametrize("length", [0, 1, 17, 29, 44])
def test_too_short_for_a_key_id_is_refused(length: int) -> None:
    with pytest.raises(SealBroken, match=ONE_MESSAGE):
        key_id_of(SEALED[:length])


def test_another_key_of_the_same_id_is_refused() -> None:
    broken(SealingKey(KEY.id, bytes(range(1, 33))), HOME, SEALED)


def test_a_relabelled_value_is_refused_even_with_the_same_bytes_of_key() -> None:
    other = SealingKey(uuid4(), bytes(range(32)))
    broken(other, HOME, SEALED)
    broken(other, HOME, b"\x01" + other.id.bytes + SEALED[17:])


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_data_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SealingKey(uuid4(), bytes(length))


# Bound to its place (TE-2)


def test_no_value_opens_in_any_other_tenant_column_or_row() -> None:
    tenants = [UUID(int=TENANT.int + number) for number in range(20)]
    columns = [("installations", "bot_token"), ("installations", "refresh_token"), ("messages", "body")]
    rows = ["1", "2"]
    places = [Place(tenant, *column, row) for tenant, column, row in product(tenants, columns, rows)]
    sealed = {place: KEY.seal(place, f"{place}".encode()) for place in places}
    opened = refused = 0
    for place, (home, blob) in product(places, sealed.items()):
        try:
            assert KEY.open(place, blob) == f"{home}".encode()
            assert place == home
            opened += 1
        except SealBroken:
            refused += 1
    assert opened == len(places) == 120
    assert refused == 120 * 119


def test_the_parts_of_a_place_cannot_run_into_each_other() -> None:
    spellings = [
        ("ab", "c", "d"),
        ("a", "bc", "d"),
        ("a", "b", "cd"),
        ("abc", "", "d"),
        ("", "abc", "d"),
        ("a", "", "bcd"),
    ]
    places = [Place(TENANT, *spelling) for spelling in spellings]
    for place, other in product(places, places):
        if place != other:
            broken(KEY, other, KEY.seal(place, TOKEN))


def test_without_the_place_another_tenant_could_read_it() -> None:
    """The bug this design prevents, planted: the same cipher without associated data moves freely."""
    cipher = AESGCM(bytes(range(32)))
    assert cipher.decrypt(bytes(12), cipher.encrypt(bytes(12), TOKEN, None), None) == TOKEN
    broken(KEY, Place(UUID(int=TENANT.int + 1), HOME.table, HOME.column, HOME.row), SEALED)


# Committed vectors (TE-6)


def reference_seal(vector: dict[str, str]) -> bytes:
    """The format, spelled out from its description and not from the code under test."""
    key_id, tenant = UUID(vector["key_id"]).bytes, UUID(vector["tenant_id"]).bytes
    table, column, row = (vector[name].encode() for name in ("table", "column", "row"))
    header = b"\x01" + key_id
    bound = header + tenant + bytes([len(table)]) + table + bytes([len(column)]) + column + row
    nonce = bytes.fromhex(vector["nonce"])
    sealed = AESGCM(bytes.fromhex(vector["key"])).encrypt(nonce, bytes.fromhex(vector["plaintext"]), bound)
    return header + nonce + sealed


def parts(vector: dict[str, str]) -> tuple[SealingKey, Place]:
    key = SealingKey(UUID(vector["key_id"]), bytes.fromhex(vector["key"]))
    return key, Place(UUID(vector["tenant_id"]), vector["table"], vector["column"], vector["row"])


def test_there_are_vectors_to_open() -> None:
    assert len(VECTORS["sealed"]) >= 5
    assert len(VECTORS["wrapped"]) >= 2


@pytest.mark.parametrize("vector", VECTORS["sealed"], ids=lambda vector: vector["name"])
def test_every_released_value_still_opens(vector: dict[str, str]) -> None:
    key, place = parts(vector)
    assert key.open(place, bytes.fromhex(vector["sealed"])).hex() == vector["plaintext"]
    assert reference_seal(vector).hex() == vector["sealed"]


@pytest.mark.parametrize("vector", VECTORS["sealed"], ids=lambda vector: vector["name"])
def test_sealing_still_gives_the_released_form(vector: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    # Only a test can fix the nonce, and only by taking the source of randomness away from the module.
    monkeypatch.setattr(encryption, "urandom", lambda _: bytes.fromhex(vector["nonce"]))
    key, place = parts(vector)
    assert key.seal(place, bytes.fromhex(vector["plaintext"])).hex() == vector["sealed"]


@pytest.mark.parametrize("vector", VECTORS["wrapped"], ids=lambda vector: vector["name"])
def test_every_released_data_key_still_unwraps(vector: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Keyring.parse(entry(vector["master_key_id"], bytes.fromhex(vector["master_key"])))
    tenant, key_id = UUID(vector["tenant_id"]), UUID(vector["key_id"])
    wrapped = WrappedKey(key_id, vector["master_key_id"], bytes.fromhex(vector["wrapped"]))
    data_key = bytes.fromhex(vector["key"])
    same = SealingKey(key_id, data_key)
    assert same.open(HOME, ring.unwrap(tenant, wrapped).seal(HOME, TOKEN)) == TOKEN
    monkeypatch.setattr(keyring, "urandom", lambda _: bytes.fromhex(vector["nonce"]))
    assert ring.wrap(tenant, same) == wrapped


# Secrets in memory


@dataclass(frozen=True)
class Holder:
    name: str
    token: Sensitive


@pytest.mark.parametrize("value", [Sensitive("xoxb-canary-4711"), Sensitive(b"xoxb-canary-4711")], ids=["str", "bytes"])
def test_a_sensitive_value_shows_as_stars_everywhere(
    value: Sensitive[str] | Sensitive[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    shown = [repr(value), str(value), f"{value}", f"{value!r}", f"{value:>5}", "%s" % value, f"{[value]}"]  # noqa: UP031
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("enablebot.test").debug("%s %r %s", value, value, {"token": value}, extra={"token": value})
    shown += [caplog.text, *(str(vars(record)) for record in caplog.records), str(dir(value))]
    assert not any("canary" in text for text in shown)
    assert all("***" in text for text in shown[:7])
    assert "canary" in str(value.reveal())


def test_a_sensitive_value_does_not_leave_the_process() -> None:
    value = Sensitive("xoxb-canary-4711")
    ways: tuple[Callable[[Any], object], ...] = (pickle.dumps, json.dumps, orjson.dumps, vars, bytes, iter, hash)
    for leave in ways:
        with pytest.raises(TypeError) as caught:
            leave(value)
        assert "canary" not in str(caught.value)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(value, protocol=protocol)


def test_a_sensitive_value_stays_masked_when_its_holder_is_copied() -> None:
    holder = Holder("a", Sensitive("xoxb-canary-4711"))
    for shown in (repr(holder), repr(asdict(holder)), repr(copy.deepcopy(holder)), repr(copy.copy(holder.token))):
        assert "canary" not in shown
    assert copy.deepcopy(holder) == holder


def test_sensitive_values_are_equal_only_to_their_like() -> None:
    assert Sensitive("a") == Sensitive("a")
    assert Sensitive("a") != Sensitive("b")
    assert Sensitive("a") != Sensitive(b"a")
    assert Sensitive("a") != "a"
    assert Sensitive("ä\ud800") == Sensitive("ä\ud800")


def test_keys_and_keyrings_show_no_key() -> None:
    material = bytes(range(32))
    ring = Keyring.parse(entry("k1", material))
    for holder in (KEY, ring):
        shown = f"{holder!r}{holder!s}{holder}"
        assert not any(form in shown for form in (material.hex(), b64encode(material).decode(), repr(material)[2:-1]))
        with pytest.raises(TypeError):
            pickle.dumps(holder)
        with pytest.raises(TypeError):
            json.dumps(holder)
    assert str(KEY.id) in repr(KEY)
    assert "k1" in repr(ring)


# Master keys (TE-5)


def test_the_first_key_wraps_and_every_key_unwraps() -> None:
    old, new = bytes(range(32)), bytes(range(1, 33))
    before = Keyring.parse(entry("old", old))
    data_key, wrapped = before.new_data_key(TENANT)
    sealed = data_key.seal(HOME, TOKEN)
    both = Keyring.parse(f" {entry('new', new)} , {entry('old', old)} ")
    assert (both.primary_id, both.ids) == ("new", ("new", "old"))
    moved = both.wrap(TENANT, both.unwrap(TENANT, wrapped))
    assert moved.master_key_id == "new"
    assert Keyring.parse(entry("new", new)).unwrap(TENANT, moved).open(HOME, sealed) == TOKEN


def test_a_missing_master_key_is_named() -> None:
    _, wrapped = Keyring.parse(entry("k2025", bytes(range(32)))).new_data_key(TENANT)
    with pytest.raises(KeyMissing, match="k2025") as caught:
        Keyring.parse(entry("k2026", bytes(range(1, 33)))).unwrap(TENANT, wrapped)
    assert caught.value.key_id == "k2025"


def test_a_wrapped_key_is_bound_to_tenant_id_and_master() -> None:
    ring = Keyring.parse(f"{entry('a', bytes(range(32)))},{entry('b', bytes(range(1, 33)))}")
    _, wrapped = ring.new_data_key(TENANT)
    ring.unwrap(TENANT, wrapped)
    changes = [
        (UUID(int=TENANT.int + 1), wrapped),
        (TENANT, WrappedKey(uuid4(), wrapped.master_key_id, wrapped.wrapped)),
        (TENANT, WrappedKey(wrapped.id, "b", wrapped.wrapped)),
        *((TENANT, WrappedKey(wrapped.id, "a", wrapped.wrapped[:cut])) for cut in range(len(wrapped.wrapped))),
        *(
            (TENANT, WrappedKey(wrapped.id, "a", wrapped.wrapped[:at] + bytes([byte ^ 1]) + wrapped.wrapped[at + 1 :]))
            for at, byte in enumerate(wrapped.wrapped)
        ),
    ]
    for tenant, changed in changes:
        with pytest.raises(SealBroken, match=ONE_MESSAGE):
            ring.unwrap(tenant, changed)


def test_every_workspace_gets_a_key_of_its_own() -> None:
    ring = Keyring.parse(generate_master_key(date(2026, 11, 22)))
    (first, one), (second, two) = ring.new_data_key(TENANT), ring.new_data_key(TENANT)
    assert first.id != second.id
    assert one.wrapped != two.wrapped
    broken(second, HOME, first.seal(HOME, TOKEN))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"bad:{'!' * 44}", "“bad” is not base64"),
        (f"bad:{b64encode(bytes(range(32))).decode()[:-1]}", "“bad” is not base64"),
        (entry("short", bytes(range(31))), "“short” has 31 bytes"),
        (entry("long", bytes(range(33))), "“long” has 33 bytes"),
        ("empty:", "“empty” has 0 bytes"),
        (entry("zero", bytes(32)), "“zero” is all zero"),
        (entry("sample", SAMPLE_KEY), "“sample” is the published sample key"),
        (f"{entry('a', bytes(range(32)))},{entry('a', bytes(range(1, 33)))}", "“a” is there twice"),
        (f"{entry('a', bytes(range(32)))},{entry('b', bytes(range(32)))}", "“b” is the same key as “a”"),
        ("", "entry 1"),
        (f"{entry('a', bytes(range(32)))},", "entry 2"),
        (b64encode(bytes(range(32))).decode(), "entry 1"),
        (f"{b64encode(bytes(range(32))).decode()}:k1", "entry 1"),
        (f"{bytes(range(32)).hex()}:k1", "entry 1"),
        (f"ä:{b64encode(bytes(range(32))).decode()}", "entry 1"),
    ],
)
def test_an_unusable_keyring_is_refused_by_id_without_its_bytes(text: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Keyring.parse(text)
    assert named in str(caught.value)
    for piece in text.replace(",", ":").split(":"):
        assert len(piece) < 12 or piece not in f"{caught.value}{caught.value!r}"


def test_all_unusable_keys_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Keyring.parse(f"a:!,{entry('b', bytes(32))},:x,{entry('c', SAMPLE_KEY)}")
    assert len(caught.value.faults) == 4


@given(text=st.text(max_size=120))
@settings(max_examples=300, deadline=None)
def test_arbitrary_text_is_no_keyring(text: str) -> None:
    with pytest.raises(SettingsError):
        Keyring.parse(text)


def test_a_generated_master_key_tells_its_day_and_works() -> None:
    made = {generate_master_key(date(2026, 1, 5)) for _ in range(50)}
    assert len(made) == 50
    for text in made:
        key_id, _, encoded = text.partition(":")
        assert key_id == "k20260105"
        assert len(b64decode(encoded, validate=True)) == 32
        assert Keyring.parse(text).ids == ("k20260105",)
