import torch

from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.frames import Convolution, FrameGeometry, count_frames

WINDOW, HOP = 400, 320


class Bands(Encoder):
    """Log power in bands of equal width; layer 1 is layer 0 without its mean over bands."""

    context_frames = 0

    def __init__(self, label: str, bands: int = 16):
        self.stack = [Convolution(WINDOW, HOP)]
        identity = {"encoder": "mylab bands", "bands": bands}  # whatever can change the states belongs in here
        super().__init__(label, 2, bands, FrameGeometry.of(self.stack), identity)
        self.freeze()

    def count_frames(self, num_samples: int) -> int:
        return count_frames(self.stack, num_samples)

    def encode(self, waves):
        return [self.states(wave) for wave in waves]

    def states(self, wave):
        frames = wave.unfold(0, WINDOW, HOP) * torch.hann_window(WINDOW, device=wave.device)
        power = torch.fft.rfft(frames).abs().square()
        bands = torch.log(torch.nn.functional.adaptive_avg_pool1d(power, self.width) + 1e-10)
        return torch.stack([bands, bands - bands.mean(dim=1, keepdim=True)])
