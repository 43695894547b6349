"""No file, however broken, makes the check itself fail."""

from __future__ import annotations

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.config.load import check_file
from node.config.model import Config

_SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_KEYS = st.sampled_from(
    [*Config.model_fields, "ae_title", "host", "port", "name", "when", "run", "send_to", "tls"]
) | st.text(max_size=4)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=20,
)


@_SETTINGS
@given(raw=st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"\n #?,%@`<", max_size=80))
def test_any_bytes_give_a_list_of_problems(tmp_path, raw):
    path = tmp_path / "w.yaml"
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())

    config, problems = check_file(path)

    assert config is None
    assert problems


@_SETTINGS
@given(tree=st.dictionaries(_KEYS, _TREES, max_size=6))
def test_any_tree_gives_problems_that_have_a_line_and_name_no_type_of_ours(tmp_path, tree):
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")

    for problem in check_file(path)[1]:
        assert problem.line
        assert not any(word in problem.message for word in ("tuple[", "function-", "union"))
        assert "\n" not in problem.render("w.yaml") or "\n" in problem.key
