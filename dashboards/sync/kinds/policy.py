"""Routes in the organisation's policy tree; everything that others own stays as it is."""

import json
from collections.abc import Collection

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds.kind import Json, Sent
from driftline.dashboards.sync.merge import ORDER

UID = "policies"
#: Grafana 12 takes such a tree, and then nothing of its Alertmanager can be read any more.
CONTINUES = (
    "the root of the policies has 'continue: true', which corrupts Grafana's Alertmanager when it "
    "is written: remove it where the policies come from"
)
PREFIX = "driftline "  # of the names of our alerts, which our routes match


class Policy:
    """driftline's routes below the root of the one policy tree.

    The API replaces the whole tree and has no version: between the last read and the write,
    which are milliseconds apart, another's change would be lost. What is read after the write
    shows whether another's write came after it, over theirs or over ours.
    """

    name = "policy"
    lockable = False

    def read(self, server: Server, uids: Collection[str]) -> dict[str, Json | GrafanaError]:
        """See `Kind`; one request."""
        return {UID: _there(server, "read the policies")} if UID in uids else {}

    def tree(self, live: Json, secrets: Collection[str]) -> Json:
        """See `Kind`; routes by what they match, and their order: the first that matches wins."""
        mine, _ = _split(live)
        keys = _keys(mine)
        return {"routes": {**dict(zip(keys, mine, strict=True)), ORDER: keys}}

    def missing_secrets(self, live: Json, secrets: Collection[str]) -> set[str]:
        """See `Kind`."""
        return set()

    def send(self, server: Server, sent: Sent) -> None:
        """See `Kind`; ours come first, so that no route of others takes the alerts before."""
        self._replace(server, sent.live, _in_order(sent.tree))

    def delete(self, server: Server, uid: str, live: Json, applied: Json) -> str | None:
        """See `Kind`; only what was applied is removed."""
        gone = applied.get("routes", {})
        mine, _ = _split(live)
        kept = [one for key, one in zip(_keys(mine), mine, strict=True) if key not in gone]
        self._replace(server, live, kept)
        return None

    def _replace(self, server: Server, live: Json | None, ours: list[Json]) -> None:
        doing = "merge routes into the policies"
        now = _there(server, doing)
        if live is not None and now != live:
            raise _meanwhile()
        provenance = now.get("provenance") or ""
        if provenance and not (provenance == "api" and server.settings.provenance == "locked"):
            raise GrafanaError(
                f"the policies are provisioned ({provenance!r}) by somebody else: add driftline's "
                "routes there, or use grafana.routing.mode: notification_settings"
            )
        if now.get("continue"):
            raise GrafanaError(CONTINUES)
        _, others = _split(now)
        body = {key: value for key, value in now.items() if key not in ("provenance", "routes")}
        body["routes"] = [*ours, *others]
        server.call(
            doing,
            lambda api: api.alertingprovisioning.set_notification_policy_tree(
                body,
                disable_provenance=not provenance,  # the whole tree keeps the one it has
            ),
        )
        there, theirs = _split(_there(server, doing))
        if theirs != others or not _all_in(ours, there):
            raise _meanwhile()


def _there(server: Server, doing: str) -> Json:
    tree: Json = server.call(
        doing, lambda api: api.alertingprovisioning.get_notification_policy_tree()
    )
    return tree


def _split(live: Json) -> tuple[list[Json], list[Json]]:
    """Our routes of the tree, and those of others."""
    routes = live.get("routes") or []
    return [one for one in routes if _ours(one)], [one for one in routes if not _ours(one)]


def _keys(routes: list[Json]) -> list[str]:
    """A key for each route; of several that match the same, those after the first are numbered.

    One that goes on to the next (`continue`) counts last, wherever it stands, so that a route
    that a person puts beside one of driftline's is not taken for it.
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


def _ours(route: Json) -> bool:
    return any(
        matcher[0] == "alertname" and str(matcher[-1]).startswith(PREFIX)
        for matcher in route.get("object_matchers") or []
    )


def _all_in(ours: list[Json], there: list[Json]) -> bool:
    """As many, in order; a server may add what we leave out."""
    return len(ours) == len(there) and all(
        mine.items() <= found.items() for mine, found in zip(ours, there, strict=True)
    )


def _meanwhile() -> GrafanaError:
    return GrafanaError("the policies were changed by somebody else meanwhile: run it again", 412)
