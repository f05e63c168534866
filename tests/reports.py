"""Reports of data, as workers send them, for tests."""

from hypothesis import strategies as st

from flq.core.data_report import LARGEST_SCALE, LEAST_SCALE, DataReport

REPORT = DataReport(
    n_train=140,
    n_test=15,
    shape=(8, 8),
    dtype="uint8",
    lowest=0.0,
    highest=255.0,
    n_classes=3,
    class_names=("apple", "lime", "pear"),
    class_counts=(60, 50, 45),
    checksum=0x1A2B3C4D,
    scale=255.0,
    auto_scale=255.0,
)
OTHER = REPORT._replace(n_train=180, n_test=20, checksum=0x5E6F7081)
FRACTIONS = REPORT._replace(dtype="float32", highest=1.0, scale=1.0, auto_scale=1.0)

COUNTS = st.lists(st.integers(0, 2**53), max_size=9).map(tuple)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
REPORTS = st.builds(
    DataReport,
    st.integers(0, 2**53),
    st.integers(0, 2**53),
    st.lists(st.integers(0, 2**40), min_size=1, max_size=4).map(tuple),
    TEXTS,
    st.floats(-1e30, 0),
    st.floats(0, 1e30),
    st.integers(9, 2**20),
    st.none() | st.lists(TEXTS, max_size=9).map(tuple),
    COUNTS,
    st.integers(0, 2**32 - 1),
    st.floats(LEAST_SCALE, LARGEST_SCALE),
    st.floats(LEAST_SCALE, LARGEST_SCALE),
    st.integers(0, 2**32 - 1),
)
