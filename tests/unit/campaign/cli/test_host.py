"""`hpc-campaign host join`: what it prints can be run on a host that has had no Ray."""

import stat
import subprocess

from campaign.cli.host import joining

STUBS = {"scp": 'cp "$HEAD_HOME/${2#*:}" "${3/#~/$HOME}"', "ray": 'echo "$@" >>$HOME/ray'}


def test_the_commands_run_on_fresh_hosts_and_both_have_the_token(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, does in STUBS.items():
        (programs / name).write_text(f"#!/bin/bash\nset -e\n{does}\n")
        (programs / name).chmod(0o755)
    heads, hosts = tmp_path / "head", tmp_path / "host"
    lines = list(joining("node7", "head", 6379))
    second = lines.index("", lines.index("") + 1)
    for home, part in ((heads, lines[: lines.index("")]), (hosts, lines[lines.index("") : second])):
        home.mkdir()
        environment = {
            "HOME": str(home),
            "HEAD_HOME": str(heads),
            "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        }
        script = "\n".join(part)
        subprocess.run(["bash", "-euc", script], env=environment, check=True, cwd=tmp_path)
    token = hosts / ".ray/auth_token"
    assert token.read_text() == (heads / ".ray/auth_token").read_text() != ""
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
    assert "--address=head:6379 --labels=host=node7" in (hosts / "ray").read_text()
