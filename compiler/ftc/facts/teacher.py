"""The teacher of a distillation: found, read and held against the student like a base model of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftc.diagnostics import Finding, Span
from ftc.facts.cache import Cache
from ftc.facts.locate_model import Located, locate_model
from ftc.recipe.layers import Key, Origins
from ftc.recipe.model import Model, Recipe

if TYPE_CHECKING:
    from ftc.facts.model import ModelFacts

AT: Key = ("train", "objective", "teacher")


class TeacherOrigins(Origins):
    """The places of a recipe, where that of the base model is the teacher's."""

    def __init__(self, origins: Origins) -> None:
        super().__init__(origins.layers, origins.main)

    def key(self, *path: str | int) -> Span | None:
        """The key of a setting, or of the nearest table around it that exists in a text."""
        return super().key(*_moved(path))

    def value(self, *path: str | int) -> Span | None:
        """The value of a setting, or of the nearest table around it that exists in a text."""
        return super().value(*_moved(path))


def _moved(path: Key) -> Key:
    return (*AT[:-1], "revision") if path == ("model", "revision") else AT if path[:1] == ("model",) else path


def locate_teacher(recipe: Recipe, origins: Origins) -> Located | Finding | None:
    """The teacher's place, or what is wrong there; None where the objective has none."""
    stated: Any = recipe.train.objective
    name = getattr(stated, "teacher", None)
    if name is None:
        return None
    return locate_model(Model(base=name, revision=stated.revision), TeacherOrigins(origins))


def teacher_facts(
    located: Located, student: ModelFacts, origins: Origins, cache: Cache
) -> ModelFacts | Finding:
    """What the plan needs to know of the teacher; a finding where a token is not the same to both."""
    from ftc.facts.materialise import model_facts

    found = model_facts(located, TeacherOrigins(origins), cache)
    if isinstance(found, Finding):
        return found
    if found.vocabulary == student.vocabulary and _tokens(found) == _tokens(student):
        return found
    said = f"{found.vocabulary:,} tokens and the student {student.vocabulary:,}"
    if found.vocabulary == student.vocabulary:
        said = "other tokens than the student under the same numbers"
    return Finding(
        "FTC513",
        f"the teacher has {said}, so that their probabilities cannot be compared",
        origins.value(*AT),
        help=("name a teacher of the same family, whose config.json has the same vocab_size",),
    )


def _tokens(facts: ModelFacts) -> dict[str, int]:
    """The tokens of a model's tokenizer and their numbers."""
    from tokenizers import Tokenizer

    vocabulary: dict[str, int] = Tokenizer.from_file(str(facts.directory / "tokenizer.json")).get_vocab()
    return vocabulary


__all__ = ["TeacherOrigins", "locate_teacher", "teacher_facts"]
