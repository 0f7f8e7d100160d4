"""Rules on results, such as ``last(ity, fc5) >= 2.8``.

::

    rule      = call OP (number | word)
    call      = name "(" [argument {"," argument}] ")"
    OP        = "<" | "<=" | ">" | ">=" | "=="
    argument  = bare text without blanks, commas and parentheses, or "text" or 'text'

==========================================  =====================================================
``first last peak min max mean``            of a curve: ``(quantity[, layer[, estimator]])``
``change onset``                            of a phase, likewise; see `infoplane.results.phases`
``at:STEP``                                 the value at a training step, likewise
``verdict(...) == word``                    likewise
``agree(quantity[, layer[, verdict]])``     estimators with this verdict, by default compresses
``share(flag[, layer[, estimator]])``       of the cells that have a flag
``count(flag[, layer[, estimator]])``       their number
``runs()``                                  runs of a group
``similarity(measure, layer, layer)``       of two layers at the last step
``drift(measure, layer, baseline)``         similarity of a layer to that of another group or run
==========================================  =====================================================

A rule is read by this module and evaluated by `infoplane.gate.checks`; no part of it is ever run as
code. Layers are globs (``fc*``, ``fc[345]``), and a rule holds if it holds for every match.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NoReturn

from infoplane.errors import InputError
from infoplane.results.verdicts import VERDICTS
from infoplane.results.vocabulary import Vocabulary
from infoplane.text import some_of

CURVE_STATISTICS = ("first", "last", "peak", "min", "max", "mean", "change", "onset")
SYNONYMS = {"falls": "compresses", "rises": "expands"}
"""Words for the verdicts of quantities that do not compress."""
PAIRS = ("similarity", "drift")
"""The statistics that are about pairs of layers; see `infoplane.gate.pairs`."""
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}

_STATISTICS = (*CURVE_STATISTICS, "at:STEP", "agree", "verdict", "share", "count", "runs", *PAIRS)
_OF_PAIRS = {
    "similarity": ("MEASURE, LAYER, LAYER", "cka, fc1, fc2"),
    "drift": ("MEASURE, LAYER, BASELINE", "cka, 'fc*', baseline"),
}
_LONGEST = 1000  # characters of a rule
_TOKEN = re.compile(
    r"\s*(?:(?P<open>\()|(?P<close>\))|(?P<comma>,)|(?P<op><=|>=|==|<|>)"
    r"""|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s(),<>="'][^\s(),<>"']*))"""
)

Level = Literal["error", "warning"]
Use = Literal["value", "ci"]


@dataclass(frozen=True)
class Rule:
    """A rule, read and checked: its statistic, what it selects, and the relation that must hold."""

    text: str
    statistic: str  # of _STATISTICS; "at" with `step`
    step: int | None
    subject: str  # a quantity, or a flag for share and count
    layer: str  # glob
    estimator: str  # id or name; "" is every estimator
    verdict: str  # counted by agree
    operator: str
    expected: float | str  # a number, or a verdict
    expected_text: str  # as it was written

    @property
    def relation(self) -> str:
        """What is expected, e.g. ``>= 2.8``."""
        return f"{self.operator} {self.expected_text}"


@dataclass(frozen=True)
class Check:
    """A rule with its name, what its failure means, and where it was written."""

    name: str
    rule: Rule
    level: Level = "error"
    use: Use = "value"
    source: str | None = None  # file:line

    def resolved(self, known: Vocabulary) -> Check:
        """Return the check with its rule `resolved`; an error names where it was written.

        Raises
        ------
        InputError
            IP503 for a name that is not known.
        """
        try:
            return replace(self, rule=resolved(self.rule, known))
        except InputError as error:
            where = f"{self.source}: " if self.source else ""
            raise InputError(f"{where}{error}", hint=error.hint, code=error.code) from error


def forbid(flag: str) -> Check:
    """Return the check that no cell has a flag.

    Raises
    ------
    InputError
        If it is no name.
    """
    return Check(f"no cell is {flag}", parse_rule(f"count({flag}) == 0"))


def parse_rule(text: str) -> Rule:
    """Read a rule.

    Raises
    ------
    InputError
        IP501 if it does not follow the grammar, IP502 for an unknown statistic, with the nearest
        name. Quantities, flags and verdicts are those of the results: see `resolved`.
    """
    if len(text) > _LONGEST:
        raise InputError(
            f"rule of {len(text)} characters: expected at most {_LONGEST}", code="IP501"
        )
    rule = _Parser(text).rule()
    return _checked(rule)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    column: int  # from 1


