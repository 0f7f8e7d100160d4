import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoplane.estimators.measure_id import MeasureId

words = st.text("abcxyz_0123456789+.-", min_size=1)
settings = st.lists(st.tuples(words, words), unique_by=lambda pair: pair[0]).map(tuple)


@given(words, settings, settings)
def test_what_is_written_reads_back_the_same(name, own, point):
    measured = MeasureId(name, own, point)
    assert MeasureId.read(str(measured)) == measured


@given(st.text())
def test_any_text_is_a_name(text):
    assert MeasureId.read(text).name == text.partition(":")[0].partition("@")[0]


@pytest.mark.parametrize(
    ("estimator", "quantity", "expected"),
    [
        ("binning", "ixt@bins=15", "binning:bins=15"),
        ("binning:bins=15+30,mode=fixed", "ixt@bins=15", "binning:mode=fixed,bins=15"),
        ("dse:n_clusters=3+10,t=1+2", "dse@n_clusters=3,t=2", "dse:n_clusters=3,t=2"),
        ("binning:mode=fixed", "ixt", "binning:mode=fixed"),
    ],
)
def test_the_point_of_a_sweep_takes_the_place_of_the_values_swept(estimator, quantity, expected):
    point = MeasureId.read(quantity).point
    assert str(MeasureId.read(estimator).at(point)) == expected
