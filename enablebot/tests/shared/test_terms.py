"""Terms: what must meet does, what must not does not, and no text at all is too much."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enablebot.shared.knowledge import terms
from enablebot.shared.knowledge.languages import language_of
from enablebot.shared.knowledge.terms import DIMENSIONS, cut, cut_question, term_id, weigh, weigh_question

ACME, OTHER = UUID(int=1), UUID(int=2)

COMPOUNDS = (
    "CVE-2023-45142",
    "C++",
    "C#",
    "--dry-run",
    "-rf",
    "ops@example.com",
    "root@db-1.internal:5432",
    "v1.2.3",
    "1.2.3-rc.1",
    "max_retry_count",
    "/etc/nginx/nginx.conf",
    "~/.ssh/config",
    ".env",
    "10.0.0.1",
    "2024-03-01",
    "SKU:AB-1234/X",
    "https://docs.example.com/a/b",
)


@pytest.mark.parametrize("compound", COMPOUNDS)
@pytest.mark.parametrize("around", ["{}", "see {}, please", "({})", "“{}”.", "`{}`", "a\t{}\nb", "运行{}。"])
def test_a_compound_stays_whole_whatever_stands_around_it(compound: str, around: str) -> None:
    assert compound.lower() in cut(around.format(compound))


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("We were resetting passwords.", "password reset"),
        ("Zürich, Straße", "ZURICH strasse"),
        ("café crème", "CAFE CREME"),
        ("Die Kündigungsfristen sind lang, und die Häuser alt.", "Kündigungsfrist Haus"),
        ("Las facturas de los clientes son rápidas.", "factura rapida"),
        ("Les demandes des employés sont dans le dossier.", "demande employé"),
        ("Программирование программ", "программа"),
        ("e-mail", "email"),
        ("IL-6", "IL6"),
        ("the user’s files", "user file"),
        ("1,000 seats", "1000"),
        ("1.000.000 Sitze", "1000000"),
        ("10GB", "10 gb"),
        ("parseConfig(file)", "config parse"),
        ("HTTPServer", "http server"),
        ("v1.2.3", "1.2.3"),
        ("ops@example.com", "example.com"),
        ("/etc/nginx/nginx.conf", "nginx.conf"),
        ("--dry-run", "dry-run"),
        ("max_retry_count", "retry count"),
        ("ＣＶＥ－２０２３－１", "cve-2023-1"),
        ("ﬁle", "file"),
        ("soft\u00adhyphen", "softhyphen"),
        ("non‑breaking", "non-breaking"),
        ("年次有給休暇の申請", "有給休暇"),
        ("我们的退货政策", "退货"),
        ("税", "税"),
        ("住民税を払う", "税"),
        ("회사에서 휴가를 신청", "휴가"),
        ("สวัสดีครับ", "สวัสดี"),
        ("हिन्दी भाषा", "हिन्दी"),
        ("مُحَمَّد", "محمد"),
        ("שָׁלוֹם", "שלום"),
    ],
)
def test_what_means_the_same_meets(text: str, question: str) -> None:
    for word in question.split():
        assert set(cut_question(word)) & set(cut(text)), word


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("C++", "C#"),
        ("C", "C++"),
        ("CVE-2023-45142", "CVE-2023-45143"),
        ("v1.2.3", "v1.2.4"),
        ("--dry-run", "--dry-runs"),
        ("ops@example.com", "dev@example.com"),
    ],
)
def test_a_whole_compound_is_not_found_by_another(text: str, question: str) -> None:
    assert cut_question(question)[0] not in cut(text)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where do I find the form?", "english"),
        ("Wo finde ich das Formular?", "german"),
        ("¿Dónde está el formulario?", "spanish"),
        ("Où est le formulaire ?", "french"),
        ("Dov'è il modulo della banca?", "italian"),
        ("Onde está o formulário?", "portuguese"),
        ("Waar is het formulier van de bank?", "dutch"),
        ("Kündigungsfristen", None),
        ("", None),
        ("我们的产品", None),
    ],
)
def test_a_language_shows_by_its_little_words(text: str, language: str | None) -> None:
    assert language_of(text) == language


def test_a_question_is_looked_for_without_its_little_words_unless_it_has_no_others() -> None:
    assert cut_question("How do I turn the key?") == ["turn", "key"]
    assert cut_question("to be or not to be") == ["to", "be", "or", "not", "to", "be"]
    assert cut_question("Can IT help us?") == ["it", "help"]
    assert cut("to be") == ["to", "be"]


def test_a_single_word_is_looked_for_in_every_language() -> None:
    assert set(cut_question("Fristen")) >= {"fristen", "frist"}


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet=st.characters(), max_size=300))
def test_no_text_raises_and_every_term_is_short_and_has_no_space(text: str) -> None:
    for find in (cut, cut_question):
        for term in find(text):
            assert 0 < len(term) <= 2 * 64
            assert not any(letter.isspace() for letter in term)
    weigh(ACME, text)
    weigh_question(ACME, text)


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet="aA1-_.@/:'’+#~=& \u0301\u4e00あ한ก\u0915\u093f\ud800", max_size=200))
def test_what_joins_words_never_breaks_the_cutting(text: str) -> None:
    assert cut(text) == cut(text)
    assert all(cut(text))


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "ab-",
        "-",
        "--",
        ".",
        "a.b@",
        "_",
        "'",
        "a'",
        "A",
        "aB",
        "1,000",
        "中",
        "ก",
        "क",
        "\u0301",
        "e\u0301",
        "=",
        "/~",
        "# ",
    ],
)
def test_work_grows_with_the_length_of_a_text_and_no_faster(piece: str) -> None:
    def steps(text: str) -> int:
        return _steps(lambda: cut_question(text))

    _steps(lambda: cut_question(piece * 10))
    short, long = (steps(piece * (size // len(piece))) for size in (10_000, 100_000))
    assert long <= 11 * short + 1_000


def _steps(work: Callable[[], object]) -> int:
    """Count lines of ours that run: the same on every machine, however busy."""
    count = 0

    def trace(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    terms._terms.cache_clear()
    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_a_word_of_a_hundred_thousand_letters_is_one_short_term() -> None:
    assert [len(term) for term in cut("x" * 100_000)] == [64]


def test_terms_have_other_numbers_in_another_workspace() -> None:
    words = [f"word{number}" for number in range(2_000)]
    ours, theirs = ({term_id(tenant, word) for word in words} for tenant in (ACME, OTHER))
    assert len(ours & theirs) <= 1
    assert all(1 <= number <= DIMENSIONS for number in ours | theirs)
    assert term_id(ACME, "word1") == term_id(UUID(int=1), "word1")


def test_the_number_of_a_term_never_changes() -> None:
    # Stored passages are found by it: another number for the same term would lose them all.
    assert term_id(UUID("0f0e0d0c-0b0a-0908-0706-050403020100"), "passage") == 296913751


def test_a_passage_s_weights_are_those_of_bm25() -> None:
    weighed = weigh(ACME, "key key lock")
    by_id = dict(zip(weighed.ids, weighed.weights, strict=True))
    norm = 1.2 * (0.25 + 0.75 * 3 / 200)
    assert by_id[term_id(ACME, "key")] == pytest.approx(2 * 2.2 / (2 + norm), abs=0.0001)
    assert by_id[term_id(ACME, "lock")] == pytest.approx(2.2 / (1 + norm), abs=0.0001)
    assert weighed.count == 3
    assert list(weighed.ids) == sorted(weighed.ids)


def test_a_question_s_terms_weigh_as_often_as_they_are_said() -> None:
    weighed = weigh_question(ACME, "key lock key")
    assert dict(zip(weighed.ids, weighed.weights, strict=True)) == {
        term_id(ACME, "key"): 2.0,
        term_id(ACME, "lock"): 1.0,
    }


def test_a_sparsevec_s_16_000_terms_are_never_exceeded() -> None:
    # A few of them share a number.
    assert 15_990 <= len(weigh(ACME, " ".join(f"w{number}" for number in range(20_000))).ids) <= 16_000


def test_threads_cut_alike() -> None:
    texts = [f"Resetting passwords of user{number} is what the helpdesk does" for number in range(400)]
    expected = [cut(text) for text in texts]
    terms._terms.cache_clear()
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(cut, texts)) == expected
