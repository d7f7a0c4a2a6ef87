"""How a failed command is explained: always by command, exit status and output."""

from campaign.core.errors import COMMAND_HEAD, OUTPUT_TAIL, command_failed


def test_a_failed_command_is_explained_by_command_exit_status_and_output():
    details = command_failed(("ls", "-l", "a b"), 2, "\nno such file\n")
    assert details == "command: ls -l 'a b'\nexit status: 2\noutput: no such file"


def test_a_command_that_was_ended_or_said_nothing_says_so():
    _, ended, output = command_failed("sleep 1000", None, " \n").splitlines()
    assert ended.startswith("exit status: none")
    assert output == "output: (none)"


def test_a_command_that_a_signal_ended_names_the_signal():
    assert "exit status: none: it was ended by signal 9\n" in command_failed("sleep 9", -9, "")


def test_of_a_long_command_the_beginning_is_kept_and_of_a_long_output_the_end():
    command, _, output = command_failed(
        "begin" + "x" * COMMAND_HEAD, 1, "y" * OUTPUT_TAIL + "end"
    ).splitlines()
    assert command.startswith("command: begin")
    assert command.endswith("...")
    assert output.startswith("output: ...y")
    assert output.endswith("end")
    assert len(output) == len("output: ...") + OUTPUT_TAIL
