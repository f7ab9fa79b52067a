"""Reads the lexicon and compiles its templates to regular expressions over normalised sentences.

A template is a row of items separated by spaces: a word; `(a|b c)`, one of several; `<class>`, a
member of a named class; `~N`, up to N words of any kind. `?` after an item makes it optional, `*`
lets it occur up to four times. Every repetition is bounded, so matching is linear in the text.
What matches are worth together is left to `scorer`.
"""

import functools
import hashlib
import importlib.resources
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from assay.documents import Document, parse_json, validate
from assay.errors import ConfigError
from evaluators.toxicity_lexicon.normalise import fold_diacritics

Weight = Annotated[float, Field(gt=0, lt=1)]
Language = Literal["en", "vi"]

_ITEM = re.compile(r"\([^()]+\)[?*]?|<\w+>[?*]?|~[1-5]|[^\s()<>~|]+")
_CLASS = re.compile(r"<(\w+)>")


class Group(Document):
    """Templates of one family in one language that weigh the same.

    Attributes:
        family: matches of one family count once, by the heaviest.
        lang: language of the templates.
        weight: the probability of toxicity that a match alone stands for.
        patterns: the templates.
        fold: whether Vietnamese templates also match a sentence typed without diacritics. False
            where a folded form is a common harmless word (`chó`, dog, folds to `cho`, give).
    """

    family: str
    lang: Language
    weight: Weight
    patterns: list[str] = Field(min_length=1)
    fold: bool = True


class Dampening(Document):
    """Contexts in which an insult is reported, refused or discussed rather than made.

    Attributes:
        factor: what the weights of such a sentence are multiplied by.
        en: English templates.
        vi: Vietnamese templates.
    """

    factor: Weight
    en: list[str]
    vi: list[str]


class LexiconDocument(Document):
    """`lexicon.json` as it is written.

    Attributes:
        schema_version: of this format.
        version: of the content; raised with every change of it.
        classes: named lists of words and phrases that templates refer to.
        no_fold: class members left out where a template is matched without diacritics, because
            the folded form is a common word of either language (`hèn`, coward, folds to `hen`).
        groups: what counts toward toxicity.
        cancel: spans in which a match does not count, by language.
        dampen: contexts that weaken a whole sentence.
    """

    schema_version: Literal[1]
    version: str
    classes: dict[str, Annotated[list[str], Field(min_length=1)]]
    no_fold: list[str]
    groups: list[Group] = Field(min_length=1)
    cancel: dict[Language, list[str]]
    dampen: Dampening


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One compiled family part: a match in a sentence is worth `weight`."""

    family: str
    weight: float
    regex: re.Pattern[str]
    folded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """The compiled lexicon.

    Attributes:
        version: the written version and the first 12 hex digits of the file's SHA-256.
        rules: what counts toward toxicity; folded ones only in a sentence without diacritics.
        cancels: spans in which a match does not count, for sentences with / without diacritics.
        dampers: contexts that weaken a sentence, for sentences with / without diacritics.
        damp_factor: by how much.
        vocabulary: every word of the lexicon, with and without diacritics.
    """

    version: str
    rules: tuple[Rule, ...]
    cancels: tuple[re.Pattern[str], re.Pattern[str]]
    dampers: tuple[re.Pattern[str], re.Pattern[str]]
    damp_factor: float
    vocabulary: frozenset[str]


@functools.cache
def embedded_lexicon() -> Lexicon:
    """Returns the lexicon that ships with the package, compiled once per process."""
    resource = importlib.resources.files("evaluators") / "toxicity_lexicon" / "lexicon.json"
    return compile_lexicon(resource.read_bytes(), where="evaluators/toxicity_lexicon/lexicon.json")


def compile_lexicon(data: bytes, *, where: str) -> Lexicon:
    """Compiles a lexicon document.

    Args:
        data: the JSON document, UTF-8.
        where: its name, for the error message.

    Raises:
        ConfigError: not valid JSON, not a lexicon, or a template that does not parse.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not UTF-8 (byte {error.start}); convert the file") from None
    document = validate(parse_json(text, where), LexiconDocument, where)
    build = functools.partial(_compile, classes=document.classes, where=where)
    foldable = _foldable_classes(document)
    rules = []
    for group in document.groups:
        rules.append(_rule(group, build(group.patterns), folded=False))
        if group.lang == "vi" and group.fold:
            folded = [fold_diacritics(template) for template in group.patterns]
            rules.append(_rule(group, build(folded, classes=foldable), folded=True))
    return Lexicon(
        version=f"{document.version}+{hashlib.sha256(data).hexdigest()[:12]}",
        rules=tuple(rules),
        cancels=_both_spellings(
            build, document.cancel.get("en", []), document.cancel.get("vi", [])
        ),
        dampers=_both_spellings(build, document.dampen.en, document.dampen.vi),
        damp_factor=document.dampen.factor,
        vocabulary=_vocabulary(document),
    )


