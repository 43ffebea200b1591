"""Completion by the shell: a script for each, and what can come next on a line.

The scripts ask ``tractprobe completion SHELL --line LINE`` at each TAB. Arguments of train, evaluate and prepare are
completed by Hydra, from the configuration that the line has so far; everything else from the parser of the command.
"""

import argparse
import contextlib
import io
from collections.abc import Iterable, Sequence

SCRIPTS = {
    "bash": r"""# eval "$(tractprobe completion bash)", in ~/.bashrc for every shell
_tractprobe() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\n'
    local word="${line##* }"
    COMPREPLY=($("${COMP_WORDS[0]}" completion bash --line "$line" 2>/dev/null))
    if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then  # to bash, a word begins after "="
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
    fi
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=./] ]]; then
        compopt -o nospace
    fi
}
complete -o default -F _tractprobe tractprobe
""",
    "zsh": r"""# eval "$(tractprobe completion zsh)", in ~/.zshrc after compinit for every shell
_tractprobe() {
    local -a found open
    found=("${(@f)$("${words[1]}" completion zsh --line "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    found=("${(@)found:#}")
    if (( ! ${#found} )); then
        _files
        return
    fi
    open=("${(@M)found:#*[=./]}")
    found=("${(@)found:#*[=./]}")
    compadd -Q -S '' -a open
    compadd -Q -a found
}
compdef _tractprobe tractprobe
""",
    "fish": r"""# tractprobe completion fish | source, in ~/.config/fish/config.fish for every shell
function __tractprobe_complete
    set -l words (commandline -cpo)
    $words[1] completion fish --line (commandline -cp | string collect) 2>/dev/null
end
complete -c tractprobe -a '(__tractprobe_complete)'
""",
}


def candidates(line: str, parser: argparse.ArgumentParser, hydra_commands: Iterable[str]) -> list[str]:
    """Return the full words that the last word of a line can become; none where a file is expected.

    Parameters
    ----------
    line
        What was typed up to the cursor, with the command's own name.
    hydra_commands
        Subcommands whose arguments are Hydra's.
    """
    *before, word = line.split()[1:] if not line[-1:].isspace() else [*line.split()[1:], ""]
    commands = next(each for each in parser._actions if isinstance(each, argparse._SubParsersAction)).choices
    if not before:
        return _starting_with(word, [*commands, *_options(parser)])
    if before[0] in hydra_commands:
        return _of_hydra(before[0], before[1:], word)
    return _of_parser(commands[before[0]], before[-1], word) if before[0] in commands else []


def _of_parser(parser: argparse.ArgumentParser, previous: str, word: str) -> list[str]:
    """Return options, or the values of the preceding option, or those of an argument with few values."""
    taking = parser._option_string_actions.get(previous)
    if taking is not None and taking.nargs != 0:
        return _starting_with(word, taking.choices or ())
    if word.startswith("-"):
        return _starting_with(word, _options(parser))
    return _starting_with(
        word, [value for each in parser._actions if not each.option_strings for value in each.choices or ()]
    )


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [name for name, option in parser._option_string_actions.items() if option.help != argparse.SUPPRESS]


def _of_hydra(command: str, before: Sequence[str], word: str) -> list[str]:
    """Return Hydra's options, groups with their options, keys and values; of values with commas, the last."""
    from tractprobe.commands import parser

    if word.startswith("-") or (before and before[-1].startswith("-")):
        options = _of_parser(parser(command), before[-1] if before else "", word)
        if options or word.startswith("-"):
            return options
    typed, comma, last = word.rpartition(",")
    key = typed.partition("=")[0]
    words = _queried(command, [*before, f"{key}={last}" if comma else word])
    return [f"{typed},{each.removeprefix(f'{key}=')}" for each in words] if comma else words


def _queried(command: str, words: Sequence[str]) -> list[str]:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin

    from tractprobe.runs.configuration import conf_dir

    foreign = _groups_of_others(command)
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"), contextlib.redirect_stderr(io.StringIO()):
            plugin = DefaultCompletionPlugin(GlobalHydra.instance().config_loader())
            completions = plugin._query(command, " ".join(words))
            return [each for each in completions if each.partition("=")[0] not in foreign]
    except (Exception, SystemExit):  # an unfinished line can be anything
        return []


def _groups_of_others(command: str) -> set[str]:
    """Return the groups of other commands, which Hydra offers as well."""
    from tractprobe.runs.composition import groups, groups_of

    return set(groups()) - groups_of(command)


def _starting_with(word: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(word))
