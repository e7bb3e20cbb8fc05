"""Front ends on batches, against librosa file by file and nnAudio: time, error, peak memory; a whole training pipeline, against librosa and audiomentations."""
import tempfile
from pathlib import Path

import librosa
import numpy as np
import scipy.signal
import soundfile as sf
import torch

from benchmarks.timing import compare, peak_mb, show
from fastjpeg.audio.augment import AddNoise, Bandpass, Gain, ImpulseResponse, Shift
from fastjpeg.audio.core import LoadAudio, TensorAudio, get_audio_files
from fastjpeg.audio.pcen import Pcen, PcenLayer, pcen
from fastjpeg.audio.spectrogram import Chroma, Mel, cqt, filterbank, gammatone_filters, melspectrogram, mfcc, power_to_db
from fastjpeg.datasets import data_path

try: import torchaudio
except (ImportError, OSError): torchaudio = None        # it is built for one version of torch

LIBROSA = 'librosa, one by one'


def waves(batch, seconds, sr): return torch.randn(batch, int(seconds*sr), generator=torch.Generator().manual_seed(0))*.1


def rows(title, ways, ref, repeats=7):
    "Time, greatest error as a part of the maximum of `ref`, and peak memory of each way"
    res = compare(ways, repeats=repeats)
    for r in res:
        got = np.asarray(ways[r['way']]())
        if ref is not None: r['error'] = f'{np.abs(got-ref).max()/np.abs(ref).max():.1e}'
        r['peak MB'] = peak_mb(ways[r['way']])
    show(title, res)


def one_by_one(f, x): return lambda: np.stack([f(o.numpy()) for o in x])


def mel(batch, seconds, sr, n_fft, hop_length, n_mels):
    from nnAudio.features.mel import MelSpectrogram
    x, kw = waves(batch, seconds, sr), dict(sr=sr, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels)
    peer = MelSpectrogram(**kw, pad_mode='constant', verbose=False)
    ways = {LIBROSA: one_by_one(lambda o: librosa.feature.melspectrogram(y=o, **kw), x),
            'librosa, whole batch': lambda: librosa.feature.melspectrogram(y=x.numpy(), **kw),
            'nnAudio': lambda: peer(x).numpy(),
            'fastjpeg': lambda: melspectrogram(x, **kw).numpy()}
    if torchaudio:
        other = torchaudio.transforms.MelSpectrogram(sr, n_fft, hop_length=hop_length, n_mels=n_mels, norm='slaney', mel_scale='slaney', pad_mode='constant')
        ways['torchaudio'] = lambda: other(x).numpy()
    rows(f'mel, {batch} clips of {seconds} s, {sr} Hz, n_fft {n_fft}, hop {hop_length}, {n_mels} bands; error against librosa', ways, ways[LIBROSA](), repeats=15)


def mfcc_rows():
    from nnAudio.features.mel import MFCC
    x = waves(16, 5, 22050)
    peer = MFCC(sr=22050, n_mfcc=20, pad_mode='constant', verbose=False)
    ways = {LIBROSA: one_by_one(lambda o: librosa.feature.mfcc(y=o), x),
            'nnAudio': lambda: peer(x).numpy(),
            'fastjpeg': lambda: mfcc(power_to_db(melspectrogram(x[:, None]))).numpy()[:, 0]}
    if torchaudio:
        other = torchaudio.transforms.MFCC(22050, 20, melkwargs=dict(n_fft=2048, hop_length=512, n_mels=128, norm='slaney', mel_scale='slaney', pad_mode='constant'))
        ways['torchaudio'] = lambda: other(x).numpy()
    rows('MFCC, 16 clips of 5 s, 22050 Hz; error against librosa', ways, ways[LIBROSA]())


