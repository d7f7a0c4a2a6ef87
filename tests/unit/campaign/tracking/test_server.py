"""The MLflow UI's start: what it refuses, and where it listens."""

import logging
import socket
import sqlite3
from contextlib import closing

import pytest

from campaign.core import log
from campaign.core.errors import CampaignError
from campaign.tracking import server


@pytest.fixture
def store(tmp_path):
    (tmp_path / "mlflow.db").touch()
    return tmp_path


def test_without_a_store_it_says_to_run_a_campaign_first(tmp_path):
    with pytest.raises(CampaignError, match=r"mlflow\.db doesn't exist") as caught:
        _listen(tmp_path / "mlruns", 5000)
    assert "make search" in caught.value.resolution


def test_a_port_in_use_is_named_with_a_way_out(store):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CampaignError, match=f"127.0.0.1:{port}") as caught:
            _listen(store, port)
    assert "--port" in caught.value.resolution


def test_a_port_that_there_is_not_is_named(store):
    with pytest.raises(CampaignError, match=r"127\.0\.0\.1:99999: ports end at 65535"):
        _listen(store, 99999)


def test_the_port_is_ours_before_the_address_is_shown(store):
    with server.listening(store, 0) as listener:
        port = listener.getsockname()[1]
        assert listener.getsockname()[0] == "127.0.0.1"
        # Nobody else can answer there, and who asks early is kept waiting.
        with socket.create_connection(("127.0.0.1", port), timeout=5), pytest.raises(CampaignError):
            _listen(store, port)
    _listen(store, port)


def _listen(store, port):
    with server.listening(store, port):
        pass


def test_each_start_has_a_token_of_its_own_that_no_log_shows(tmp_path):
    tokens = [server.draw_token() for _ in range(2)]
    assert len(set(tokens)) == 2 and all(len(token) >= 43 for token in tokens)
    with log.to_file(tmp_path / "log.jsonl"):
        logging.getLogger("campaign.test").warning("asked: /?token=%s", tokens[0])
    assert tokens[0] not in (tmp_path / "log.jsonl").read_text()


def test_without_experiments_the_address_is_that_of_the_list(tmp_path, store):
    assert server.newest_experiment(tmp_path / "none") == ""
    assert server.newest_experiment(store) == ""
    assert "5000/?token=secret#/experiments?" in server.address(5000, "secret")


def test_the_address_opens_the_view_that_a_campaign_left(tmp_path):
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store, store:
        store.execute("CREATE TABLE experiment_tags (key TEXT, value TEXT, experiment_id INTEGER)")
        store.execute(
            "INSERT INTO experiment_tags VALUES ('mlflow.sharedViewState.campaign', '', 3)"
        )
    assert server.view_of(tmp_path, "4") == ""  # MLflow's pages would complain of a missing one
    view = server.view_of(tmp_path, "3")
    assert server.address(5000, "secret", experiment="3", view=view).endswith(
        "#/experiments/3/runs?workflowType=machine_learning&viewStateShareKey=campaign"
    )
