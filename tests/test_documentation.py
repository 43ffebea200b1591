"""What the README and docs tell people to type is understood, and what they claim to print has been printed."""

import json
import re
import shlex
from pathlib import Path

import pytest
from conftest import DEMO, REPOSITORY
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from test_config import composed

from tractprobe.cli import _parser
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.hydra import builtin_corpus

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
ROOTS = {"train.py": "train", "evaluate.py": "evaluate"}
ROOTS |= {command: command for command in ("train", "pretrain", "evaluate", "prepare")}


def command_lines() -> list[str]:
    lines = []
    for page in PAGES:
        for block in re.findall(r"^```\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            lines += [re.sub(r"\s+#.*", "", line).strip() for line in block.splitlines()]
    known = {line for line in lines if re.match(r"(python (train|evaluate)\.py|tractprobe |make )", line)}
    return sorted(line for line in known if "its_" not in line)  # with the plug-in installed: test_plugins.py


def test_there_are_commands():
    assert len(command_lines()) >= 12


@pytest.mark.parametrize("line", command_lines())
def test_every_command_is_understood(line: str):
    words = shlex.split(line)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "tractprobe" and words[1] not in ROOTS:
        assert callable(_parser().parse_args(words[1:]).run)
    else:
        overrides = [word for word in words[2:] if word not in ("-m", "--dry-run")]
        parsed = OverridesParser.create().parse_overrides(overrides)
        single = [f"{one.key_or_group}={first_value(one.input_line or '')}" for one in parsed]
        composed(ROOTS[words[1]], *single)


def first_value(override: str) -> str:
    """Return what the first job of a sweep gets."""
    value = re.sub(r"\],\[.*", "]", override.partition("=")[2])
    return value if value.startswith(("[", "'", '"')) else value.split(",")[0]


def test_the_table_in_the_readme_is_what_the_demo_makes_of_the_built_in_corpus():
    """The printed rows name every language and layer of the demo, each cell with its interval."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    header, *rows = re.findall(r"^(?:layer|\d) .*$", text, re.MULTILINE)
    languages = header.split()[1:-1]
    (demo,) = re.findall(r"study=held_out model=(\S+)", (REPOSITORY / "Makefile").read_text())
    printed = re.findall(r"^(\w+), ridge: r by held-out language", text, re.MULTILINE)
    assert printed == sorted(demo.split(","))
    options = [OmegaConf.load(conf_dir() / f"model/{model}.yaml") for model in printed]
    layers = [str(layer) for option in options for layer in range(option.about.layers + 1)]
    spoken = {json.loads(path.read_text())["language"] for path in Path(builtin_corpus(DEMO)).rglob("*.json")}
    assert languages == sorted(spoken)
    numbered = [row for row in rows if row[0].isdigit()]
    assert [row[0] for row in numbered] == layers
    for row in numbered:
        assert len(re.findall(r"\.\d{3} \[-?\.\d{3}, -?\.\d{3}\]", row)) == len(languages) + 1


def test_the_layout_in_the_docs_is_the_one_the_reader_checks():
    from tractprobe.corpora.readers import folder

    text = (REPOSITORY / "docs/corpora.md").read_text(encoding="utf-8")
    for field in (*folder._REQUIRED, *folder._OPTIONAL):
        assert f"`{field}`" in text


def test_every_configuration_group_is_where_the_design_puts_it():
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    wanted = {"corpus", "head", "launcher", "model", "optimizer", "paths", "split", "tracking", "trainer"}
    assert wanted <= groups
