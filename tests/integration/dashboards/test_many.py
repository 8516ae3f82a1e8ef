"""Hundreds of models with a page each, on a server that is busy now and then."""

from driftline import names
from tests.integration.dashboards.conftest import Driver, model, page

MODELS, TEAMS = 500, 10


def test_500_models_arrive_at_a_busy_server(driver: Driver) -> None:
    models = {f"model-{n}": model(f"team-{n % TEAMS}") for n in range(MODELS)}
    driver.config = driver.config.model_copy(update={"models": models})
    driver.change(retry_for="1 min")
    driver.pages = [page(names.dashboard_uid(name)) for name in models]  # small, for time
    faults, log = driver.stand_in.faults, driver.stand_in.log
    refused = []

    def busy_now_and_then(line: str) -> None:
        if len(log) % 100 == 0:
            refused.append(line)
            faults.answers.append((429, 503)[len(refused) % 2])

    faults.before = busy_now_and_then
    outcome = driver.apply()
    faults.before = None
    assert outcome.failed == []
    assert {line.split()[0] for line in refused} == {"GET", "POST"}
    assert len(driver.stand_in.store.dashboards) == MODELS
    # folders, mute timings, contact points, rules; data source; pages; groups
    bound = 4 + 1 + MODELS + TEAMS + 1
    second = driver.plan()
    assert (second.differs, second.requests) == (False, bound)
