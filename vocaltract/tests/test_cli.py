import pytest

from vocaltract import cli

COMMANDS = ("corpus", "babble", "espeak", "interventions", "check", "languages", "pictures")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    assert len(capsys.readouterr().out) > 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["corpus", "OUT", "--plan", "big"], "no plan 'big'; there are shipped, full, pretraining"),
        (["corpus", "OUT", "--speakers", "x1"], "no speaker 'x1'"),
        (["corpus", "OUT", "--workers", "0"], "--workers 0"),
        (["corpus", "OUT", "--minutes", "5"], "'shipped' has a fixed length"),
        (["babble", "OUT", "--minutes", "0"], "--minutes 0"),
        (["check", "OUT"], "OUT"),
        (["espeak", "OUT", "--languages", "th"], "no names of symbols in language 'th'; it has them in af, am"),
        (["espeak", "OUT", "--languages", "ja"], "cannot read the Chinese characters"),
        (["espeak", "OUT", "--languages", "../fi"], "no names of symbols in language '../fi'"),
        (["espeak", "OUT", "--languages", "fi", "fi"], "--languages names fi twice"),
        (["espeak", "OUT", "--languages", "fi", "--voices", "25"], "--voices 25: 1 to 24"),
        (["espeak", "OUT", "--languages", "fi", "--minutes", "-1"], "--minutes -1"),
        (["espeak", "OUT", "--languages", "fi", "--minutes", "nan"], "--minutes nan"),
    ],
)
def test_errors_are_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
