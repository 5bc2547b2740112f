"""Reddit payloads: what a removed, deleted, crossposted or escaped submission becomes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from soulcaster.models import FeedbackItem, Ignored, Quarantined
from soulcaster.sources.reddit import parse_payload

PAYLOADS = Path(__file__).parent.parent / "payloads" / "reddit"


def load(name: str) -> Any:
    """A made-up payload from beside the tests."""
    return json.loads((PAYLOADS / name).read_text())


def submission(**fields: Any) -> dict[str, Any]:
    """A listing with one plain submission, changed by `fields`."""
    data = {
        "name": "t3_q1",
        "id": "q1",
        "title": "Title",
        "selftext": "Text",
        "author": "fern",
        "subreddit": "inkleaf",
        "permalink": "/r/inkleaf/comments/q1/title/",
        "created_utc": 1760000000.0,
        "edited": False,
    } | fields
    return {"kind": "Listing", "data": {"children": [{"kind": "t3", "data": data}]}}


def parsed(payload: Any, **options: Any) -> Any:
    """The one outcome of a payload."""
    (outcome,) = parse_payload(payload, **options)
    return outcome


def reasons(payload: Any) -> list[str]:
    """Reasons of whatever is no item."""
    return [outcome.reason for outcome in parse_payload(payload) if not isinstance(outcome, FeedbackItem)]


def test_a_submission_becomes_an_item_with_its_source_fields():
    """Fullname, subreddit, page, times, author and flair are where the store expects them."""
    first, *_ = parse_payload(load("new_listing.json"))

    assert first.external_id == "t3_a1"
    assert first.title == "Export to PDF hangs & never returns"
    assert first.body == "Since 4.2 the export stops at 99 % <spinner>."
    assert first.url == "https://www.reddit.com/r/inkleaf/comments/a1/export_to_pdf_hangs/"
    assert (first.author, first.channel, first.labels) == ("plum_reader", "inkleaf", ["Bug"])
    assert first.created_at == datetime.fromtimestamp(1760000000, UTC)
    assert first.updated_at == datetime.fromtimestamp(1760003600, UTC)
    assert (first.trust, first.state, first.state_reason) == ("anonymous", "open", None)


def test_a_submission_whose_account_is_gone_keeps_its_words():
    """Only the author is '[deleted]': that is still feedback, without an author."""
    item = parsed(submission(author="[deleted]"))

    assert (item.author, item.state, item.body) == (None, "open", "Text")


@pytest.mark.parametrize(
    ("fields", "state", "reason"),
    [
        ({"selftext": "[deleted]", "author": "[deleted]"}, "deleted", "author"),
        ({"selftext": "[deleted]", "author": "[deleted]", "removed_by_category": "deleted"}, "deleted", "author"),
        ({"selftext": "[deleted]", "author": "[deleted]", "removed_by_category": None}, "deleted", "author"),
        ({"selftext": "", "author": "[deleted]", "is_robot_indexable": False}, "deleted", "author"),
        ({"selftext": "[removed]"}, "removed", "unstated"),
        ({"selftext": "[removed]", "removed_by_category": "moderator"}, "removed", "moderator"),
        ({"selftext": "[removed]", "removed_by_category": "automod_filtered"}, "removed", "automod-filtered"),
        ({"selftext": "", "removed_by_category": "reddit"}, "removed", "reddit"),
        ({"selftext": "", "removed_by_category": "author"}, "removed", "author"),
        ({"selftext": "", "is_robot_indexable": False, "removed_by_category": None}, "removed", "unstated"),
        ({"selftext": "[ Removed by Reddit ]", "title": "[ Removed by Reddit ]"}, "removed", "unstated"),
        ({"selftext": "[removed]", "title": "[deleted by user]"}, "removed", "unstated"),
    ],
)
def test_every_shape_of_removal_is_seen_and_its_notice_is_no_text(fields: dict[str, Any], state: str, reason: str):
    """State and reason come from whichever field tells; '[removed]' and its like never become text."""
    item = parsed(submission(**fields))

    assert (item.state, item.state_reason) == (state, reason)
    assert item.body == ""
    assert item.title in {"Title", ""}


@pytest.mark.parametrize(("banned_by", "reason"), [("some_moderator", "moderator"), (True, "reddit")])
def test_a_removal_seen_by_a_moderator_keeps_the_whole_text(banned_by: object, reason: str):
    """A moderator's token sees the words; `banned_by` alone says they are removed."""
    item = parsed(submission(banned_by=banned_by))

    assert (item.state, item.state_reason, item.body) == ("removed", reason, "Text")


