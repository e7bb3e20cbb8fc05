"""Mistakes that are easily made, and what is said then: the class of the error, and a part of its message. Those of files are in test_faults.py."""
import contextlib
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from fastai.vision.all import (
    CategoryBlock,
    CrossEntropyLossFlat,
    DataBlock,
    ImageBlock,
    IndexSplitter,
    ItemGetter,
    Learner,
    Normalize,
    RandomErasing,
    RandomSplitter,
    Resize,
    accuracy,
    aug_transforms,
)
from torch import nn

from fastjpeg.all import *

SR = 8000
wave = TensorAudio(torch.randn(1, 4000), sr=SR)
spec = Mel(n_fft=256, n_mels=20)(wave)
photo = torch.rand(1, 3, 16, 16)
q50 = QTables.standard(50)
objective = lambda q: (1., 1.)      # noqa: E731

MISTAKES = [
    (lambda: AudioBlock('8000'), ValueError, "sr='8000'"),
    (lambda: AudioBlock(22.05), ValueError, 'whole number of Hz'),
    (lambda: AudioBlock(SR, '1'), ValueError, "'1'"),
    (lambda: TensorAudio(torch.zeros(1, 9), sr=.5), ValueError, 'sr=0.5'),
    (lambda: TensorAudio(torch.zeros(1, 9)), ValueError, 'sr=None'),
    (lambda: LoadAudio(SR)(np.zeros(9)), TypeError, 'TensorAudio(x, sr=...)'),
    (lambda: get_audio_files('no such place'), FileNotFoundError, 'no such place'),
    (lambda: Segment('a.wav', .3, .2).frames(SR, SR), AudioError, 'does not end after it begins'),
    (lambda: Segment.from_row(pd.Series(dict(file='a.wav', start=1.))), ValueError, 'no column end'),
    (lambda: Segment.from_row(pd.Series(dict(file='a.wav', start=1., end=np.nan), name=7)), ValueError, 'row 7 of the table of segments, a.wav: end is nan'),
    (lambda: TensorAudio(torch.zeros(1, 9), sr=SR, lenghts=3), TypeError, "'lenghts'"),
    (lambda: TensorSpec(spec, SR, 64, spec.freqs, scle='mel'), TypeError, "'scle'"),
    (lambda: TensorSpec(spec, SR, 64, spec.freqs, unit='Power'), ValueError, "unit is one of 'complex', 'magnitude', 'power'"),
    (lambda: TensorSpec(spec, SR, 64, spec.freqs, scale='bark'), ValueError, "got 'bark'"),
    (lambda: events(pd.DataFrame({'file': 'a', 'start': [0.], 'end': [1.], 'class': 'x', 'probability': [-1.03]})), ValueError, 'probabilities lie in 0 to 1'),
    (lambda: compare_frontends(['a.wav', 'b.wav'], ['a', 'b'], {'mel': Mel()}), ValueError, 'no class has two items'),
    (lambda: compare_frontends(['a.wav']*4, ['a', 'a', 'b', 'b'], {'mel': Mel()}, groups=[1, 1, 2, 2]), ValueError, "comes from one group only"),
    (lambda: giveaways(['a.wav'], ['a', 'b']), ValueError, '1 recordings and 2 labels'),
    (lambda: giveaways(['gone.wav'], ['a']), AudioError, 'gone.wav'),
    (lambda: GroupSplitter('x(.)')([Path('a.wav')]), ValueError, 'the first is a.wav'),
    (lambda: ToDb()(wave), TypeError, 'ToDb is for spectrograms'),
    (lambda: Pcen()(wave), TypeError, 'Pcen is for spectrograms'),
    (lambda: Mel()(spec), TypeError, 'Mel is for waveforms'),
    (lambda: RandomSegment(.1)(spec), TypeError, 'RandomSegment is for waveforms'),
    (lambda: ToDb(ref=np.max)(spec), ValueError, "'max'"),
    (lambda: ToDb()(ToDb()(spec)), ValueError, 'in dB already'),
    (lambda: Mel(n_fft=256, hop_length=80.)(wave), ValueError, '80.0'),
    (lambda: stft(wave, n_fft=0), ValueError, 'n_fft'),
    (lambda: stft(wave, output='db'), ValueError, "'db'"),
    (lambda: melspectrogram(wave, SR, f_min=3000, f_max=100), ValueError, 'f_min=3000'),
    (lambda: triangular_filters(SR, 256, 20, 50, 4000, scale='Log'), ValueError, "'Log'"),
    (lambda: gammatone_filters(SR, 256, 0, 50., 4000., None), ValueError, 'at least one band'),
    (lambda: cqt(wave, SR, hop_length=0), ValueError, 'hop_length'),
    (lambda: Gain(p='.5'), ValueError, "'.5'"),
    (lambda: Gain((-float('inf'), 0)), ValueError, 'db'),
    (lambda: AddNoise(beta='pink'), ValueError, "'pink'"),
    (lambda: Bandpass(low=3000, high=100), ValueError, 'low=3000, high=100'),
    (lambda: compare_frontends(['a.wav'], ['a'], [Mel()]), ValueError, 'dict'),
    (lambda: compare_frontends(['a.wav'], ['a'], {'mel': Mel()}, valid_pct=20), ValueError, 'between 0 and 1'),
    (lambda: compare_frontends(['a.wav'], ['a'], {'mel': Mel()}, store='README.md'), NotADirectoryError, 'README.md is a file'),
    (lambda: soundscape('night.wav', ['a.wav'], ['a', 'b'], 10, SR), ValueError, '1 recordings and 2 labels'),
    (lambda: encode(photo, None), TypeError, 'qtables'),
    (lambda: nbytes(photo), TypeError, 'Coefs are expected'),
    (lambda: image_bytes(photo), TypeError, 'Coefs are expected'),
    (lambda: decode(photo), TypeError, 'Coefs are expected'),
    (lambda: UseJpeg(None), TypeError, 'qtables must be QTables'),
    (lambda: UseJpeg(50), TypeError, 'QTables.standard'),
    (lambda: LearnQTables(rate_weight='.1'), ValueError, "rate_weight is a positive number, got '.1'"),
    (lambda: LearnQTables(rate_weight=.1, lr=-1), ValueError, 'lr is a positive number'),
    (lambda: AffineJpegLayer()(255*photo), ValueError, 'in [0,1]'),
    (lambda: rate_loss(255*photo, torch.ones(2, 8, 8), 'l1'), ValueError, 'in [0,1]'),
    (lambda: search_qtables(objective, init=q50), TypeError, 'not iterable'),
    (lambda: search_qtables(objective, init=[50]), TypeError, 'list of QTables'),
    (lambda: search_qtables(objective, holdout='x'), TypeError, 'holdout is a function'),
    (lambda: ParetoFront([], [], []).at(rate=2), ValueError, 'empty'),
    (lambda: QTables.from_text('1'*5000), ValueError, 'whole numbers'),
    (lambda: Quantize(FixedPoint(8), layers='conv'), TypeError, "'conv'"),
    (lambda: entropy_bits([torch.rand(1, 1, 4)]), ValueError, 'whole numbers')]


