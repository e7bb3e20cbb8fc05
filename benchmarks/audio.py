"""Mel spectrograms of batches, against librosa file by file and nnAudio; loading, against librosa."""
import librosa
import numpy as np
import torch

from benchmarks.timing import compare, show
from fastjpeg.audio.spectrogram import melspectrogram, mfcc, power_to_db


def with_error(rows, ways, ref):
    "The rows, and each way's greatest error as a part of the reference's maximum"
    for r in rows: r['error'] = f'{np.abs(np.asarray(ways[r["way"]]())-ref).max()/np.abs(ref).max():.1e}'
    return rows


def mel(batch, seconds, sr, n_fft, hop_length, n_mels):
    from nnAudio.features.mel import MelSpectrogram
    x = torch.randn(batch, int(seconds*sr), generator=torch.Generator().manual_seed(0))*.1
    kw = dict(sr=sr, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels)
    peer = MelSpectrogram(**kw, pad_mode='constant', verbose=False)
    ways = {'librosa, one by one': lambda: np.stack([librosa.feature.melspectrogram(y=o.numpy(), **kw) for o in x]),
            'librosa, whole batch': lambda: librosa.feature.melspectrogram(y=x.numpy(), **kw),
            'nnAudio': lambda: peer(x).numpy(),
            'fastjpeg': lambda: melspectrogram(x, **kw).numpy()}
    show(f'mel, {batch} clips of {seconds} s, {sr} Hz, n_fft {n_fft}, hop {hop_length}, {n_mels} bands', with_error(compare(ways), ways, ways['librosa, one by one']()))


def mfcc_rows():
    x = torch.randn(16, 5*22050, generator=torch.Generator().manual_seed(0))*.1
    ways = {'librosa, one by one': lambda: np.stack([librosa.feature.mfcc(y=o.numpy()) for o in x]),
            'fastjpeg': lambda: mfcc(power_to_db(melspectrogram(x[:, None]))).numpy()[:, 0]}
    show('MFCC, 16 clips of 5 s, 22050 Hz', with_error(compare(ways, repeats=7), ways, ways['librosa, one by one']()))


def run():
    mel(32, 5, 22050, 2048, 512, 128)
    mel(64, 1, 8000, 256, 80, 64)
    mfcc_rows()
