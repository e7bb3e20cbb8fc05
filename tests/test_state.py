"""What callbacks learn is state of the learner: one property for all of them. `lr_find` leaves it as it was, `SaveModelCallback` ends with that of the best epoch, files of `save`, `load` and `export` carry it."""
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from fastai.vision.all import (Callback, CategoryBlock, CrossEntropyLossFlat, DataBlock, GradientAccumulation, ImageBlock, IndexSplitter, ItemGetter, Learner, MixedPrecision, Normalize, PILImage,
                               SaveModelCallback, TransformBlock, imagenet_stats, load_learner, params, set_seed)
from torch import nn

from fastjpeg.all import *
from fastjpeg.models import small_cnn

rng = np.random.default_rng(0)
items = [(PILImage.create(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)//(1+i%2)), i % 2) for i in range(48)]
block = DataBlock((ImageBlock, CategoryBlock), get_x=ItemGetter(0), get_y=ItemGetter(1), splitter=IndexSplitter(range(32, 48)), batch_tfms=Normalize.from_stats(*imagenet_stats, cuda=False))
half = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) < .5
Q = QTables.standard

CALLBACKS = dict(
    tables_weight=lambda: LearnQTables(Q(60), rate_weight=.3), tables_alone=lambda: LearnQTables(Q(60), 'tables', rate_weight=.3), tables_alone_rate=lambda: LearnQTables(Q(60), 'tables', target_rate=8),
    tables_rate=lambda: LearnQTables(target_rate=8), tables_bytes=lambda: LearnQTables(target_bytes=90., monotone=True, keep=half), tables_fixed=lambda: LearnQTables(Q(60), 'model'),
    tables_cr=lambda: LearnQTables(QTables(Q(60).luma, Q(60).chroma, Q(40).chroma), rate_weight=.3),
    pyramid_weight=lambda: LearnPyramid(PyramidCodec(step=20.), rate_weight=.3), pyramid_alone=lambda: LearnPyramid(PyramidCodec(step=20.), 'steps', rate_weight=.3),
    pyramid_rate=lambda: LearnPyramid(PyramidCodec(step=20.), target_rate=8), pyramid_alone_rate=lambda: LearnPyramid(PyramidCodec(step=20.), 'steps', target_rate=8),
    quantize_weights=lambda: Quantize(weights=FixedPoint(4)), quantize_both=lambda: Quantize(weights=FixedPoint(4), activations=FixedPoint(6)),
    quantize_relaxed=lambda: Quantize(weights=RelaxedQuant(4), activations=RelaxedQuant(6), layers=nn.Linear), quantize_bits=lambda: Quantize(weights=AdaptiveQuant(6)),
    quantize_coefs=lambda: Quantize(coefs=QuantJpegLayer(RelaxedQuant(6), Q(60))), quantize_all=lambda: Quantize(FixedPoint(6), FixedPoint(6), RelaxedQuant(6)),
    use_jpeg=lambda: UseJpeg(Q(60)), use_pyramid=lambda: UsePyramid(PyramidCodec(step=20.)),
    three=lambda: [Quantize(weights=FixedPoint(4)), Quantize(coefs=RelaxedQuant(6)), LearnQTables(Q(60), rate_weight=.3)])
STILL = ('use_jpeg', 'use_pyramid')                                # nothing of theirs is learned


@pytest.fixture(params=CALLBACKS)
def name(request): return request.param


@pytest.fixture
def make(tmp_path, name):
    "A function that makes a learner with the callback, each time the same"
    def _make(*cbs, own=True):
        set_seed(0, reproducible=True)
        dls = block.dataloaders(items, bs=8, num_workers=0, device='cpu')
        dls.train.rng.seed(0)
        learn = Learner(dls, small_cnn(3, 2, (8,)), loss_func=CrossEntropyLossFlat(), path=tmp_path, splitter=lambda m: [params(m[:-1]), params(m[-1:])])
        return learn.add_cbs(CALLBACKS[name]() if own else None).add_cbs(cbs)
    return _make


def fit(learn, n=1, lr=1e-2, **kw):
    "Trained with batches and noise that are the same each time"
    set_seed(n)
    learn.dls.train.rng.seed(n)
    with learn.no_bar(), learn.no_logging(): learn.fit(n, lr, **kw)
    return learn


def lr_find(learn):
    with learn.no_bar(): learn.lr_find(num_it=12, show_plot=False)


def score(learn):
    with learn.no_bar(), learn.no_logging(): return learn.validate()[0]


def saved(learn): return [cb for cb in learn.cbs if isinstance(cb, SavedCallback)]


def flat(o): # nested dicts and lists of tensors, numbers and words -> list of (path, value)
    pairs = o.items() if isinstance(o, dict) else enumerate(o) if isinstance(o, (list, tuple)) else None
    return [('', o.clone() if isinstance(o, torch.Tensor) else o)] if pairs is None else [(f'{k}.{p}', v) for k, x in pairs for p, v in flat(x)]


def state(learn): # of the model as its optimizer knows it, and of callbacks
    return flat([[p.detach() for group in learn.opt.param_lists for p in group], *[cb.state_dict() for cb in saved(learn)]])


def same(a, b): # nan is equal to itself: it stands for a range that is yet to be chosen
    def one(x, y): return torch.equal(x.double().nan_to_num(-9e9), y.double().nan_to_num(-9e9)) if isinstance(x, torch.Tensor) else x == y
    return [p for p, _ in a] == [p for p, _ in b] and all(one(x, y) for (_, x), (_, y) in zip(a, b))


class Losses(Callback):
    "Says that one epoch had the least loss on the validation set; notes the state after each, and the loss that it really had"
    order = SaveModelCallback.order-1
    def __init__(self, best): self.best, self.states, self.real = best, [], []
    def after_epoch(self):
        values = self.recorder.values[-1]
        self.states.append(state(self.learn))
        self.real.append(values[1])
        values[1] = abs(self.epoch-self.best)


def test_lr_find_leaves_all_as_it_was(make):
    learn = make()
    keys = list(learn.model.state_dict())
    lr_find(learn)
    assert list(learn.model.state_dict()) == keys
    fit(learn)
    assert same(state(learn), state(fit(make())))       # what follows is what would have been
    loss, before = score(learn), state(learn)           # validation counts anew what files take
    lr_find(learn)
    assert same(state(learn), before) and score(learn) == loss


def test_something_is_learned(make, name): # or the other tests say nothing
    learn = make()
    fit(learn)
    one = flat([cb.state_dict() for cb in saved(learn)])
    fit(learn)
    assert same(one, flat([cb.state_dict() for cb in saved(learn)])) == (name in STILL)


def test_save_model_ends_with_the_best_epoch(make):
    learn, losses = make(), Losses(1)
    fit(learn, 4, cbs=[losses, SaveModelCallback()])
    assert same(state(learn), losses.states[1]) and not same(losses.states[1], losses.states[3])
    assert score(learn) == pytest.approx(losses.real[1], rel=1e-5)


@pytest.mark.parametrize('with_opt', [True, False])
def test_a_new_learner_goes_on(make, with_opt):
    learn, again = fit(make(), 2), make()
    learn.save('m', with_opt=with_opt)
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*saved without')
        again.load('m', with_opt=with_opt)
    assert same(state(again), state(learn)) and score(again) == score(learn)
    if with_opt: assert same(state(fit(again)), state(fit(learn)))


def test_files_of_learners_without_the_callback(make):
    plain, learn = make(own=False), fit(make())
    learn.save('with')
    plain.load('with')
    plain.save('plain')
    before, said = flat([cb.state_dict() for cb in saved(learn)]), []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        learn.load('plain')
    said = [str(o.message) for o in said if 'saved without' in str(o.message)]
    assert [f'plain was saved without {type(cb).__name__}, whose state stays as it is' for cb in saved(learn)] == said
    assert same(flat([cb.state_dict() for cb in saved(learn)]), before)


def test_export(make, tmp_path):
    learn = fit(make())
    learn.export('l.pkl')
    again = load_learner(tmp_path/'l.pkl')
    assert same(flat([cb.state_dict() for cb in saved(again)]), flat([cb.state_dict() for cb in saved(learn)]))
    again.dls = learn.dls
    assert score(again) == score(learn)
    again.save('from_export', with_opt=False)
    assert same(state(make_and_load(make, 'from_export')), state(learn))


def make_and_load(make, file):
    learn = make()
    learn.load(file, with_opt=False)
    return learn


class Interrupt(Callback):
    order = 90
    def __init__(self, at): self.at = at
    def after_batch(self):
        if self.training and self.epoch*self.n_iter+self.iter == self.at: raise KeyboardInterrupt


@pytest.mark.parametrize('at', [0, 2, 5])
def test_an_interrupted_fit(make, tmp_path, at):
    learn, keys = make(), list(make().model.state_dict())
    with pytest.raises(KeyboardInterrupt): fit(learn, 3, cbs=Interrupt(at))
    learn.save('m')
    learn.export('l.pkl')
    assert list(torch.load(tmp_path/'models/m.pth', weights_only=False)['model']) == keys
    assert (tmp_path/'l.pkl').stat().st_size < 1.3*exported_size(make, tmp_path)
    again = make_and_load(make, 'm')
    assert same(state(again), state(learn)) and score(again) == score(learn)
    fit(learn, 2)
    names = list(learn.recorder.metric_names)
    assert len(names) == len(set(names)) and list(learn.model.state_dict()) == keys and np.isfinite(score(learn))
    lr_find(learn)


def exported_size(make, tmp_path):
    fit(make()).export('whole.pkl')
    return (tmp_path/'whole.pkl').stat().st_size


@pytest.mark.parametrize('cbs', [lambda: [MixedPrecision()], lambda: [MixedPrecision(amp_mode='bf16')], lambda: [GradientAccumulation(16)]], ids=['fp16', 'bf16', 'accumulation'])
def test_with_other_callbacks(make, cbs):
    learn, losses = make(*cbs()), Losses(0)
    lr_find(learn)
    fit(learn, 2, cbs=[losses, SaveModelCallback()])
    assert same(state(learn), losses.states[0])
    before = state(learn)
    lr_find(learn)
    assert same(state(learn), before)


def test_fine_tune_and_groups(make):
    learn = make()
    learn.freeze()
    lr_find(learn)
    with learn.no_bar(), learn.no_logging(): learn.fine_tune(1, cbs=SaveModelCallback())
    assert sum(len(g) for g in learn.opt.param_lists) == len(list(learn.model.parameters()))        # the optimizer has the model's parameters and no others
    learn.summary()
    assert score(make_and_load(make, learn.save('m', with_opt=False).stem)) == score(learn)


def test_for_a_while(make, name):
    learn = make(own=False)
    with learn.added_cbs(CALLBACKS[name]()):
        lr_find(learn)
        fit(learn, 2, cbs=SaveModelCallback())
        learn.save('m')
        before = state(learn)
        assert same(state(make_and_load(make, 'm')), before)
    assert same(state(learn), before[:len(list(learn.model.parameters()))])
    learn.load('m')                                                                                 # the callback has gone, its state is not looked for
    with learn.no_bar(), learn.no_logging(): learn.fit(1, cbs=CALLBACKS[name]())


def test_one_model_of_two_learners(make): # each has a state of its own
    one, other = fit(make()), make()
    other.model = one.model
    other.create_opt()
    before = [flat(cb.state_dict()) for cb in saved(one)]
    fit(other)
    other.save('other', with_opt=False)
    assert same(state(make_and_load(make, 'other')), state(other))
    assert all(same(flat(cb.state_dict()), b) for cb, b in zip(saved(one), before))


@pytest.mark.parametrize('one, other, says', [
    (lambda: LearnPyramid(PyramidCodec('haar', step=20.), rate_weight=.3), lambda: LearnPyramid(PyramidCodec(step=20.), rate_weight=.3), "kind='haar'"),
    (lambda: LearnQTables(QTables(Q(60).luma, Q(60).chroma, Q(40).chroma), rate_weight=.3), lambda: LearnQTables(rate_weight=.3), 'size mismatch'),
    (lambda: Quantize(weights=FixedPoint(8)), lambda: Quantize(weights=FixedPoint(4)), 'word_length=8'),
    (lambda: Quantize(weights=RelaxedQuant(8)), lambda: Quantize(weights=RelaxedQuant(4)), 'bits=8'),
    (lambda: Quantize(weights=FixedPoint(8)), lambda: Quantize(activations=FixedPoint(8)), 'nothing')])
def test_states_that_do_not_fit(tmp_path, one, other, says):
    def learner(cb): return Learner(block.dataloaders(items, bs=8, num_workers=0, device='cpu'), small_cnn(3, 2, (8,)), loss_func=CrossEntropyLossFlat(), path=tmp_path, cbs=cb)
    fit(learner(one())).save('m')
    with pytest.raises((ValueError, RuntimeError), match=says): learner(other()).load('m')


def test_settings_of_tables_come_along(tmp_path):
    def learner(cb): return Learner(block.dataloaders(items, bs=8, num_workers=0, device='cpu'), small_cnn(3, 2, (8,)), loss_func=CrossEntropyLossFlat(), path=tmp_path, cbs=cb)
    learn = fit(learner(LearnQTables(target_bytes=90., monotone=True, keep=half)))
    learn.save('m')
    again = learner(LearnQTables(rate_weight=.3)).load('m')
    assert again.qtables == learn.qtables and again.learn_q_tables.weight == .3 and again.learn_q_tables.history == learn.learn_q_tables.history


def numbers(*shape): # batches of tensors and labels of two kinds
    x = torch.rand(48, *shape, generator=torch.Generator().manual_seed(0))+torch.arange(48).view(-1, *[1]*len(shape))%2/9
    return DataBlock((TransformBlock, CategoryBlock), get_x=ItemGetter(0), get_y=ItemGetter(1), splitter=IndexSplitter(range(32, 48))).dataloaders([(o, i % 2) for i, o in enumerate(x)], bs=8, num_workers=0, device='cpu')


def network(first, n): return nn.Sequential(first, small_cnn(n, 2, (8,)))


MODELS = dict( # what runs along while they train is in their buffers
    diffres=lambda **kw: Learner(numbers(1, 20, 40), network(DiffRes(20, .5), 3), loss_func=CrossEntropyLossFlat(), cbs=DiffResCallback(), **kw),
    pcen=lambda **kw: Learner(numbers(1, 20, 40), network(PcenLayer(20, (.1, .4)), 2), loss_func=CrossEntropyLossFlat(), **kw),
    affine=lambda **kw: Learner(numbers(3, 16, 16), network(nn.Sequential(nn.Hardtanh(0, 1), AffineJpegLayer(normalise=True)), 3), loss_func=CrossEntropyLossFlat(), **kw),
    rbm=lambda **kw: rbm_learner(numbers(1, 20, 40), ConvRBM(20, 8), **kw))


@pytest.mark.parametrize('kind', MODELS)
def test_running_values_of_models(kind, tmp_path):
    def make():
        set_seed(0, reproducible=True)
        return MODELS[kind](path=tmp_path)
    def whole(learn): return flat(learn.model.state_dict())
    learn = make()
    before = whole(learn)
    lr_find(learn)
    assert same(whole(learn), before)
    fit(learn, 2, 1e-3)
    learn.save('m')
    again = make().load('m')
    assert same(whole(again), whole(learn)) and not same(whole(again), before)
    assert same(whole(fit(again, lr=1e-3)), whole(fit(learn, lr=1e-3)))
    learn.export('l.pkl')
    assert same(whole(load_learner(tmp_path/'l.pkl')), whole(learn))
    with pytest.raises(KeyboardInterrupt): fit(learn, 1, 1e-3, cbs=Interrupt(2))
    learn.export('l.pkl')
    assert same(whole(load_learner(tmp_path/'l.pkl')), whole(learn))


def test_rocket_learner_forgets_the_features_of_other_kernels(tmp_path):
    def make(seed): return rocket_learner(numbers(1, 60), MiniRocket(168, seed=seed), path=tmp_path, loss_func=CrossEntropyLossFlat())
    one, other = make(0), make(1)
    one.fit_ridge()
    one.save('m')
    other.features()
    other.load('m')
    assert torch.equal(other.features()[1][0], one.features()[1][0])
    set_seed(0), fit(one), fit(other)
    assert torch.equal(one.model[2].weight, other.model[2].weight)
    kept = other.kept
    fit(other, 2, cbs=SaveModelCallback())
    assert other.kept is kept                       # made once, whatever is saved and loaded meanwhile


SCRIPT = '''
import sys, warnings; warnings.filterwarnings('ignore')
sys.path.insert(0, sys.argv[2])
from fastai.distributed import *
from fastai.vision.all import LongTensor
from test_state import *
def broadcast(self, t, rank):           # fastai's needs a GPU
    torch.distributed.broadcast(t := LongTensor(t), rank)
    return t.tolist()
DistributedDL._broadcast = broadcast
for name in ('tables_weight', 'pyramid_rate'):
    set_seed(0)
    learn = Learner(block.dataloaders(items, bs=8, num_workers=0, device='cpu'), small_cnn(3, 2, (8,)), loss_func=CrossEntropyLossFlat(), path=sys.argv[1], cbs=CALLBACKS[name]())
    losses = Losses(0)
    with learn.distrib_ctx(sync_bn=False): fit(learn, 2, cbs=[losses, SaveModelCallback()])
    first = [v for p, v in losses.states[0] if isinstance(v, torch.Tensor) and 'seen' not in p]
    now = [v for p, v in state(learn) if isinstance(v, torch.Tensor) and 'seen' not in p]
    for v, w in zip(now, first, strict=True):
        torch.distributed.broadcast(ref := v.clone(), 0)
        assert torch.equal(ref.nan_to_num(-9), v.nan_to_num(-9)), name                  # all processes have what the first has saved
        if torch.distributed.get_rank() == 0: assert torch.equal(w.nan_to_num(-9), v.nan_to_num(-9)), name
    print('equal', name)
'''


def test_many_processes(tmp_path):
    pytest.importorskip('accelerate')
    (tmp_path/'two.py').write_text(SCRIPT)
    here = Path(__file__).parent
    run = subprocess.run([sys.executable, '-W', 'ignore', '-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=29541', str(tmp_path/'two.py'), str(tmp_path), str(here)],
                         capture_output=True, text=True, env={**os.environ, 'ACCELERATE_USE_CPU': '1', 'PYTHONPATH': str(here.parent)}, timeout=300)
    assert run.stdout.count('equal') == 4, run.stderr[-2000:]
