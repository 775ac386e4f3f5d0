"""Makes the reference vectors of the preprocessing tests: `python make.py`, with numpy and Pillow.

Images are compared with Pillow (antialiased) and with the bilinear formula of four neighbours; sound with the formulas
of tf.signal, written out in numpy in 64 bits."""

import pathlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent


def save(name, array):
    np.save(HERE / f"{name}.npy", np.ascontiguousarray(array))


def picture():
    """47 x 33 pixels with slopes, a hard edge and noise."""
    rows, columns = np.mgrid[:33, :47]
    noise = np.random.default_rng(1).integers(0, 40, (33, 47, 3))
    planes = np.stack([columns * 5, rows * 7, (columns > 20) * 200], -1)
    return (np.clip(planes + noise, 0, 255)).astype(np.uint8)


def four_neighbours(image, width, height):
    """OpenCV's INTER_LINEAR: pixel centres, edges repeated."""
    def places(length, source):
        at = (np.arange(length) + 0.5) * source / length - 0.5
        low = np.floor(at).astype(int)
        return np.clip(low, 0, source - 1), np.clip(low + 1, 0, source - 1), at - low

    top, bottom, v = places(height, image.shape[0])
    left, right, h = places(width, image.shape[1])
    image = image.astype(float)
    mix = lambda a, b, part: a * (1 - part) + b * part
    rows = mix(image[top], image[bottom], v[:, None, None])
    return np.rint(mix(rows[:, left], rows[:, right], h[None, :, None])).astype(np.uint8)


def images():
    image = picture()
    save("picture", image)
    pillow = Image.fromarray(image)
    for width, height in [(16, 12), (96, 64)]:
        save(f"antialias_{width}x{height}", np.asarray(pillow.resize((width, height), Image.BILINEAR)))
        save(f"bilinear_{width}x{height}", four_neighbours(image, width, height))
    save("grey", np.asarray(pillow.convert("L")))
    # The middle square of the width, then 16 x 16.
    save("crop_16x16", np.asarray(pillow.resize((16, 16), Image.BILINEAR, box=(7, 0, 40, 33))))
    inside = (20, int(33 * 20 / 47))
    boxed = np.full((20, 20, 3), 114, np.uint8)
    boxed[: inside[1], : inside[0]] = np.asarray(pillow.resize(inside, Image.BILINEAR))
    save("letterbox_20x20", boxed)


def mel_weights(bands, bins, rate, low, high):
    mel = lambda hz: 1127 * np.log1p(hz / 700)
    place = mel(np.linspace(0, rate / 2, bins)[1:])[:, None]
    edge = np.linspace(mel(low), mel(high), bands + 2)
    lower, centre, upper = edge[:-2], edge[1:-1], edge[2:]
    weights = np.maximum(0, np.minimum((place - lower) / (centre - lower), (upper - place) / (upper - centre)))
    return np.pad(weights, ((1, 0), (0, 0)))


def log_mel(sound, taper, step, fft, power, weights, offset):
    starts = range(0, len(sound) - len(taper) + 1, step)
    frames = np.stack([sound[start : start + len(taper)] for start in starts])
    spectrum = np.abs(np.fft.rfft(frames * taper, fft, axis=1)) ** power
    return np.log(spectrum @ weights + offset)


def sounds():
    time = np.arange(4000) / 16000
    sweep = 9000 * np.sin(2 * np.pi * (200 + 6000 * time) * time) * np.exp(-8 * time)
    sound = (sweep + np.random.default_rng(2).normal(0, 30, 4000)).astype(np.int16)
    save("sound", sound.view(np.uint8))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480)
    level = sound.astype(np.float32) / np.float32(max(sound.max(), 1))
    energies = log_mel(level, hann, 320, 512, 1, mel_weights(40, 257, 16000, 20, 4000), 1e-6)
    cosines = 2 * np.cos(np.pi / 40 * (np.arange(40)[:, None] + 0.5) * np.arange(40))
    save("mfcc", ((energies @ cosines) / np.sqrt(80))[:, :10].astype(np.float32))
    weights = mel_weights(32, 201, 16000, 60, 7600)
    save("log_mel", log_mel(sound / 32768, np.hamming(400), 160, 400, 2, weights, 1e-9).astype(np.float32))


images()
sounds()
