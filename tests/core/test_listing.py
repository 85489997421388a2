"""A table's state is its URL: what one asks for is what one gets, and every link leads to a state that can be asked for."""

from urllib.parse import parse_qs, urlsplit

import pytest
from django.http import QueryDict

from dashboard.core.listing import Filter, Listing, Table
from dashboard.identity.models import Project
from tests.factories import make_project

TABLE = Table(
    sorts={"name": "name", "words": "description"},
    default_sort="name",
    filters=(Filter("on", "On", lambda: [("1", "yes"), ("0", "no")], field="enabled"),),
    search=lambda rows, text: rows.filter(name__icontains=text),
    keep=("tab",),
)


@pytest.fixture
def projects(db):
    for number in range(7):
        project = make_project(f"p{number}", description=str(9 - number))
        Project.objects.filter(pk=project.pk).update(enabled=number % 2 == 0)
    return Project.objects.filter(name__startswith="p")


def listing(rows, query="", **options):
    return Listing(TABLE, QueryDict(query), rows, path="/p", **{"page_size": 3, **options})


def names(found):
    return [row.name for row in found.rows]


def test_without_a_word_the_first_page_comes_in_the_default_order(projects):
    found = listing(projects)
    assert names(found) == ["p0", "p1", "p2"]
    assert (found.first, found.last, found.total, found.pages) == (1, 3, 7, 3)
    assert found.here == "/p"


def test_a_page_past_the_end_is_the_last_one(projects):
    found = listing(projects, "page=99")
    assert names(found) == ["p6"]
    assert found.next_url == ""
    assert found.previous_url == "/p?page=2"


@pytest.mark.parametrize("query", ["page=-1", "page=x", "page=", "page=²", "sort=secret", "sort=--name", "on=maybe", "page=" + "9" * 400])
def test_words_nobody_understands_are_as_if_not_said(projects, query):
    found = listing(projects, query)
    assert found.sort == "name"
    assert not found.narrowed
    assert len(found.rows) in {1, 3}


def test_every_heading_leads_to_its_order_and_back(projects):
    words = listing(projects, "sort=words")
    assert names(words) == ["p6", "p5", "p4"]
    assert words.headings["words"].aria_sort == "ascending"
    assert words.headings["words"].url == "/p?sort=-words"
    assert words.headings["name"].url == "/p"
    assert listing(projects).headings["name"].url == "/p?sort=-name"
    assert names(listing(projects, "sort=-name")) == ["p6", "p5", "p4"]


def test_a_filter_and_a_search_narrow_together_and_stay_in_every_link(projects):
    found = listing(projects, "q=P&on=1&sort=-name&tab=x&page=2&unknown=1")
    assert names(found) == ["p0"]
    assert found.total == 4
    for url in [found.here, found.previous_url, found.headings["words"].url]:
        state = parse_qs(urlsplit(url).query)
        assert (state["q"], state["on"], state["tab"]) == (["P"], ["1"], ["x"])
        assert "unknown" not in state
    assert listing(projects, urlsplit(found.here).query).here == found.here
    assert found.clear_url == "/p?tab=x&sort=-name"


def test_a_filter_is_put_on_and_taken_off_by_its_link(projects):
    [(_, choices, chosen)] = listing(projects).filters
    assert chosen is None
    assert choices[0].url == "/p?on=1"
    [(_, choices, chosen)] = listing(projects, "on=1&page=2").filters
    assert chosen and chosen.label == "yes"
    assert choices[0].url == "/p"
    assert choices[1].url == "/p?on=0"


def test_all_pages_together_are_all_rows_once(projects):
    seen = [name for number in (1, 2, 3) for name in names(listing(projects, f"page={number}&sort=-words"))]
    assert sorted(seen) == [f"p{n}" for n in range(7)]


def test_links_name_the_first_the_last_and_the_near_pages(projects):
    assert [number for number, _ in listing(projects, "page=4", page_size=1).page_links] == [1, 0, 3, 4, 5, 0, 7]


def test_a_known_total_is_believed_only_while_nothing_narrows(projects):
    assert listing(projects, known_total=50).total == 50
    assert listing(projects, "q=p1", known_total=50).total == 1


def test_a_search_is_quoted_in_links_and_free_of_null_bytes(projects):
    found = listing(projects, "q=%00a%26b%3D%22")
    assert found.query == 'a&b="'
    assert found.here == "/p?q=a%26b%3D%22"