def test_words_in_brackets_are_not_taken_for_a_removal():
    """A title that starts with a bracket, or speaks of removal, is a person's title."""
    item = parsed(submission(title="[Removed] The dark theme", selftext="[removed the plugin] and it works"))

    assert (item.title, item.body, item.state) == (
        "[Removed] The dark theme",
        "[removed the plugin] and it works",
        "open",
    )


def test_a_crosspost_has_the_words_of_its_parent():
    """A crosspost's own text is empty; gallery captions and poll options follow the parent's words."""
    item = list(parse_payload(load("new_listing.json")))[1]

    assert item.body == "I tried four of them.\n\nleft pen\n\n- Quill\n- Stylus"


@pytest.mark.parametrize(
    "parent", [{"selftext": "[removed]"}, {"selftext": "Secret", "removed_by_category": "moderator"}]
)
def test_a_crosspost_of_a_removed_parent_has_no_words(parent: dict[str, Any]):
    """What was removed at its origin is not brought back through a crosspost."""
    assert parsed(submission(selftext="", crosspost_parent_list=[parent])).body == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"is_video": True, "media": {"reddit_video": {"duration": 3}}},
        {"is_video": True, "media": None},
        {"gallery_data": None, "media_metadata": None, "is_gallery": True},
        {"gallery_data": {"items": [{"media_id": "m1"}]}, "media_metadata": {"m1": {"s": {}}}, "is_gallery": True},
        {"edited": True},
        {"created_utc": 1760000000},
        {"num_reports": None, "report_reasons": None, "likes": None},
    ],
)
def test_video_gallery_and_old_shapes_are_plain_submissions(fields: dict[str, Any]):
    """Null media, galleries with and without data, `edited: true` and whole-number times are ordinary."""
    item = parsed(submission(**fields))

    assert item.body == "Text"
    assert item.updated_at == datetime.fromtimestamp(1760000000, UTC)


def test_a_poll_has_its_options_below_its_question():
    """They are words of the author too."""
    item = parsed(submission(poll_data={"options": [{"text": "Yes"}, {"text": "No"}], "total_vote_count": 3}))

    assert (item.title, item.body) == ("Title", "Text\n\n- Yes\n- No")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"promoted": True}, "promoted"),
        ({"stickied": True}, "stickied"),
        ({"distinguished": "moderator"}, "distinguished"),
        ({"distinguished": "admin"}, "distinguished"),
    ],
)
def test_advertisements_and_announcements_are_ignored_by_name(fields: dict[str, Any], reason: str):
    """Neither an advertisement nor a moderator's announcement is feedback."""
    assert parsed(submission(**fields)) == Ignored(reason=reason)


def test_a_response_without_raw_json_is_unescaped_once():
    """An '&lt;' that somebody typed stays one after the API's own escaping is undone."""
    item = parsed(
        submission(
            title="A &amp; B &lt;br&gt;",
            selftext="typed &amp;lt; here, &amp;#x200B;",
            selftext_html="&lt;div&gt;x&lt;/div&gt;",
            link_flair_text="Q&amp;A",
        )
    )

    assert item.title == "A & B <br>"
    assert item.body == "typed &lt; here, &#x200B;"
    assert item.labels == ["Q&A"]


def test_a_response_with_raw_json_is_left_as_it_is():
    """One bare markup character anywhere proves that entities were typed by people."""
    item = parsed(submission(title="How to write &amp; in HTML", selftext="I mean <b>&amp;</b>"))

    assert item.title == "How to write &amp; in HTML"


def test_an_escaped_listing_is_unescaped_in_its_link_posts_too():
    """Escaping is a property of the response: a neighbour's text decides for a bare title."""
    listing = submission(title="Fish &amp; chips", selftext="")
    listing["data"]["children"].append(
        {"kind": "t3", "data": {**listing["data"]["children"][0]["data"], "name": "t3_q2"}}
    )
    listing["data"]["children"][1]["data"]["selftext_html"] = "&lt;div&gt;&lt;/div&gt;"

    assert [item.title for item in parse_payload(listing)] == ["Fish & chips", "Fish & chips"]


def test_a_comment_page_gives_its_submission_and_ignores_comments_by_name():
    """Comments, nested ones too, and 'more' stubs are counted, not lost."""
    first, *rest = parse_payload(load("comment_page.json"))

    assert first.external_id == "t3_b1"
    assert [outcome.reason for outcome in rest] == ["comment", "comment", "more"]


def test_comments_are_items_when_asked_for():
    """With the flag, comments and their replies are items; a removed one has no text."""
    items = [
        item
        for item in parse_payload(load("comment_page.json"), include_comments=True)
        if item.__class__ is FeedbackItem
    ]

    assert [item.external_id for item in items] == ["t3_b1", "t1_c1", "t1_c2"]
    assert items[1].body == "Same here on the tablet."
    assert (items[2].body, items[2].state, items[2].author) == ("", "removed", None)


