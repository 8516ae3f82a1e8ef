"""Who is let in to the preview."""

import httpx

from driftline.config import Config, Postgres
from driftline.dashboards.preview import access
from driftline.dashboards.preview.serve import served


def test_the_link_lets_in_with_any_token() -> None:
    token = "a+b/c=&d#e%20"
    with served(Config(postgres=Postgres(host="127.0.0.1")), token) as address:
        answer = httpx.get(access.link(address, token))
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{address}/"
