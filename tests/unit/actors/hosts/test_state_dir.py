"""Where a host's state and the images stand, unless a setting says otherwise."""

from actors.hosts.state_dir import state_dir_of
from campaign.config.compose import compose
from campaign.core.files import XDG_FOLDERS
from campaign.testbeds.preflight import store_of


def test_the_default_folders_move_with_the_variables(monkeypatch, tmp_path):
    """Without the variables they are where they have always been."""
    campaign = compose([]).campaign
    (host,) = campaign.hosts.values()
    monkeypatch.setenv("HOME", "/home/u")
    for name in XDG_FOLDERS:
        monkeypatch.delenv(name, raising=False)
    assert str(store_of(campaign.image).path) == "/home/u/.cache/campaign/images"
    assert str(state_dir_of(host)) == "/home/u/.local/state/campaign"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert store_of(campaign.image).path == tmp_path / "cache/campaign/images"
    assert state_dir_of(host) == tmp_path / "state/campaign"
