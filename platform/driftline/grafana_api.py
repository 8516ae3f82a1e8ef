"""The API client for the Grafana of the config."""

from urllib.parse import urlsplit

from grafana_client import GrafanaApi

from driftline.config.grafana import Grafana


def client(settings: Grafana, token: str) -> GrafanaApi:
    """A client with a token; do not share its session between threads.

    Parameters:
        settings: the section `grafana`, with a url.
    """
    address = urlsplit(settings.url or "")
    path = address.path.strip("/")
    return GrafanaApi(
        token,
        protocol=address.scheme,
        host=address.hostname,
        port=address.port,
        url_path_prefix=f"{path}/" if path else "",
        verify=str(settings.ca_file) if settings.ca_file else True,
        timeout=settings.timeout.total_seconds(),
        organization_id=settings.org,
    )
