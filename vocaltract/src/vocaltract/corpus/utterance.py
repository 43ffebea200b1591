"""One utterance, from its task to sound and movement."""

from dataclasses import dataclass

import numpy as np

from vocaltract import speakers
from vocaltract.corpus.folder import EMA_HZ, Made
from vocaltract.corpus.plan import Task
from vocaltract.states import Movement
from vocaltract.synthesis.recorded import RECORDED_HZ, recorded


@dataclass(frozen=True)
class Keep:
    """What is made and kept beside the sound.

    Attributes
    ----------
    movement
        EMA and pitch; without them synthesis is about twice as fast.
    motor
        Trajectories of tract and glottis.
    """

    movement: bool = True
    motor: bool = False


def make(task: Task, keep: Keep) -> Made:
    """Speak it. The result depends on the task alone, not on the process or on what was made before."""
    from vocaltract import synthesis

    speaker = speakers.load(task.speaker)
    speaker.activate()
    movement = movement_of(task, speaker)
    dry = synthesis.audio(movement, speaker)
    sound = recorded(dry, task.manner, task.seed)
    phones = tuple((phone.ipa, phone.start_s, phone.end_s) for phone in movement.spoken.phones)
    motor = np.hstack([movement.tract, movement.glottis]) if keep.motor else None
    if not keep.movement:
        return Made(sound, None, None, phones, motor)
    articulation = synthesis.articulation(movement, speaker, float(EMA_HZ))
    frames = min(len(articulation.ema), -(-len(sound) * EMA_HZ // RECORDED_HZ))
    ema = with_sensor_noise(articulation.ema[:frames], task)
    f0_hz = synthesis.heard_f0(articulation.f0_hz[:frames], dry, float(EMA_HZ))
    return Made(sound, ema, f0_hz, phones, motor)


def movement_of(task: Task, speaker: speakers.Speaker) -> Movement:
    """Everything that the tract does in this utterance."""
    if task.kind.startswith("babble_"):
        from vocaltract import babble

        return babble.movement(speaker, task.kind.removeprefix("babble_"), task.seconds, task.seed, task.manner)
    from vocaltract import languages
    from vocaltract.movement import move

    return move(languages.speak(task.spoken, task.language), speaker, task.manner, task.seed)


def with_sensor_noise(ema: np.ndarray, task: Task) -> np.ndarray:
    """Coordinates (frame, 12) with independent Gaussian noise of the manner's deviation."""
    random = np.random.default_rng(np.random.SeedSequence([task.seed, 0xE3A]))
    return ema + task.manner.sensor_noise_mm * random.standard_normal(ema.shape)
