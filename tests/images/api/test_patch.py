"""Glance's JSON patch as a pure function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.core.errors import BadRequest, Conflict, Error, Forbidden
from images.api import patch
from images.services import fields

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
names = text.map(str.strip).filter(
    lambda name: name and name not in fields.BASE | fields.RESERVED and not name.startswith(fields.RESERVED_PREFIX)
)
properties = st.dictionaries(names, text, max_size=4)
anything = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | text, lambda x: st.lists(x) | st.dictionaries(text, x))


def pointer(name):
    return "/" + name.replace("~", "~0").replace("/", "~1")


@given(names, text, properties)
def test_what_was_added_is_set_and_what_was_removed_is_gone(name, value, present):
    added = patch.changes(patch.parse([{"op": "add", "path": pointer(name), "value": value}]), present)
    assert added.get("properties_set", {}) == ({} if present.get(name) == value else {name: value})
    removed = patch.changes(patch.parse([{"op": "remove", "path": pointer(name)}]), {**present, name: value})
    assert removed == {"properties_removed": [name]}


@given(st.lists(st.tuples(st.sampled_from(patch.VERBS), names, text), max_size=6), properties)
def test_both_media_types_say_the_same(steps, present):
    def outcome(document, media):
        try:
            return patch.changes(patch.parse(document, media), present)
        except Conflict as error:
            return str(error)

    newer = [{"op": verb, "path": pointer(name), "value": value} for verb, name, value in steps]
    older = [{verb: pointer(name), "value": value} for verb, name, value in steps]
    assert outcome(newer, patch.V21) == outcome(older, patch.V20)


@given(st.lists(st.tuples(st.sampled_from(patch.VERBS), names, text), max_size=8), properties)
def test_operations_follow_one_another_as_on_a_dictionary(steps, present):
    expected, possible = dict(present), True
    for verb, name, value in steps:
        if verb != "add" and name not in expected:
            possible = False
            break
        expected.pop(name, None)
        if verb != "remove":
            expected[name] = value
    document = [{"op": verb, "path": pointer(name), "value": value} for verb, name, value in steps]
    if not possible:
        with pytest.raises(Conflict):
            patch.changes(patch.parse(document), present)
        return
    changes = patch.changes(patch.parse(document), present)
    after = {**present, **changes.get("properties_set", {})}
    assert {name: value for name, value in after.items() if name not in changes.get("properties_removed", [])} == expected


@given(anything)
def test_any_document_is_understood_or_refused_with_a_sentence(document):
    for media in patch.MEDIA_TYPES:
        try:
            patch.changes(patch.parse(document, media), {})
        except Error as error:
            assert error.status in {400, 403, 409} and str(error)


@given(st.sampled_from(["add", "replace", "remove", None, 1]), anything, anything)
def test_any_operation_is_understood_or_refused(verb, path, value):
    for media, item in ((patch.V21, {"op": verb, "path": path, "value": value}), (patch.V20, {str(verb): path, "value": value})):
        try:
            patch.changes(patch.parse([item], media), {})
        except Error as error:
            assert error.status in {400, 403, 409}


@pytest.mark.parametrize(
    "path", ["", "name", "/", "//name", "/name/", "/name//x", "/a/b", "/tags/-", "/tags/0", "/~", "/~2", "/a~", "/ ", None, 7, ["/name"]]
)
def test_a_pointer_names_one_whole_attribute(path):
    with pytest.raises(BadRequest):
        patch.parse([{"op": "add", "path": path, "value": "x"}])


@pytest.mark.parametrize("path", ["/locations", "/locations/-", "/locations/0"])
def test_locations_are_out_of_reach(path):
    for verb in patch.VERBS:
        with pytest.raises(Forbidden):
            patch.parse([{"op": verb, "path": path, "value": {"url": "file:///etc/passwd", "metadata": {}}}])


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"op": "test", "path": "/name", "value": "x"},
        {"op": "move", "from": "/name", "path": "/x"},
        {"op": "copy", "from": "/name", "path": "/x"},
        {"op": "add", "path": "/name"},
        {"op": "replace", "path": "/name"},
        {"path": "/name", "value": "x"},
        {"op": "add", "value": "x"},
        "add",
        None,
        [],
    ],
)
def test_what_is_no_operation_is_a_400(item):
    with pytest.raises(BadRequest):
        patch.parse([item])
    with pytest.raises(BadRequest):
        patch.parse([{"add": "/a", "remove": "/b", "value": "x"}], patch.V20)
