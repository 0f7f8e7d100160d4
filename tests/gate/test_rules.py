import contextlib
import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoplane.errors import InputError
from infoplane.estimators.quantities import Quantity
from infoplane.gate.rules import forbid, parse_rule, resolved
from infoplane.results.verdicts import VERDICTS
from infoplane.results.vocabulary import Vocabulary

REGISTER = Vocabulary.declared([])


def test_parts_of_a_rule():
    rule = parse_rule(" last( ity , fc[345], binning ) >= 2.80 ")
    assert (rule.statistic, rule.subject, rule.layer, rule.estimator) == (
        "last", "ity", "fc[345]", "binning",
    )  # fmt: skip
    assert (rule.operator, rule.expected, rule.expected_text) == (">=", 2.8, "2.80")
    assert rule.relation == ">= 2.80"


def test_no_layer_means_every_layer_and_quotes_hold_what_bare_text_cannot():
    rule = parse_rule("""at:600(ixt,'block (1)',"binning:bins=15,mode=fixed")<-1e-3""")
    assert (rule.statistic, rule.step) == ("at", 600)
    assert (rule.layer, rule.estimator) == ("block (1)", "binning:bins=15,mode=fixed")
    assert rule.expected == -0.001
    assert parse_rule("last(ixt) > 1").layer == "**"
    assert parse_rule("last(ixt, fc1, binning:bins=15) > 1").estimator == "binning:bins=15"


def test_verdict_and_agree():
    rule = parse_rule("verdict(ixt, fc5) == compresses")
    assert rule.expected == "compresses"
    assert resolved(parse_rule("verdict(ity, fc5) == falls"), REGISTER).expected == "compresses"
    assert resolved(parse_rule("agree(ity, fc5, rises) >= 2"), REGISTER).verdict == "expands"
    assert parse_rule("agree(ixt, fc5) >= 2").verdict == "compresses"
    assert parse_rule("agree(ixt, fc5, no_change) >= 2").verdict == "no_change"


def test_a_quantity_brings_its_own_word_for_a_fall():
    own = Quantity("width", "W", "units", falls="narrows")
    known = Vocabulary({**REGISTER.quantities, "width": own}, REGISTER.flags)
    rule = parse_rule("verdict(width) == narrows")
    assert resolved(rule, known).expected == "compresses"
    with pytest.raises(InputError, match="unknown verdict 'narrows'"):
        resolved(parse_rule("verdict(ixt) == narrows"), known)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", "IP501", "expected a statistic"),
        ("last", "IP501", "expected '('"),
        ("last(ity fc5) > 1", "IP501", "expected ',' or ')' at column 10, found 'fc5)'"),
        ("last(ity,) > 1", "IP501", "expected an argument"),
        ("last() > 1", "IP501", "to name a quantity"),
        ("last(ity, a, b, c) > 1", "IP501", "at most 3 arguments"),
        ("last(ity)", "IP501", "expected one of < <= > >= =="),
        ("last(ity) = 1", "IP501", "one of ( ) , < <= > >= == at column 11, found '='"),
        ("last(ity) > 1 or 2 > 1", "IP501", "expected nothing more"),
        ("last(ity) > one", "IP501", "expected a finite number"),
        ("last(ity) > nan", "IP501", "expected a finite number"),
        ("last(ity) > 1e999", "IP501", "expected a finite number"),
        ("last(ity) > 0x10", "IP501", "expected a finite number"),
        ("last('ity) > 1", "IP501", "at column 6"),
        ("similarity() >= 0.5", "IP501", "(MEASURE, LAYER, LAYER), found nothing in"),
        ("similarity(cka) >= 0.5", "IP501", "(MEASURE, LAYER, LAYER), found 'cka' in"),
        ("similarity(cka, ok) >= 0.5", "IP501", "(MEASURE, LAYER, LAYER), found 'cka', 'ok' in"),
        ("similarity(cka, ok, '') >= 0.5", "IP501", "similarity(MEASURE, LAYER, LAYER), found"),
        ("similarity(cka, a, b, c) >= 0.5", "IP501", "similarity(MEASURE, LAYER, LAYER), found"),
        ("drift(cka) >= 0.5", "IP501", "drift(MEASURE, LAYER, BASELINE), found 'cka' in"),
        ("verdict(ixt) >= compresses", "IP501", "== only"),
        ("runs(ixt) > 1", "IP501", "takes no arguments"),
        ("lst(ity) > 1", "IP502", "did you mean 'last'?"),
        ("at(ity) > 1", "IP502", "expected a step"),
        ("at:x(ity) > 1", "IP502", "unknown statistic 'at:x'"),
        ("last:3(ity) > 1", "IP502", "did you mean 'last'?"),
        ("__import__(os) > 1", "IP502", "unknown statistic '__import__'"),
        ("last(ixtt) > 1", "IP503", "did you mean 'ixt'?"),
        ("change(ht) > 1", "IP503", "unknown quantity of phases 'ht'"),
        ("share(saturate) < 1", "IP503", "did you mean 'saturated'?"),
        ("verdict(ixt) == compress", "IP503", "did you mean 'compresses'?"),
        ("x" * 2000, "IP501", "at most 1000"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text, code, message):
    with pytest.raises(InputError) as raised:
        resolved(parse_rule(text), REGISTER)
    assert raised.value.code == code
    assert message in str(raised.value)


@pytest.mark.parametrize("statistic", ["similarity", "drift"])
def test_the_hint_for_a_pair_is_a_rule_of_pairs_that_can_be_read(statistic):
    with pytest.raises(InputError) as raised:
        parse_rule(f"{statistic}(cka) >= 0.5")
    hint = raised.value.hint.removeprefix("a rule reads: ")
    assert parse_rule(hint).statistic == statistic


def test_unknown_flag_is_named():
    with pytest.raises(InputError, match="did you mean 'failed'"):
        resolved(forbid("faild").rule, REGISTER)


def test_verdicts_are_those_of_the_results_schema():
    schema = json.loads(
        resources.files("infoplane.schemas").joinpath("results.schema.json").read_text()
    )
    assert set(VERDICTS) == set(schema["$defs"]["phase"]["properties"]["verdict"]["enum"])


@given(st.text(alphabet="lastixyfc()[]<>=,.:*'\" 0123456789e-\n\x1b", max_size=40))
def test_any_text_is_a_rule_or_an_error(text):
    with contextlib.suppress(InputError):
        assert parse_rule(text).text == text
