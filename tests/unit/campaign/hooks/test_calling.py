"""One call of a hook: whatever a command or a function does, there is an outcome, in time."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from campaign.hooks.calling import FunctionCalls, call_command
from campaign.hooks.context import HookAnswer, HookContext


@pytest.fixture
def context(tmp_path):
    return HookContext(
        hook="mine", moment="trial.after", campaign="demo", results="/r", out=str(tmp_path)
    )


def shell(context, script, timeout_s=20.0):
    return call_command(["sh", "-c", script], context, timeout_s)


def test_a_command_is_told_and_answers(context, tmp_path):
    told = 'cat > "$HPC_CAMPAIGN_OUT/told"'
    answer = '{"metrics": {"ipc": 1.5}, "checks": []}'
    result = shell(context, f"{told}; echo '{answer}' > \"$HPC_CAMPAIGN_OUT/answer.json\"")
    assert (result.outcome, result.detail) == ("ok", "")
    assert result.answer == HookAnswer(metrics={"ipc": 1.5})
    assert HookContext.model_validate_json((tmp_path / "told").read_text()) == context
    assert not (tmp_path / "answer.json").exists()


def test_a_command_needs_neither_to_listen_nor_to_answer(context):
    large = context.model_copy(update={"reason": "x" * 1_000_000})
    assert shell(large, "exit 0").outcome == "ok"


def test_a_command_that_hangs_is_ended_with_all_that_it_started(context, tmp_path):
    script = f"sleep 300 & echo $! > {tmp_path}/child; echo waiting; wait"
    begun = time.monotonic()
    result = shell(context, script, timeout_s=0.5)
    assert result.outcome == "timeout"
    assert "it printed: waiting" in result.detail
    assert time.monotonic() - begun < 30
    until_gone(int((tmp_path / "child").read_text()))


def until_gone(pid):
    """Wait until a process has ended; the test's own limit ends this where it doesn't."""
    while True:
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.01)


def test_an_interruption_ends_the_command_too(context, tmp_path, monkeypatch):
    waited = subprocess.Popen.wait
    interruptions = [KeyboardInterrupt()]

    def wait(process, timeout=None):
        if interruptions:
            while not (tmp_path / "pid").exists():
                time.sleep(0.01)
            raise interruptions.pop()
        return waited(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        shell(context, f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; sleep 300")
    until_gone(int((tmp_path / "pid").read_text()))


def test_a_command_that_fails_says_what_it_printed_last(context):
    result = shell(context, "seq 100000; echo at last >&2; exit 3")
    assert result.outcome == "failed"
    assert result.detail.startswith("exit status 3; it printed: ...")
    assert result.detail.endswith("at last")
    assert len(result.detail) < 3000


def test_a_command_that_prints_binary_is_well_unless_it_fails(context):
    binary = r"head -c 100000 /dev/zero; printf '\377\033]0;title\007'"
    assert shell(context, binary).outcome == "ok"
    result = shell(context, f"{binary}; exit 1")
    assert result.outcome == "failed"
    assert result.detail.isprintable()
    assert r"\xff\x1b]0;title\x07" in result.detail


def test_a_program_that_cant_be_started_has_failed(context):
    result = call_command(["/nonexistent/program"], context, 1.0)
    assert result.outcome == "failed"
    assert "can't be started" in result.detail


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff\xfe\x00", "no answer"),
        (b'{"metrics": {"a": 1, "a": 2}}', "'a' stands in it twice"),
        (b'{"metrics": {"a": "much"}}', "metrics.a"),
        (b'{"metrics": {"a": NaN}}', "metrics.a"),
        (b'{"metrics": {"no name": 1}}', "metrics"),
        (b'{"other": 1}', "other"),
        (b"[" * 100_000, "no answer"),
        (b"3", "no answer"),
    ],
)
def test_an_answer_that_is_none_is_a_failure(context, tmp_path, content, why):
    (tmp_path / "prepared").write_bytes(content)
    result = shell(context, f"cp {tmp_path}/prepared {tmp_path}/answer.json")
    assert result.outcome == "failed"
    assert why in result.detail
    assert result.answer == HookAnswer()


def test_an_answer_that_is_a_pipe_or_a_link_to_nowhere_waits_for_nobody(context, tmp_path):
    assert shell(context, f"mkfifo {tmp_path}/answer.json").outcome == "failed"
    (tmp_path / "answer.json").unlink()
    assert shell(context, f"ln -s /nowhere {tmp_path}/answer.json").outcome == "failed"


def test_a_function_answers_or_not(context):
    answer = HookAnswer(metrics={"a": 1})
    assert FunctionCalls(lambda _: answer).call(context, 20.0).answer == answer
    assert FunctionCalls(lambda _: None).call(context, 20.0).outcome == "ok"


@pytest.mark.parametrize("error", [ValueError("no such day"), SystemExit(3), KeyboardInterrupt()])
def test_a_function_that_raises_has_failed(context, error):
    def raises(_):
        raise error

    result = FunctionCalls(raises).call(context, 20.0)
    assert result.outcome == "failed"
    assert type(error).__name__ in result.detail


def test_a_function_that_answers_nonsense_has_failed(context):
    result = FunctionCalls(lambda _: {"metrics": {"a": "much"}}).call(context, 20.0)
    assert result.outcome == "failed"
    assert "metrics.a" in result.detail


def test_a_function_that_hangs_is_left_behind_and_not_called_while_it_hangs(context):
    import threading

    go_on = threading.Event()
    calls = []

    def hangs(_):
        calls.append(1)
        go_on.wait(100)

    hook = FunctionCalls(hangs)
    assert hook.call(context, 0.1).outcome == "timeout"
    assert hook.call(context, 0.1).outcome == "skipped"
    assert len(calls) == 1
    go_on.set()
    hook._left_behind.join()
    assert hook.call(context, 20.0).outcome == "ok"


def test_the_context_is_plain_json(context):
    assert json.loads(context.model_dump_json())["trial"] is None
