"Networks in the transform domain against the same networks on pixels: memory and time; and coefficients read from files against pixels read by Pillow. One thread"
import ctypes
import os
import re
from pathlib import Path

import torch
import torchvision
from fastai.vision.models.xresnet import xresnet18
from PIL import Image
from torch import nn
from torch.nn import functional as F

from fastjpeg.datasets import example_photos
from fastjpeg.jpeg.all import LoadDct, QTables, TensorDct, encode, read_coefs, to_jpeg_domain

from .jpeg import peak_planes, photos
from .timing import compare, show


class Block(nn.Module):
    def __init__(self, ni, nf, halve):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(ni, nf, 3, 2 if halve else 1, 1, bias=False), nn.Conv2d(nf, nf, 3, 1, 1, bias=False)
        self.bn1, self.bn2, self.shortcut = nn.BatchNorm2d(nf), nn.BatchNorm2d(nf), nn.Conv2d(ni, nf, 1, 2, bias=False) if halve else None

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + (x if self.shortcut is None else self.shortcut(x)))


def notes_net():
    "The network of Max Ehrlich's notes on MNIST"
    return nn.Sequential(Block(1, 16, False), Block(16, 32, True), Block(32, 64, True), nn.AvgPool2d(8, stride=1), nn.Flatten(), nn.Linear(64, 10))


def exploded_bytes(net, x):
    "Memory of the dense operators of the notes, one number for each pair of a pixel in and a pixel out of each convolution"
    sizes = []
    hooks = [m.register_forward_hook(lambda m, i, o: sizes.append(4*i[0][0].numel()*o[0].numel())) for m in net.modules() if isinstance(m, nn.Conv2d)]
    net(x)
    for h in hooks: h.remove()
    return sum(sizes)


def resident_mib(f):
    "How far the resident memory of a process of its own rises while f runs (Linux)"
    if not Path('/proc/self/clear_refs').exists(): return 'n/a'
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        ctypes.CDLL(None).malloc_trim(0)                        # what is free goes back to the system, so that what f takes is seen
        Path('/proc/self/clear_refs').write_text('5')
        mib = lambda key: int(re.search(rf'{key}:\s+(\d+)', Path('/proc/self/status').read_text())[1])/1024
        before = mib('VmRSS')
        f()
        os.write(write, f'{mib("VmHWM")-before:.1f}'.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as o: return float(o.read())


def network(name, net, size, batch, stencil=False):
    net, twin = net.eval(), to_jpeg_domain(net)
    channels = next(m.in_channels for m in net.modules() if isinstance(m, nn.Conv2d))
    x = F.interpolate(photos(batch).float()/255, size=(size, size), mode='bilinear')[:, :channels]
    d = TensorDct.from_coefs(encode(x, QTables.standard(75)))
    x = d.pixels()/255
    ways = {'pixels': lambda: net(x), 'transform domain': lambda: twin(d)}
    if stencil:
        other = to_jpeg_domain(net, mode='stencil')
        ways['transform domain, stencil'] = lambda: other(d)
    rows = compare(ways, repeats=5, warmup=1)
    for r in rows: r.update(peak_mib=peak_planes(ways[r['way']], 2**20), resident_mib=resident_mib(ways[r['way']]), largest_difference=f'{(ways[r["way"]]()-net(x)).abs().max():.1e}')
    for r in rows: r.update(times_slower=round(r['ms']/rows[0]['ms'], 2), times_memory=round(r['peak_mib']/rows[0]['peak_mib'], 2))
    show(f'{name}, {batch} x {channels} x {size} x {size}; the operators of the notes would take {exploded_bytes(net, x)/2**30:,.1f} GiB', rows)


def reading():
    files = list(example_photos())
    def pillow(draft=None):
        for f in files:
            with Image.open(f) as im:
                if draft: im.draft('RGB', draft)
                im.load()
    load = LoadDct()
    show('reading three photos', compare({'Pillow, pixels': pillow, 'Pillow, half size (draft)': lambda: pillow((320, 320)), 'read_coefs (jpeglib)': lambda: [read_coefs(f) for f in files],
         'DctBlock: TensorDct in 4:4:4': lambda: [load(f) for f in files]}))


@torch.no_grad()
def run():
    torch.manual_seed(0)
    reading()
    network('the network of the notes', notes_net(), 32, 100, stencil=True)
    for size, batch in ((32, 64), (224, 1), (224, 8), (512, 1), (512, 4)): network('torchvision resnet18', torchvision.models.resnet18(), size, batch)
    network('torchvision resnet50', torchvision.models.resnet50(), 224, 2)
    network('fastai xresnet18', xresnet18(), 224, 4)
