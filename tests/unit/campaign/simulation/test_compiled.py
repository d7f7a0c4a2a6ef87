"""Where compiled loops are kept."""

from campaign.simulation.compiled import writable


def test_compiled_code_stays_with_the_package_where_that_can_be_written(tmp_path):
    folder = tmp_path / "__pycache__"
    assert writable(folder) == folder and folder.is_dir() and not list(folder.iterdir())


def test_an_installed_package_of_another_user_has_its_compiled_code_in_the_users_cache(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Root may write everywhere, so the folder is one that nobody can make.
    (tmp_path / "file").write_text("")
    found = writable(tmp_path / "file" / "__pycache__")
    assert found == tmp_path / "cache" / "campaign" / "simulation"
