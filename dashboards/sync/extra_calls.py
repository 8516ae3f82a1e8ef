"""Calls of Grafana's API that grafana-client lacks, or sends without what they need."""

from typing import Any
from urllib.parse import quote

from grafana_client import GrafanaApi

Json = dict[str, Any]

_SILENCES = "/alertmanager/grafana/api/v2"


def version(api: GrafanaApi) -> str:
    """Of the server; needs no rights. grafana-client's own asks for frontend settings."""
    return str(api.client.GET("/health")["version"])


def held(api: GrafanaApi, folder: str) -> dict[str, int]:
    """How many objects of each kind are in a folder."""
    counts: dict[str, int] = api.client.GET(f"/folders/{folder}/counts")
    return counts


def change_mute_timing(api: GrafanaApi, name: str, body: Json, *, editable: bool) -> None:
    """grafana-client's own cannot leave the timing editable."""
    path = f"/v1/provisioning/mute-timings/{segment(name)}"
    api.client.PUT(path, json=body, headers={"X-Disable-Provenance": "true"} if editable else {})


def silence(api: GrafanaApi, body: Json) -> str:
    """Make a silence, or prolong the one whose `id` is given; its id."""
    return str(api.client.POST(f"{_SILENCES}/silences", json=body)["silenceID"])


def silences(api: GrafanaApi) -> list[Json]:
    """All silences; those that are over are kept for some days."""
    found: list[Json] = api.client.GET(f"{_SILENCES}/silences")
    return found


def end_silence(api: GrafanaApi, number: str) -> None:
    """Let a silence be over now."""
    api.client.DELETE(f"{_SILENCES}/silence/{number}", accept_empty_json=True)


def segment(text: str) -> str:
    """A part of a path; grafana-client encodes nothing by itself."""
    return quote(text, safe="")