class _Parser:
    """Reads the tokens of a rule from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokens())
        self.at = 0

    def rule(self) -> Rule:
        name = self._take("bare", "a statistic, e.g. last")
        self._take("open", "'('")
        arguments: list[str] = []
        if self._next.kind != "close":
            arguments.append(self._argument())
            while self._next.kind == "comma":
                self._take("comma", "','")
                arguments.append(self._argument())
        self._take("close", "',' or ')'")
        relation = self._take("op", "one of < <= > >= ==")
        literal = self._take("bare", "a number or a verdict")
        self._take("end", "nothing more")
        statistic, _, step = name.text.partition(":")
        if statistic == "drift" and len(arguments) == 2:
            arguments.append("baseline")
        if statistic in PAIRS and (len(arguments) != 3 or not all(arguments)):
            self._fail_pair(statistic, arguments)
        if len(arguments) > 3:
            self._fail("expected at most 3 arguments", name)
        subject, layer, third = (*arguments, *[""] * 3)[:3]
        if statistic == "runs" and arguments:
            self._fail("runs() takes no arguments", name)
        if statistic != "runs" and not subject:
            self._fail(f"expected {statistic}(...) to name a quantity or a flag", name)
        if (statistic == "at") != bool(step) or (step and not re.fullmatch(r"[0-9]{1,18}", step)):
            self._unknown(name.text)
        return Rule(
            text=self.text,
            statistic=statistic,
            step=int(step) if step else None,
            subject=subject,
            layer=layer or "**",
            estimator="" if statistic == "agree" else third,
            verdict=(third or "compresses") if statistic == "agree" else "",
            operator=relation.text,
            expected=_number(literal.text),
            expected_text=literal.text,
        )

    def _tokens(self) -> Sequence[_Token]:
        found, at = [], 0
        while self.text[at:].strip():
            match = _TOKEN.match(self.text, at)
            if match is None:
                column = at + len(self.text[at:]) - len(self.text[at:].lstrip()) + 1
                self._fail("expected a name, a number, or one of ( ) , < <= > >= ==", column=column)
            kind = str(match.lastgroup)
            token = _Token(kind, match[kind], match.start(kind) + 1)
            found.append(replace(token, kind="text") if kind in ("single", "double") else token)
            at = match.end()
        found.append(_Token("end", "", len(self.text) + 1))
        return found

    @property
    def _next(self) -> _Token:
        return self.tokens[self.at]

    def _take(self, kind: str, wanted: str) -> _Token:
        token = self._next
        if token.kind != kind:
            self._fail(f"expected {wanted}", token)
        self.at += 1
        return token

    def _argument(self) -> str:
        token = self._next
        if token.kind not in ("bare", "text"):
            self._fail("expected an argument", token)
        self.at += 1
        return token.text

    def _fail(self, wanted: str, token: _Token | None = None, *, column: int = 0) -> NoReturn:
        at = token.column if token else column
        found = f", found {self.text[at - 1 :].split()[0]!r}" if self.text[at - 1 :].split() else ""
        raise InputError(
            f"rule {self.text!r}: {wanted} at column {at}{found}",
            hint="a rule reads: last(ity, fc5) >= 2.8",
            code="IP501",
        )

    def _fail_pair(self, statistic: str, arguments: Sequence[str]) -> NoReturn:
        wanted, example = _OF_PAIRS[statistic]
        found = ", ".join(map(repr, arguments)) or "nothing"
        raise InputError(
            f"rule {self.text!r}: expected {statistic}({wanted}), found {found} in the parentheses",
            hint=f"a rule reads: {statistic}({example}) >= 0.8",
            code="IP501",
        )

    def _unknown(self, name: str) -> NoReturn:
        if name != "at":
            _member(name, _STATISTICS, "statistic", f"rule {self.text!r}", "IP502")
        raise InputError(
            f"rule {self.text!r}: expected a step, e.g. at:100(ity) >= 1", code="IP502"
        )


def _number(text: str) -> float | str:
    """Return a literal as a finite number, or as the word that it is."""
    if re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def resolved(rule: Rule, known: Vocabulary) -> Rule:
    """Return a rule whose names are known, its verdict by the word that results hold.

    Parameters
    ----------
    rule : Rule
        The rule.
    known : Vocabulary
        The quantities and flags of the results, or of the estimators that are installed. A
        quantity brings its own words for a fall and a rise.

    Raises
    ------
    InputError
        IP503 for a quantity, flag or verdict that is not known, with the nearest name.
    """
    where = f"rule {rule.text!r}"
    if rule.statistic in PAIRS:
        return rule  # its names are those of the results; what they do not hold is unknown
    if rule.statistic in ("share", "count"):
        _member(rule.subject, tuple(known.flags), "flag", where, "IP503")
    elif rule.statistic in ("peak", "change", "onset", "agree", "verdict"):
        names = [name for name, quantity in known.quantities.items() if quantity.verdict]
        _member(rule.subject, names, "quantity of phases", where, "IP503")
    elif rule.statistic != "runs":
        _member(rule.subject, tuple(known.quantities), "quantity", where, "IP503")
    if rule.statistic not in ("agree", "verdict"):
        return rule
    about = known.quantity(rule.subject)
    words = {word: word for word in VERDICTS} | SYNONYMS
    words |= {about.falls: "compresses", about.rises: "expands"}
    word = rule.verdict if rule.statistic == "agree" else rule.expected_text
    _member(word, tuple(words), "verdict", where, "IP503")
    if rule.statistic == "agree":
        return replace(rule, verdict=words[word])
    return replace(rule, expected=words[word])


def _checked(rule: Rule) -> Rule:
    """Return the rule if its statistic is known and the relation makes sense."""
    where = f"rule {rule.text!r}"
    if rule.statistic != "at":
        _member(rule.statistic, _STATISTICS, "statistic", where, "IP502")
    if rule.statistic == "verdict":
        if rule.operator != "==":
            raise InputError(f"{where}: verdicts are compared with == only", code="IP501")
        return replace(rule, expected=rule.expected_text)
    if isinstance(rule.expected, str):
        raise InputError(
            f"{where}: expected a finite number after {rule.operator}, "
            f"found {rule.expected_text!r}",
            code="IP501",
        )
    if rule.statistic in PAIRS and rule.operator == "==":
        raise InputError(f"{where}: expected one of < <= > >=, found ==", code="IP501")
    return rule


def _member(name: str, known: Sequence[str], what: str, where: str, code: str) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(
        f"{where}: unknown {what} {name!r}{meant}",
        hint=f"{what}: {some_of(known, between=', ')}",
        code=code,
    )
