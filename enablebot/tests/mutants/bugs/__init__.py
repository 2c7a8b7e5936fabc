"""The bugs that this product must never have, and the tests that would notice each."""

from enablebot.tests.mutants.bugs import answers, documents, files, inbox, instances, outside, rest, set_aside, walls
from enablebot.tests.mutants.mutant import Mutant, ToCome

MUTANTS: tuple[Mutant, ...] = (
    *inbox.MUTANTS,
    *answers.MUTANTS,
    *outside.MUTANTS,
    *set_aside.MUTANTS,
    *instances.MUTANTS,
    *walls.MUTANTS,
    *rest.MUTANTS,
    *files.MUTANTS,
    *documents.MUTANTS,
)

TO_COME: tuple[ToCome, ...] = ()