def _rule(group: Group, regex: re.Pattern[str], *, folded: bool) -> Rule:
    return Rule(family=group.family, weight=group.weight, regex=regex, folded=folded)


def _both_spellings(
    build: "functools.partial[re.Pattern[str]]", english: list[str], vietnamese: list[str]
) -> tuple[re.Pattern[str], re.Pattern[str]]:
    templates = [*english, *vietnamese]
    return build(templates), build([*templates, *map(fold_diacritics, vietnamese)])


def _foldable_classes(document: LexiconDocument) -> dict[str, list[str]]:
    left_out = set(document.no_fold)
    return {
        name: [fold_diacritics(word) for word in words if word not in left_out]
        for name, words in document.classes.items()
    }


def _compile(
    templates: Iterable[str], *, classes: dict[str, list[str]], where: str
) -> re.Pattern[str]:
    """Compiles templates to one pattern that matches from a word's leading space to its end."""
    bodies = [_expression(template, classes, where) for template in templates]
    return re.compile(f"(?:{'|'.join(bodies)})(?= )" if bodies else r"(?!)")


def _expression(template: str, classes: dict[str, list[str]], where: str) -> str:
    items = _ITEM.findall(template)
    if " ".join(items) != template:
        raise ConfigError(
            f"{where}: template {template!r} does not parse; expected words, (a|b), <class> and ~N "
            "separated by single spaces, with ? or * after a bracket; correct the template"
        )
    return "".join(_item(item, template, classes, where) for item in items)


def _item(item: str, template: str, classes: dict[str, list[str]], where: str) -> str:
    if item.startswith("~"):
        return rf"(?: \S+){{0,{item[1:]}}}?"
    repeat = {"?": "?", "*": "{0,4}"}.get(item[-1], "")
    body = item.removesuffix("?").removesuffix("*")
    if found := _CLASS.fullmatch(body):
        if found[1] not in classes:
            raise ConfigError(
                f"{where}: template {template!r} names class {found[1]!r}; expected one of "
                f"{', '.join(sorted(classes))}; correct the name or add the class"
            )
        words = classes[found[1]]
    else:
        words = body.strip("()").split("|")
    # Longest first: an alternation takes the first member that fits.
    ordered = sorted(set(words), key=lambda word: (-len(word), word))
    return f"(?: (?:{'|'.join(map(re.escape, ordered))})){repeat}".replace(r"\ ", " ")


def _vocabulary(document: LexiconDocument) -> frozenset[str]:
    templates = [pattern for group in document.groups for pattern in group.patterns]
    templates += [t for part in document.cancel.values() for t in part]
    templates += [*document.dampen.en, *document.dampen.vi]
    plain = " ".join(re.sub(r"<\w+>|~\d|[()|?*]", " ", template) for template in templates)
    words = set(plain.split())
    for members in document.classes.values():
        words.update(word for member in members for word in member.split())
    return frozenset(words | {fold_diacritics(word) for word in words})
