"""The MLflow UI's start: what it refuses, and what it would run."""

import socket

import pytest

from campaign.core.errors import CampaignError
from campaign.tracking import server


@pytest.fixture
def store(tmp_path):
    (tmp_path / "mlflow.db").touch()
    return tmp_path


def test_without_a_store_it_says_to_run_a_campaign_first(tmp_path):
    with pytest.raises(CampaignError, match=r"mlflow\.db doesn't exist") as caught:
        server.serve(tmp_path / "mlruns")
    assert "make search" in caught.value.resolution


def test_a_port_in_use_is_named_with_a_way_out(store):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CampaignError, match=f"127.0.0.1:{port}") as caught:
            server.serve(store, port)
    assert "--port" in caught.value.resolution


def test_a_free_port_is_accepted(store):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server.check(store, port)


def test_the_server_is_lean_and_on_loopback(store):
    command = server.command(store, 5000, "127.0.0.1")
    assert command[command.index("--workers") + 1] == "1"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert f"sqlite:///{store}/mlflow.db" in command
    assert server.SERVER_ENVIRONMENT["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_without_experiments_the_address_is_that_of_the_list(tmp_path, store):
    assert server.newest_experiment(tmp_path / "none") == ""
    assert server.newest_experiment(store) == ""
    assert "/#/experiments?" in server.address(5000)