def test_other_kinds_are_ignored_by_name():
    """Accounts, messages, subreddits and their like have names, not 'unknown'."""
    payload = [{"kind": kind, "data": {}} for kind in ("t2", "t4", "t5", "modaction")]

    assert reasons(payload) == ["account", "message", "subreddit", "mod-action"]


def test_things_are_found_in_every_holder():
    """A single thing, a collection, an answer to 'more children' and an archive line all hold submissions."""
    thing = submission()["data"]["children"][0]
    holders = [thing, {"sorted_links": submission()}, {"json": {"data": {"things": [thing]}}}, thing["data"]]

    assert [parsed(holder).external_id for holder in holders] == ["t3_q1"] * 4


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"message": "Forbidden", "error": 403}, "reddit-error-403"),
        ({"reason": "quarantined", "message": "Forbidden", "error": 403}, "reddit-error-403"),
        ({"error": 403}, "reddit-error-403"),
        ({"reason": "PAGE_NOT_FOUND", "message": "Not Found"}, "reddit-error-404"),
        ({"json": {"errors": [["RATELIMIT", "wait", "ratelimit"]]}}, "reddit-error-ratelimit"),
    ],
)
def test_error_bodies_are_ignored_with_their_status(body: object, reason: str):
    """A recorded 403 says so in the counts."""
    assert parsed(body) == Ignored(reason=reason)


@pytest.mark.parametrize("payload", [[], {}, {"kind": "Listing", "data": {"children": []}}, [[], []]])
def test_an_empty_listing_is_ignored_as_empty(payload: object):
    """A page without posts counts as one ignored file, it does not vanish."""
    assert parsed(payload) == Ignored(reason="empty")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"title": ["a"]}, "field 'title': expected a string, got a list of 1"),
        ({"created_utc": "1760000000"}, "field 'created_utc': expected epoch seconds, got a string '1760000000'"),
        ({"created_utc": 1e300}, "field 'created_utc': expected epoch seconds"),
        ({"created_utc": float("nan")}, "field 'created_utc': expected epoch seconds"),
        ({"name": 7, "id": None}, "field 'name': expected a string, got a number 7"),
        ({"name": "t3_" + "x" * 600}, "field 'external_id'"),
        ({"stickied": "no"}, "field 'stickied': expected a boolean"),
        ({"crosspost_parent_list": {"a": 1}, "selftext": ""}, "field 'crosspost_parent_list': expected a list"),
    ],
)
def test_a_wrong_type_quarantines_that_row_with_a_sentence(fields: dict[str, Any], words: str):
    """The sentence names field, expected and got; the row itself is kept for later."""
    outcome = parsed(submission(**fields))

    assert isinstance(outcome, Quarantined)
    assert words in outcome.detail
    assert outcome.payload


def test_a_bad_row_does_not_take_its_neighbours_along():
    """One quarantined row of a listing leaves the others items."""
    listing = load("new_listing.json")
    listing["data"]["children"][0]["data"]["title"] = {}

    kinds = [type(outcome) for outcome in parse_payload(listing)]

    assert kinds == [Quarantined, FeedbackItem, Ignored]


def test_half_a_surrogate_pair_can_be_stored():
    """A lone half of an emoji is valid JSON but no store can encode it."""
    item = parsed(submission(title="broken \ud83d emoji"))

    assert item.title == "broken ? emoji"
    item.payload.encode("utf-8")


def test_an_items_payload_parses_to_the_same_item_again():
    """History can be replayed through a mended parser from what is stored."""
    for item in parse_payload(load("comment_page.json"), include_comments=True):
        if isinstance(item, FeedbackItem):
            assert parsed(json.loads(item.payload or ""), include_comments=True) == item


@pytest.mark.shared_data
def test_recorded_listings_parse_without_an_exception(shared_data_dir: Path):
    """Every recording of 2016 to 2026 gives items or named reasons, twice the same."""
    files = sorted((shared_data_dir / "payloads_reddit").rglob("*.json"))
    items, others = [], []
    for file in files:
        payload = json.loads(file.read_text())
        outcomes = list(parse_payload(payload))
        assert outcomes == list(parse_payload(payload))
        items += [outcome for outcome in outcomes if isinstance(outcome, FeedbackItem)]
        others += [outcome for outcome in outcomes if not isinstance(outcome, FeedbackItem)]

    assert len(files) > 200
    assert len({item.external_id for item in items}) > 4000
    assert not [outcome for outcome in others if isinstance(outcome, Quarantined)]
    assert not {"unknown", "other"} & {outcome.reason for outcome in others}
    assert not [item for item in items if {"[removed]", "[deleted]"} & {item.body, item.title}]
    assert {"removed", "deleted", "open"} == {item.state for item in items}
