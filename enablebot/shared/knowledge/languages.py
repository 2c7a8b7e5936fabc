"""Which language a text is in, by the little words that hold its sentences together; enough to stem it rightly."""

import re
from typing import Literal

Language = Literal["english", "german", "french", "spanish", "italian", "portuguese", "dutch"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The commonest of each language that carry no meaning of their own. A question is looked for without them.
FUNCTION_WORDS: dict[Language, frozenset[str]] = {
    "english": _words(
        "a about am an and any are as at be been being but by can could did do does for from get got had has have he "
        "her him his how i if in into is it its just may me might my no not of on only or our out she should so some "
        "such than that the their them then there these they this to too up us very was we were what when where which "
        "who whom why will with would you your"
    ),
    "german": _words(
        "ab als am an auf aus bei bis da das dass dem den der des die dies diese dieser du durch ein eine einem einen "
        "einer eines er es für hat haben hatte ich ihr im in ist kann man mehr mit muss nach nicht noch nur ob oder "
        "ohne sein seine sich sie sind so über um und uns unter vom von vor wann war warum was welche welcher welches "
        "wenn wer werden wie wieso wir wird wo woran wurde zu zum zur"
    ),
    "french": _words(
        "à au aux avec ce ces cette combien comme comment dans de des du elle en est et il ils je la le les leur lui "
        "mais ne nous on ont ou où par pas plus pour pourquoi quand que quel quelle quelles quels qui sa se ses si "
        "son sont sur un une vous"
    ),
    "spanish": _words(
        "a al como con cómo cuál cuáles cuando cuándo cuánto cuántos de del desde dónde donde el ella en entre era es "
        "esta este fue ha hasta hay la las le lo los más me mi muy no o para pero por qué que quién se ser si sin "
        "sobre son su sus también un una y ya"
    ),
    "italian": _words(
        "a ai al alla anche che chi come con cosa da dai dal dalla dei del della delle di dove e è gli ha i il in io "
        "la le lo ma mi nel nella nelle non o per perché più quale quali quando quanto questa questo se si sono su "
        "sua suo un una uno"
    ),
    "portuguese": _words(
        "a ao aos as com como da das de do dos e é ela ele em entre era está eu foi há isso já mais mas me muito na "
        "não nas no nos o onde os ou para pela pelo por qual quais quando quanto que quem se sem ser seu sua são "
        "também um uma"
    ),
    "dutch": _words(
        "aan als bij dan dat de deze die dit door een en er haar heb heeft het hij hoe hun ik in is je kan kunnen "
        "maar meer met naar niet nog of om onder ook op over te tot uit van veel voor waar waarom wanneer wat welk "
        "welke we wie wordt worden zal ze zich zijn"
    ),
}

# The beginning says it; a passage is hardly longer.
_LOOKED_AT = 2_000
_WORD = re.compile(r"[^\W\d_]+")


def language_of(text: str) -> Language | None:
    """Return the language most of a text's little words belong to; None where it has none of any."""
    words = _WORD.findall(text[:_LOOKED_AT].casefold())
    counts = {language: sum(word in own for word in words) for language, own in FUNCTION_WORDS.items()}
    # Of equals the first: English.
    language = max(counts, key=counts.__getitem__)
    return language if counts[language] else None
