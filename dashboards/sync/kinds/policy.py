"""Routes in the organisation's policy tree; routes of others are never changed."""

import json
from collections.abc import Collection

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Kind, Payload, stale_error
from driftline.dashboards.sync.merge import ORDER

UID = "policies"
#: Grafana 12 accepts such a tree, and then can no longer read its Alertmanager configuration.
CONTINUES = (
    "the root policy has 'continue: true', which corrupts Grafana's Alertmanager when it is "
    "written: remove it at the source of the policies"
)
PREFIX = "driftline "  # of our alerts' names, which our routes match


class Policy(Kind):
    """driftline's routes below the root of the one policy tree.

    The API replaces the whole tree and has no version: a concurrent change in the milliseconds
    between the last read and the write is lost. The read after the write detects a concurrent write
    to our routes or those of others.
    """

    name = "policy"
    lockable = False

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request."""
        return {UID: _read_tree(server, "read the policies")} if UID in uids else {}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`; routes by matchers, and their order: the first matching route wins."""
        ours, _ = _split(live)
        keys = _keys(ours)
        return {"routes": {**dict(zip(keys, ours, strict=True)), ORDER: keys}}

    def send(self, server: Server, payload: Payload) -> None:
        """See `Kind`; our routes come first, so that no other route catches our alerts."""
        self._replace(server, payload.live, _in_order(payload.tree))

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`; removes only routes that were applied."""
        removed = applied.get("routes", {})
        ours, _ = _split(live)
        routes = zip(_keys(ours), ours, strict=True)
        self._replace(server, live, [route for key, route in routes if key not in removed])
        return None

    def _replace(self, server: Server, live: Json | None, ours: list[Json]) -> None:
        action = "merge routes into the policies"
        current = _read_tree(server, action)
        if live is not None and current != live:
            raise stale_error("the policy tree")
        provenance = current.get("provenance") or ""
        if provenance and not (provenance == "api" and server.settings.provenance == "locked"):
            raise GrafanaError(
                f"the policies are provisioned ({provenance!r}) by somebody else: add driftline's "
                "routes at their source, or set grafana.routing.mode: notification_settings"
            )
        if current.get("continue"):
            raise GrafanaError(CONTINUES)
        _, theirs = _split(current)
        body = {key: value for key, value in current.items() if key not in ("provenance", "routes")}
        body["routes"] = [*ours, *theirs]
        server.call(
            action,
            lambda api: api.alertingprovisioning.set_notification_policy_tree(
                body,
                disable_provenance=not provenance,  # the whole tree keeps its provenance
            ),
        )
        ours_after, theirs_after = _split(_read_tree(server, action))
        if theirs_after != theirs or not _all_in(ours, ours_after):
            raise stale_error("the policy tree")


def _read_tree(server: Server, action: str) -> Json:
    tree: Json = server.call(
        action, lambda api: api.alertingprovisioning.get_notification_policy_tree()
    )
    return tree


def _split(live: Json) -> tuple[list[Json], list[Json]]:
    """Our routes in the tree, and those of others."""
    routes = live.get("routes") or []
    ours = [route for route in routes if _is_ours(route)]
    return ours, [route for route in routes if not _is_ours(route)]


def _keys(routes: list[Json]) -> list[str]:
    """A key per route, from its matchers; further routes with the same matchers are numbered.

    A route with `continue` is numbered last at any position, so that a route that a person
    adds next to one of driftline's is not mistaken for it.
    """
    keys: dict[int, str] = {}
    count: dict[str, int] = {}
    for place in sorted(range(len(routes)), key=lambda n: bool(routes[n].get("continue"))):
        key = json.dumps(routes[place]["object_matchers"])
        count[key] = count.get(key, 0) + 1
        keys[place] = key if count[key] == 1 else f"{key}#{count[key]}"
    return [keys[place] for place in range(len(routes))]


def _in_order(tree: Json) -> list[Json]:
    return [tree["routes"][key] for key in tree["routes"][ORDER]]


def _is_ours(route: Json) -> bool:
    return any(
        matcher[0] == "alertname" and str(matcher[-1]).startswith(PREFIX)
        for matcher in route.get("object_matchers") or []
    )


def _all_in(ours: list[Json], current: list[Json]) -> bool:
    """Whether the routes are equal, in the same order; the server may add default fields."""
    return len(ours) == len(current) and all(
        route.items() <= stored.items() for route, stored in zip(ours, current, strict=True)
    )
