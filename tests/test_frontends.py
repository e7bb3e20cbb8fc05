"""What must hold of every front end, whatever it is given: property tests (hypothesis) over lengths, channels and kinds of sound."""
import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastjpeg.audio.core import AudioError, LoadAudio, TensorAudio, verify_audio
from fastjpeg.audio.frontends import GaborBank, loudest_segment, trim_silence
from fastjpeg.audio.pcen import Pcen, PcenLayer
from fastjpeg.audio.spectrogram import (
    Chroma,
    Cqt,
    Deltas,
    Gammatone,
    LinearBank,
    LogBank,
    Mel,
    Mfcc,
    NormalizeSpec,
    SpecToImage,
    StackSpecs,
    Stft,
    ToDb,
)

SR = 16000


def chain(*tfms):
    def f(x):
        for t in tfms: x = t(x)
        return x
    return f


kw = dict(n_fft=512, hop_length=160)
FRONT_ENDS = dict(
    stft_complex=Stft(output='complex', **kw), stft_magnitude=Stft(output='magnitude', **kw), stft=Stft(**kw), stft_db=Stft(output='db', f_min=100, f_max=4000, **kw),
    mel=Mel(n_mels=40, **kw), mel_magnitude=Mel(output='magnitude', n_mels=40, **kw), mel_db=Mel(output='db', n_mels=40, **kw),
    linear=LinearBank(30, output='db', **kw), log=LogBank(60, output='db', **kw), gammatone=Gammatone(32, output='db', **kw), chroma=Chroma(**kw),
    cqt=Cqt(f_min=60., n_bins=72, hop_length=160), cqt_magnitude=Cqt('magnitude', f_min=500., n_bins=36, hop_length=160), cqt_db=Cqt('db', f_min=60., n_bins=72, hop_length=160),
    mfcc=Mfcc(n_mfcc=13, deltas=2, n_mels=40, **kw), deltas=chain(Mel(output='db', n_mels=40, **kw), Deltas(2)),
    pcen=chain(Mel(n_mels=40, **kw), Pcen()), pcen_rates=chain(Mel(output='magnitude', n_mels=40, **kw), Pcen((.05, .4), power=.3, state=1.)),
    gabor=GaborBank(SR), gabor_pcen=chain(GaborBank(SR), PcenLayer(40, (.1, .4), SR, 160)),
    pcen_layer=chain(Mel(n_mels=40, **kw), PcenLayer(40, (.1, .4), SR, 160)),
    stack=StackSpecs([Mel(n_mels=40, **kw), ToDb()], [Mel(n_mels=40, **kw), Pcen()], LogBank(40, output='db', **kw)),
    normalized=chain(Mel(output='db', n_mels=40, **kw), NormalizeSpec()), normalized_rows=chain(Mel(output='db', n_mels=40, **kw), NormalizeSpec(by_row=True)))


@st.composite
def waveforms(draw):
    "(batch, channels, samples): silence, full scale, beyond it and clipped, a constant, noise of any level, a click, a tone, sound that stops"
    shape = draw(st.integers(1, 2)), draw(st.integers(1, 4)), draw(st.one_of(st.integers(1, 8), st.integers(1, 3000)))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 2**20))))
    kind = draw(st.sampled_from(['silence', 'constant', 'clipped', 'noise', 'click', 'tone', 'stops']))
    level = draw(st.sampled_from([1., 1e-3, 1e-7, 1e-20]))
    if kind == 'silence': x = x*0
    if kind == 'constant': x = torch.ones(shape)*draw(st.sampled_from([1., -1., .5, 1e-4]))
    if kind == 'clipped': x = (x*10).clamp(-1, 1)
    if kind == 'noise': x = x*level
    if kind == 'click':
        x = x*0
        x[..., draw(st.integers(0, shape[-1]-1))] = level
    if kind == 'tone': x = level*torch.sin(torch.arange(shape[-1])*draw(st.floats(0, np.pi))).expand(shape)
    if kind == 'stops': x[..., shape[-1]//2:] = 0
    return x.contiguous()


@pytest.mark.parametrize('name', FRONT_ENDS)
def test_finite_values_and_gradients(name):
    f = FRONT_ENDS[name]

    @settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(waveforms())
    def check(x):
        wave = TensorAudio(x, sr=SR).requires_grad_()
        y = f(wave)
        assert y.shape[0] == x.shape[0] and y.shape[-1] == 1+x.shape[-1]//160 and y.shape[1]%x.shape[1] == 0
        y = torch.view_as_real(y) if y.is_complex() else y
        assert y.isfinite().all()
        y.sum().backward()
        assert wave.grad.isfinite().all()
        if name in ('mel_db', 'pcen'): assert SpecToImage()(f(wave)[:, :1]).isfinite().all()

    check()


@settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(n=st.integers(1, 4000), channels=st.integers(1, 4), bad=st.sampled_from([np.nan, np.inf, -np.inf]), where=st.floats(0, 1))
def test_nan_is_rejected_with_the_name_of_the_file(tmp_path, n, channels, bad, where):
    x = np.zeros((n, channels), dtype=np.float32)
    path = tmp_path/f'recorder {n}.wav'
    sf.write(path, x, SR, subtype='FLOAT')
    assert LoadAudio(SR)(path).shape == (1, n) and not verify_audio([path], progress=False)
    x[int(where*(n-1)), 0] = bad
    sf.write(path, x, SR, subtype='FLOAT')
    with pytest.raises(AudioError, match=f'recorder {n}.wav.*NaN or infinite'): LoadAudio(SR)(path)
    assert verify_audio([path], progress=False) == [path]
    with pytest.raises(AudioError, match='NaN or infinite'): LoadAudio(SR)(TensorAudio(torch.from_numpy(x.T.copy()), sr=SR))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(waveforms(), st.floats(1e-4, .4))
def test_loudest_segment_is_the_loudest(x, duration):
    cut, m = loudest_segment(TensorAudio(x, sr=SR), duration), max(1, round(duration*SR))
    assert cut.sr == SR and cut.shape == (*x.shape[:2], m) and cut.isfinite().all()
    if m >= x.shape[-1]:                    # nothing is lost, and nothing but zeros comes
        lack = m-x.shape[-1]
        return torch.testing.assert_close(cut.as_subclass(torch.Tensor)[..., lack//2:m-(lack-lack//2)], x, rtol=0, atol=0)
    windows = x.double().square().sum(1).unfold(-1, m, 1).sum(-1)
    torch.testing.assert_close(cut.as_subclass(torch.Tensor).double().square().sum((1, 2)), windows.max(-1).values, rtol=1e-9, atol=1e-12*float(windows.max()))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(waveforms(), st.floats(1, 100), st.floats(1e-4, .1))
def test_trim_silence_cuts_silence_only(x, top_db, frame):
    x, m = x[0], max(1, round(frame*SR))
    cut = trim_silence(TensorAudio(x, sr=SR), top_db, frame).as_subclass(torch.Tensor)
    assert cut.numel() and cut.shape[0] == x.shape[0]
    start = next(i for i in range(0, x.shape[1], m) if torch.equal(x[:, i:i+cut.shape[1]], cut))
    gone = torch.cat([x[:, :start], x[:, start+cut.shape[1]:]], 1)
    if gone.numel(): assert gone.square().mean(0).mean() <= x.square().mean(0).max()*10**(-top_db/10)*1.001
