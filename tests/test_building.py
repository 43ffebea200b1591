"""What is said of a value that is not of its argument's type."""

import pytest
from test_config import composed

from tractprobe.runs.building import build
from tractprobe.system.errors import ConfigError

WORDS = {
    "ema.lowpass_hz=fast": "lowpass_hz=fast: expected a number",
    "ema.order=x": "order=x: expected a whole number",
    "model.bands=many": "bands=many: expected a whole number",
    "model.window_s=x": "window_s=x: expected a number or null",
    "split.train_min=x": "train_min=x: expected a number or null",
    "split.disjoint_text=perhaps": "disjoint_text=perhaps: expected true or false",
    "head.alpha_per_channel=perhaps": "alpha_per_channel=perhaps: expected true or false",
}


@pytest.mark.parametrize("override", WORDS)
def test_a_text_instead_of_a_number_or_truth_value_is_refused_by_name(override: str):
    settings = composed("train", "model=mel", override)
    with pytest.raises(ConfigError) as error:
        build(settings[override.partition(".")[0]])
    assert str(error.value).endswith(f": {WORDS[override]}")


@pytest.mark.parametrize("part", ["ema", "model", "split", "tracking"])
def test_the_defaults_are_of_their_types(part: str):
    build(composed("train")[part])
