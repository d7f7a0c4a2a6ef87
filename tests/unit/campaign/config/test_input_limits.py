"""Odd overrides and YAML: each is taken as it looks, or refused with file, line and reason."""

import pytest

from campaign.config.compose import compose
from campaign.core.errors import ConfigError

ALIASES = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def refused(*overrides, **where):
    with pytest.raises(ConfigError) as caught:
        compose(list(overrides), **where)
    return str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["scheduler=[slurm,flux]", "scheduler.params.bf_interval=3"],
        ["g" * 300 + "=x"],
        ["cluster=" + "g" * 300],
        ["name=" + "[" * 60],
        ["name=" + "[" * 3000],
        ["name='" + "x" * 30_000 + "'"],
        ["name.x=1"],
        ["hosts=3"],
        ["scheduler.params.bf_interval={"],
        ["~"],
        ["=1"],
    ],
    ids=lambda overrides: overrides[0][:20],
)
def test_an_odd_override_is_refused_in_words(overrides):
    message = refused(*overrides)
    assert "Traceback" not in message and len(message) < 5000


def test_folders_and_files_with_names_that_are_too_long_do_not_exist(tmp_path):
    assert "there is no folder" in refused(config_dir=tmp_path / ("x" * 300))
    assert "File name too long" in refused(config_dir=tmp_path, config_name="x" * 300)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5\n", ""),
        ("- 1\n- 2\n", ""),
        ("a: &a [*a]\n", "line 1: holds itself"),
        ("&a a: *a\n", ""),
        ("name: " + "[" * 80 + "]" * 80, "line 1: nested more than 50 deep"),
        ("name: " + "[" * 100_000, ""),
        ("x: " + "y" * 1_100_000, "larger than 1,000,000 bytes"),
        (ALIASES, "stands for more than 1,000,000 values"),
        ("workload:\n  jobs: 010\n", "line 2: 010 would be read as an octal number"),
        ("workload:\n  jobs: -0_7\n", "line 2: -0_7 would be read as an octal number"),
        ("cluster:\n  stall_s: 1:30\n", "line 2: 1:30 would be read as the base 60"),
        ("name: !!python/object/apply:os.system ['false']\n", ""),
        ("name: 'a\0b'\n", "not valid YAML"),
        ("name: [\n", "not valid YAML"),
    ],
    ids=lambda text: text[:20],
)
def test_an_odd_file_is_refused_in_words(tmp_path, text, said):
    (tmp_path / "mine.yaml").write_text(text)
    message = refused(config_dir=tmp_path, config_name="mine")
    assert said in message and (not said or str(tmp_path / "mine.yaml") in message)


def test_text_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff\xfe\n")
    assert "not UTF-8" in refused(config_dir=tmp_path, config_name="mine")


def test_a_group_is_checked_where_it_is_chosen_and_only_there(tmp_path):
    (tmp_path / "workload").mkdir()
    (tmp_path / "workload" / "odd.yaml").write_text("kind: demo\njobs: 010\n")
    assert compose([], config_dir=tmp_path).campaign.name == "demo"
    assert "odd.yaml, line 2: 010" in refused("workload=odd", config_dir=tmp_path)


def test_quoted_text_and_plain_numbers_are_taken(tmp_path):
    (tmp_path / "workload").mkdir()
    (tmp_path / "workload" / "mine.yaml").write_text(
        "kind: swf\npath: '010'\nmax_runtime_s: 0.5\njobs: 10\nmin_width: 0x10\n"
    )
    found = compose(["workload=mine"], config_dir=tmp_path).campaign.workload
    assert (found.path, found.jobs, found.max_runtime_s, found.min_width) == ("010", 10, 0.5, 16)