@pytest.mark.parametrize('mistake', MISTAKES, ids=[f'{i} {said}' for i, (_, _, said) in enumerate(MISTAKES)])
def test_mistake(mistake):
    call, kind, said = mistake
    with pytest.raises(kind) as e: call()
    assert said in str(e.value), str(e.value)


def pictures(*cbs):
    items = [(o, c) for o, c in photo_patches()[:96]]
    dls = DataBlock((ImageBlock, CategoryBlock), get_x=ItemGetter(0), get_y=ItemGetter(1), splitter=IndexSplitter(range(64, 96))).dataloaders(items, bs=32, num_workers=0)
    return Learner(dls, small_cnn(3, 3, (8,)), loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=cbs)


@pytest.mark.parametrize('cbs', [lambda: DiffResCallback(), lambda: Quantize(FixedPoint(8), layers=nn.LSTM), lambda: LearnQTables(train='tables', target_rate=1e4)])
def test_learner_goes_on_after_an_error(cbs):
    "fastai's learner keeps its lock, and waits for itself forever, if a callback fails in before_fit of a validation"
    learn = pictures(cb := cbs())
    names = [m.name for m in learn.metrics]
    with learn.no_bar(), learn.no_logging():
        for _ in range(2):                      # the second would wait
            with contextlib.suppress(ValueError): learn.validate()
        with pytest.raises(ValueError): learn.fit(1)
        learn.remove_cb(cb)
        learn.validate()
    assert [m.name for m in learn.metrics] == names
    with pytest.raises(TypeError, match='PyramidCodec'): measure_pyramid(learn, 8)
    with learn.no_bar(), learn.no_logging(): learn.validate()


def test_activations_alone_are_quantised():
    "Layers without weights have none to round"
    learn = pictures(Quantize(weights=FixedPoint(8), activations=FixedPoint(8), layers=[nn.ReLU]))
    with learn.no_bar(), learn.no_logging(): learn.fit(1)


def test_sweep_from_its_store(tmp_path):
    learn = pictures()
    learn.validate()
    df = quality_sweep(learn, [20, 80], store=tmp_path/'sweep', progress=False)
    assert quality_sweep(learn, [20, 80], store=tmp_path/'sweep', progress=False).drop(columns=['image_bytes', 'image_loss']).equals(df.drop(columns=['image_bytes', 'image_loss']))
    with pytest.raises(NotADirectoryError, match='sweep.csv is a file'):
        (tmp_path/'sweep.csv').touch()
        quality_sweep(learn, [20], store=tmp_path/'sweep.csv')
    with pytest.raises(TypeError, match='several'): quality_sweep(learn, 50)


def test_silent_call(tmp_path):
    sf.write(tmp_path/'silent.wav', np.zeros(800), SR)
    with pytest.raises(AudioError, match='silent.wav: silent throughout'): soundscape(tmp_path/'night.wav', [tmp_path/'silent.wav'], ['a'], 2, SR)


