"""What the preview's server refuses, and what it answers."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from driftline import names
from driftline.config import Config
from driftline.dashboards.preview.serve import served
from driftline.dashboards.preview.server import Preview
from tests import monitored

UID = names.dashboard_uid(monitored.FRAUD)
TOKEN = "of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
RANGE = {"since": 0, "until": 4_000_000_000_000}


@pytest.fixture(scope="module")
def preview(monitored_store: Config) -> Iterator[Preview]:
    made = Preview(monitored_store)
    yield made
    made.reader.close()


@pytest.fixture(scope="module")
def client(monitored_store: Config) -> Iterator[httpx.Client]:
    with (
        served(monitored_store, TOKEN) as address,
        httpx.Client(base_url=address, headers=BEARER, timeout=60) as made,
    ):
        yield made


def panel(preview: Preview, uid: str, title: str) -> int:
    found = preview.dashboards[uid].dashboard["panels"]
    return next(int(one["id"]) for one in found if one["title"] == title)


def ask(client: httpx.Client, what: str, uid: str = UID, **body: Any) -> Any:
    return client.post(f"/api/d/{uid}/{what}", json={**RANGE, **body})


def test_only_its_own_name_is_answered(client: httpx.Client) -> None:
    answer = client.get("/api/dashboards", headers={"Host": "evil.example"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "path", ["/", f"/d/{UID}", "/api/dashboards", "/reports/1", "/static/page.js", "/x"]
)
@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", "Bearer ünknown"])
def test_other_users_of_the_machine_get_nothing(
    client: httpx.Client, path: str, given: str
) -> None:
    headers = {b"Authorization": given.encode()}
    answer = httpx.get(client.base_url.join(path), headers=headers)
    assert (answer.status_code, answer.headers["x-content-type-options"]) == (401, "nosniff")
    assert answer.text.startswith("Open the address that 'driftline preview' printed")
    assert httpx.get(client.base_url.join(path), params={"token": "wrong"}).status_code == 401


def test_the_printed_address_leaves_the_token_with_the_browser(client: httpx.Client) -> None:
    with httpx.Client(base_url=client.base_url) as browser:
        answer = browser.get(f"/d/{UID}", params={"from": "now-6h", "token": TOKEN})
        assert answer.status_code == 303
        assert answer.headers["location"] == f"{client.base_url}/d/{UID}?from=now-6h"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert browser.get("/api/dashboards").status_code == 200


def test_every_answer_says_what_a_browser_may_do_with_it(client: httpx.Client) -> None:
    for path in ("/", f"/d/{UID}", "/api/dashboards", "/static/page.js", "/reports/0"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    policy = client.get(f"/d/{UID}").headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; style-src")
    assert "script-src" not in policy  # as default-src: none inline


def test_what_a_foreign_page_can_send_is_refused(client: httpx.Client) -> None:
    url = f"/api/d/{UID}/panel"
    answer = client.post(url, content="{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 404
    assert answer.json() == {"error": "the request is not JSON: set Content-Type: application/json"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"sql": "SELECT 1"}, "can't read the request: sql: Extra inputs are not permitted"),
        ({"panel": 0}, f"no panel 0 on dashboard '{UID}': reload the page"),
        ({"variables": {"evil": "x"}}, f"no panel None on dashboard '{UID}': reload the page"),
        ({"variables": {"segment": "x" * 301}}, "can't read the request: variables.segment"),
        ({"variables": {"segment": "\x00"}}, "can't read the request: variables.segment"),
        ({"since": -1}, "can't read the request: since: Input should be"),
    ],
)
def test_refusals(client: httpx.Client, body: dict[str, Any], said: str) -> None:
    answer = ask(client, "panel", **body)
    assert answer.status_code == 404
    assert answer.json()["error"].startswith(said)


def test_unknown_variables_are_refused(client: httpx.Client, preview: Preview) -> None:
    number = panel(preview, UID, "Predictions")
    answer = ask(client, "panel", panel=number, variables={"evil": "x"})
    assert answer.json() == {"error": f"no variable 'evil' on dashboard '{UID}'"}


def test_values_are_text_and_nothing_else(client: httpx.Client, preview: Preview) -> None:
    number = panel(preview, names.MODELS_UID, "Predictions by version")
    values = {"model": "x' OR true; DROP TABLE driftline.model --", "version": ["1", "2"]}
    answer = ask(client, "panel", names.MODELS_UID, panel=number, variables=values)
    assert answer.status_code == 200
    assert answer.json()["answers"] == [[]]
    values["model"] = monitored.FRAUD
    there = ask(client, "panel", names.MODELS_UID, panel=number, variables=values)
    assert {one["name"] for one in there.json()["answers"][0]} == {"version 1", "version 2"}


def test_a_value_that_the_database_refuses_is_said(client: httpx.Client, preview: Preview) -> None:
    number = panel(preview, UID, "Predictions")
    answer = ask(client, "panel", panel=number, variables={"window": "an hour"})
    assert answer.status_code == 400
    assert "invalid input syntax" in answer.json()["error"]


def test_the_reader_cannot_write(preview: Preview) -> None:
    with pytest.raises(Exception, match=r"read-only transaction|permission denied"):
        preview.reader.run("DELETE FROM driftline.alert")


def test_variables_follow_one_another(client: httpx.Client) -> None:
    chosen = {"model": monitored.CHURN, "version": ["2"]}
    answer = ask(client, "variables", names.MODELS_UID, variables=chosen).json()
    found = {one["name"]: one for one in answer}
    assert found["model"]["value"] == monitored.CHURN
    assert found["version"]["value"] == ["1"]
    assert found["segment"]["value"] == "all rows"
    assert [one["value"] for one in found["segment"]["options"]][1:] == sorted(
        monitored.SEGMENTS[1:]
    )
    assert set(monitored.FEATURES.names) < {one["value"] for one in found["column"]["options"]}


def test_the_most_suspicious_column_comes_first(client: httpx.Client) -> None:
    answer = ask(client, "variables").json()
    assert {one["name"]: one["value"] for one in answer}["column"] == "amount"


def test_annotations(client: httpx.Client) -> None:
    chosen = {"window": str(monitored.SECONDS)}
    answer = ask(client, "annotations", variables=chosen).json()
    found = {one["name"]: len(one["rows"]) for one in answer}
    assert found == {"Versions": 1, "Incidents": 4, "Backfills": 1}


def test_no_report(client: httpx.Client) -> None:
    answer = client.get("/reports/999999")
    assert answer.status_code == 404
    assert answer.json() == {"error": "no report 999999: run 'driftline report' to create one"}


def test_a_report_is_sandboxed(client: httpx.Client) -> None:
    answer = client.get("/reports/1")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in policy


def test_nothing_comes_from_outside(client: httpx.Client) -> None:
    page = client.get(f"/d/{UID}")
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    script = client.get("/static/plotly.min.js")
    assert script.status_code == 200
    assert len(script.content) > 1_000_000
