"""Arguments that are read off sources are those that Python finds."""

import inspect
import subprocess
import sys

import pytest

from tractprobe.system.registry import PUBLIC
from tractprobe.system.signatures import parameters

NAMES = [name for name in PUBLIC if name != "pytorch_lightning.loggers.TensorBoardLogger"]  # which takes any
OTHERS = ["torch.optim:SGD", "torch.optim:RMSprop", "torch.optim.lr_scheduler:OneCycleLR"]


def place(name: str) -> tuple[str, str]:
    module, _, attribute = name.partition(":")
    return (module, attribute) if attribute else (PUBLIC[name].module, PUBLIC[name].attribute)


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_arguments_read_off_the_source_are_those_of_the_object(name: str):
    module, attribute = place(name)
    found = parameters(module, attribute)
    assert found is not None
    target = getattr(__import__(module, fromlist=[attribute]), attribute)
    expected = inspect.signature(target).parameters.values()
    assert [(own.name, own.required) for own in found] == [(own.name, own.default is own.empty) for own in expected]


def test_nothing_is_imported_for_it():
    code = (
        "import sys; from tractprobe.system.signatures import parameters as p;"
        "assert p('torch.optim', 'AdamW') and p('pytorch_lightning', 'Trainer');"
        "assert p('tractprobe.encoders.mel', 'Mfcc');"
        "assert not {'torch', 'pytorch_lightning', 'tractprobe.encoders'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "name",
    ["math:sqrt", "nosuch:thing", "json:nosuch", "pytorch_lightning.loggers:TensorBoardLogger", "torch.nn:Module"],
)
def test_what_the_source_does_not_tell_is_unknown(name: str):
    assert parameters(*place(name)) is None
