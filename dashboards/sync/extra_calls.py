"""Calls of Grafana's API that grafana-client does not have, or sends without required parts."""

from typing import Any
from urllib.parse import quote

from grafana_client import GrafanaApi

Json = dict[str, Any]

_SILENCES = "/alertmanager/grafana/api/v2"


def version(api: GrafanaApi) -> str:
    """Version of the server; needs no permission, unlike grafana-client's own call."""
    return str(api.client.GET("/health")["version"])


def contents(api: GrafanaApi, folder: str) -> dict[str, int]:
    """The number of objects of each kind in a folder."""
    counts: dict[str, int] = api.client.GET(f"/folders/{folder}/counts")
    return counts


def change_mute_timing(api: GrafanaApi, name: str, body: Json, *, editable: bool) -> None:
    """Change a mute timing; grafana-client's own call cannot keep it editable."""
    path = f"/v1/provisioning/mute-timings/{segment(name)}"
    api.client.PUT(path, json=body, headers={"X-Disable-Provenance": "true"} if editable else {})


def silence(api: GrafanaApi, body: Json) -> str:
    """Create a silence, or extend the one with the given `id`; returns its id."""
    return str(api.client.POST(f"{_SILENCES}/silences", json=body)["silenceID"])


def silences(api: GrafanaApi) -> list[Json]:
    """All silences; Grafana keeps expired ones for some days."""
    rows: list[Json] = api.client.GET(f"{_SILENCES}/silences")
    return rows


def end_silence(api: GrafanaApi, silence_id: str) -> None:
    """Expire a silence now."""
    api.client.DELETE(f"{_SILENCES}/silence/{silence_id}", accept_empty_json=True)


def segment(text: str) -> str:
    """Encode a path segment; grafana-client does not encode."""
    return quote(text, safe="")