def pcen_rows(batch, frames):
    x = torch.rand(batch, 128, frames, generator=torch.Generator().manual_seed(0))**8*2**31
    shared, per_row = PcenLayer(scale=1., state=1.), PcenLayer(128, scale=1., state=1.)
    b = float(shared.values['b'])
    @torch.no_grad()
    def layer(net): return net(x[:, None])[:, 0].numpy()
    ways = {LIBROSA: one_by_one(lambda o: librosa.pcen(o, b=b), x),
            'fastjpeg, fixed': lambda: pcen(x, b, state=1.).numpy(),
            'fastjpeg, layer, shared': lambda: layer(shared),
            'fastjpeg, layer, per row': lambda: layer(per_row)}
    rows(f'PCEN, {batch} x 128 bands x {frames} frames; error against librosa in double precision', ways, np.stack([librosa.pcen(o.double().numpy(), b=b) for o in x]))


def direct_cqt(y, hop_length=512, n_bins=84, sr=22050):
    "The sum that defines the transform, in double precision"
    w, lengths = librosa.filters.wavelet(freqs=librosa.cqt_frequencies(n_bins, fmin=librosa.note_to_hz('C1')), sr=sr, dtype=np.complex128)
    n = w.shape[1]
    padded = np.pad(y.astype(np.float64), (n//2, n))
    return np.stack([w.conj() @ padded[t:t+n] for t in range(0, len(y)+1, hop_length)], 1)*np.sqrt(lengths)[:, None]


def cqt_rows(batch, seconds):
    from nnAudio.features.cqt import CQT1992v2, CQT2010v2
    x = waves(batch, seconds, 22050)
    peers = [f(sr=22050, n_bins=84, pad_mode='constant', output_format='Magnitude', verbose=False) for f in (CQT1992v2, CQT2010v2)]
    ways = {LIBROSA: one_by_one(lambda o: np.abs(librosa.cqt(o)), x),
            'nnAudio 1992v2': lambda: peers[0](x, normalization_type='librosa').numpy(),
            'nnAudio 2010v2': lambda: peers[1](x, normalization_type='librosa').numpy(),
            'fastjpeg': lambda: cqt(x).abs().numpy()}
    rows(f'constant Q, {batch} clips of {seconds} s, 22050 Hz, 84 bins, hop 512; magnitudes; error against the direct sum', ways, np.stack([np.abs(direct_cqt(o.numpy())) for o in x]))


def gammatone_rows():
    from nnAudio.features.gammatone import Gammatonegram
    sr, x = 22050, waves(8, 5, 22050)
    peer = Gammatonegram(sr=sr, n_bins=64, n_fft=2048, hop_length=512, fmin=50, pad_mode='constant', verbose=False)
    fb, centres = gammatone_filters(sr, 2048, 64, 50., sr/2, None)
    t = np.arange(int(.2*sr))/sr
    width = 1.019*24.7*(1+.00437*centres)
    bank = [(e := t**3*np.exp(-2*np.pi*w*t))/e.sum()*np.exp(2j*np.pi*f*t) for f, w in zip(centres, width)]
    weights = scipy.signal.get_window('hann', 2048)**2
    scale = 1/(2048*weights.sum())
    def exact(y):
        power = [np.abs(scipy.signal.fftconvolve(y.astype(np.float64), h)[:len(y)])**2 for h in bank]
        return np.stack([scipy.signal.fftconvolve(o, weights, mode='same')[::512] for o in power])/weights.sum()
    ways = {'filters, scipy, one by one': one_by_one(exact, x), 'nnAudio': lambda: peer(x).numpy(), 'fastjpeg': lambda: filterbank(x, fb).numpy()*scale}
    rows('gammatone, 8 clips of 5 s, 22050 Hz, 64 bands', ways, None, repeats=3)
    true, ours = ways['filters, scipy, one by one'](), ways['fastjpeg']()
    print(f'mean level of each band against the filters: {np.abs(10*np.log10(ours.mean((0, 2))/true.mean((0, 2)))).max():.2f} dB off at most')


def chroma_rows():
    x = waves(16, 5, 22050)
    audio, chroma = TensorAudio(x[:, None], sr=22050), Chroma()
    ways = {LIBROSA: one_by_one(lambda o: librosa.feature.chroma_stft(y=o, tuning=0), x), 'fastjpeg': lambda: chroma(audio)[:, 0].numpy()}
    rows('chroma, 16 clips of 5 s, 22050 Hz; error against librosa', ways, ways[LIBROSA]())


def pipeline(what, files, rooms, seconds, sr, **kw):
    "What a training loop waits for: load, random crop, two augmentations, mel, PCEN"
    import audiomentations as am
    rng, load, front = np.random.default_rng(0), LoadAudio(sr, seconds), [Mel(**kw), Pcen()]
    n, hop, frames = round(seconds*sr), kw['hop_length'], {f: sf.info(f).frames for f in files}
    pairs = {'white noise, shift': ([AddNoise((5, 30), p=1), Shift((-.1, .1), p=1)],
                                    [am.AddGaussianSNR(5, 30, p=1), am.Shift(-.1, .1, shift_unit='seconds', rollover=False, fade_duration=0, p=1)]),
             'coloured noise, gain': ([AddNoise((5, 30), beta=(0, 2), p=1), Gain(p=1)], [am.AddColorNoise(5, 30, min_f_decay=-6, max_f_decay=0, p=1), am.Gain(p=1)]),
             'white noise, room': ([AddNoise((5, 30), p=1), ImpulseResponse(rooms, p=1)], [am.AddGaussianSNR(5, 30, p=1), am.ApplyImpulseResponse(rooms, p=1)]),
             'coloured noise, band-pass': ([AddNoise((5, 30), beta=(0, 2), p=1), Bandpass((100, 500), (sr/8, sr/3), p=1)],
                                           [am.AddColorNoise(5, 30, min_f_decay=-6, max_f_decay=0, p=1), am.BandPassFilter(200, sr/5, p=1)])}
    for name, (ours, theirs) in pairs.items():
        def one(f, theirs=theirs):
            y, _ = librosa.load(f, sr=sr, offset=rng.uniform(0, max(0, frames[f]-n))/sr, duration=seconds)
            y = librosa.util.fix_length(y, size=n)
            for t in theirs: y = t(y, sr)
            return librosa.pcen(librosa.feature.melspectrogram(y=y, sr=sr, **kw)*2**31, sr=sr, hop_length=hop)
        def peers(one=one): return np.stack([one(f) for f in files])
        def fastjpeg(ours=ours):
            x = torch.stack([load(f, split_idx=0) for f in files])
            for t in (*ours, *front): x = t(x, split_idx=0)
            return x.numpy()[:, 0]
        assert peers().shape == fastjpeg().shape
        rows(f'load, crop to {seconds} s, {name}, mel, PCEN: {what}', {'librosa and audiomentations, one by one': peers, 'fastjpeg': fastjpeg}, None)


def pipelines(batch=32):
    "Clips of seconds, where FFT and random numbers are most of the work, and short recordings, where calls are"
    rng, long, short = np.random.default_rng(0), 22050, 8000
    with tempfile.TemporaryDirectory() as d:
        def write(name, i, y, sr):
            sf.write(f := Path(d)/f'{name}{sr}_{i}.wav', y, sr)
            return f
        rooms = {sr: [write('room', i, .1*rng.standard_normal(sr//2)*np.exp(-np.arange(sr//2)/(.08*sr)), sr) for i in range(8)] for sr in (long, short)}
        clips = [write('clip', i, o.numpy(), long) for i, o in enumerate(waves(batch, 5, long))]
        pipeline(f'{batch} wav files of 5 s, {long} Hz', clips, rooms[long], 3., long, n_fft=1024, hop_length=256, n_mels=64)
        spoken = get_audio_files(data_path('fsdd'))
        pipeline(f'{batch} spoken digits (FSDD), {short} Hz', spoken[::len(spoken)//batch][:batch], rooms[short], .8, short, n_fft=256, hop_length=128, n_mels=64)


def run():
    mel(32, 5, 22050, 2048, 512, 128)
    mel(64, 1, 8000, 256, 80, 64)
    mfcc_rows()
    pcen_rows(32, 216)
    pcen_rows(1, 25840)
    cqt_rows(8, 5)
    gammatone_rows()
    chroma_rows()
    pipelines()