def test_events_of_a_path_and_of_its_text(tmp_path):
    t = pd.DataFrame({'file': [tmp_path/'a.wav'], 'start': [0.], 'end': [1.], 'class': ['a']})
    assert match_events(t.astype({'file': str}), t).tolist() == [0]


def test_damaged_features_are_made_again(tmp_path):
    coo_calls(tmp_path/'calls', n=3, sr=SR)
    dls = DataBlock((AudioBlock(SR, .4), CategoryBlock), get_items=get_audio_files, get_y=lambda f: f.parent.name, splitter=RandomSplitter(seed=0)).dataloaders(tmp_path/'calls', bs=4, num_workers=0)
    rocket = MiniRocket(500, seed=0)        # fitted once
    make = lambda: rocket_learner(dls, rocket, store=tmp_path/'kept')      # noqa: E731
    make().fit_ridge()
    file, = (tmp_path/'kept').glob('*.npz')
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])
    make().fit_ridge()
    assert len(file.read_bytes()) == len(whole)


def sounds(folder, bs=64, **tfms):
    "Loaders of the calls of eight animals, one of each"
    coo_calls(folder/'calls', n=1, sr=SR)
    block = DataBlock((AudioBlock(SR, .4), CategoryBlock), get_items=get_audio_files, get_y=lambda f: f.parent.name, splitter=IndexSplitter([0, 1]), **tfms)
    return block.dataloaders(folder/'calls', bs=bs, num_workers=0)


@pytest.mark.parametrize('norm', [lambda: NormalizeSpec('data'), Normalize])
def test_no_full_batch(tmp_path, norm):
    with pytest.raises(ValueError, match='full batch of 64'): sounds(tmp_path, batch_tfms=[Mel(n_fft=256), norm()])


@pytest.mark.parametrize('tfms', [lambda: dict(batch_tfms=aug_transforms()), lambda: dict(batch_tfms=[Mel(n_fft=256), *aug_transforms()]), lambda: dict(item_tfms=Resize(64)), lambda: dict(batch_tfms=JpegQuality(50)), lambda: dict(batch_tfms=[Mel(n_fft=256), ToDb(), RandomErasing()])])
def test_transforms_that_would_do_nothing(tmp_path, tfms):
    "fastai lets a type pass that a transform does not know"
    with pytest.raises(TypeError, match='does nothing with a batch of Tensor(Audio|Spec)'): sounds(tmp_path, bs=2, **tfms())


def test_transforms_of_pictures_after_spec_to_image(tmp_path):
    for tfms in dict(batch_tfms=[Mel(n_fft=256), ToDb(), SpecToImage(), *aug_transforms(size=32)]), dict(item_tfms=[Mel(n_fft=256), ToDb(), SpecToImage(), Resize(32)], batch_tfms=aug_transforms()):
        x = sounds(tmp_path, bs=2, **tfms).one_batch()[0]
        assert x.dtype == torch.float32 and x.shape == (2, 3, 32, 32) and x.max() <= 1 and x.std() > .05


@pytest.mark.parametrize('loss', [nn.CrossEntropyLoss(), nn.functional.cross_entropy])
def test_losses_without_an_activation(tmp_path, loss):
    "What such a learner gives are no probabilities"
    dls = sounds(tmp_path, bs=2, batch_tfms=[Mel(n_fft=256), ToDb()])
    learn = Learner(dls, small_cnn(1, dls.c, (8,)), loss_func=loss)
    file = get_audio_files(tmp_path/'calls')[0]
    for call in (lambda: predict_recording(learn, file), lambda: predict_recordings(learn, [file], tmp_path/'kept'), lambda: predict_stream(learn, [file], 1, print)):
        with pytest.raises(ValueError, match=r'has no activation.*CrossEntropyLossFlat\(\)'): call()
    learn.loss_func = CrossEntropyLossFlat()
    assert predict_recording(learn, file, progress=False).probability.between(0, 1).all()


def test_integers_as_seeds_of_noise():
    assert white_noise(torch.tensor([1, 2]), 1, 9999).std() == pytest.approx(1, abs=.03)


@pytest.mark.parametrize('make', [lambda: Gain(6), lambda: AddNoise(), lambda: MaskTime(), lambda: Bandpass(low=300), lambda: JpegQuality(50), lambda: PyramidQuality(8.), lambda: DctLighting(), lambda: Audiomentations(max)])
def test_two_of_one_class(make):
    "A DataBlock of fastai keeps the last of a class; of these it keeps all, before and after a pickle"
    a, b = make(), make()
    assert DataBlock(batch_tfms=[a, b]).batch_tfms == [a, b] and DataBlock(item_tfms=[a, b]).item_tfms[-2:] == [a, b]
    again = pickle.loads(pickle.dumps([a, b]))
    assert [type(o).__name__ for o in again] == [type(a).__name__]*2 and again[0].p == a.p if hasattr(a, 'p') else True
    assert len(DataBlock(batch_tfms=again).batch_tfms) == 2
