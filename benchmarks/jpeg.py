"The codec against Pillow, kornia and torchvision's method (Pillow in a loop): 16 photos of 224 x 224, quality 75, 4:2:0, one thread"
import io

import numpy as np
import torch
from PIL import Image
from torch.profiler import ProfilerActivity, profile

from fastjpeg.datasets import example_photos
from fastjpeg.jpeg.all import QTables, encode, jpeg, nbits, nbytes, smooth_rate

from .timing import compare, show


def photos(n=16, size=224):
    "uint8 (n, 3, size, size): pieces of the installed photos"
    ims = [np.asarray(Image.open(o).convert('RGB')) for o in example_photos()]
    at = [(ims[i % 3], 11*i % (ims[i % 3].shape[0]-size), 29*i % (ims[i % 3].shape[1]-size)) for i in range(n)]
    return torch.stack([torch.from_numpy(im[y:y+size, x:x+size].copy()).permute(2, 0, 1) for im, y, x in at])


def with_pillow(images):
    "Functions that encode and decode, and that only encode, in a loop as a data loader would"
    def save(im, buf): im.save(buf, 'JPEG', quality=75, subsampling='4:2:0')
    def both():
        for im in images:
            save(im, buf := io.BytesIO())
            np.asarray(Image.open(buf))
    def size():
        for im in images:
            save(im, buf := io.BytesIO())
            buf.tell()
    return both, size


def with_gradients(f, x, tables=None):
    "A function that runs f forward and backward, to the images and, if given, to the tables"
    g = torch.rand_like(x)
    def run():
        leaves = [o.clone().requires_grad_() for o in (x, tables) if o is not None]
        f(*leaves).backward(g)
    return run


def peak_planes(f, plane_bytes):
    "The most memory alive at once, in float planes of the batch, of what f itself has allocated"
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof: f()
    alive = np.cumsum([e.nbytes() for e in prof.profiler.kineto_results.events() if e.name() == '[memory]'])
    return round(float(alive.max())/plane_bytes, 1)


def run_cpu(x, tables):
    xf = x/255
    pillow, pillow_size = with_pillow([Image.fromarray(o.permute(1, 2, 0).numpy()) for o in x])
    ways = {'Pillow': pillow, 'fastjpeg, uint8': lambda: jpeg(x, 75), 'fastjpeg, float': lambda: jpeg(xf, 75),
            'fastjpeg, fwd+bwd': with_gradients(lambda o: jpeg(o, 75), xf), 'fastjpeg, fwd+bwd, tables too': with_gradients(lambda o, q: jpeg(o, qtables=q), xf, tables),
            'fastjpeg, fwd+bwd, cubic': with_gradients(lambda o: jpeg(o, 75, rounding='cubic'), xf)}
    try:
        from kornia.enhance import jpeg_codec_differentiable
        quality = torch.full((len(x),), 75.)
        ways |= {'kornia': lambda: jpeg_codec_differentiable(xf, quality), 'kornia, fwd+bwd': with_gradients(lambda o: jpeg_codec_differentiable(o, quality), xf)}
        print(f'kornia: {(255*(jpeg_codec_differentiable(xf, quality)-jpeg(xf, 75))).abs().max():.0f} levels at most from Pillow\'s pixels, fastjpeg 0')
    except ImportError: print('kornia is not installed')
    show('JPEG and back, 16 x 224 x 224, quality 75, 4:2:0', compare(ways))
    coefs = encode(x, QTables.standard(75))
    show('Size of the file', compare({'Pillow, encoding': pillow_size, 'nbits of coefficients': lambda: nbits(coefs), 'nbytes of coefficients': lambda: nbytes(coefs),
         'nbytes, optimised Huffman': lambda: nbytes(coefs, optimize=True), 'encode + nbits': lambda: nbits(encode(x, QTables.standard(75))),
         'smooth_rate, fwd+bwd': lambda: smooth_rate(xf.clone().requires_grad_(), 75).sum().backward()}, repeats=7))
    plane = 4*x[:, 0].numel()
    print('\nfloat planes of the batch alive at once, input not counted:', {k: peak_planes(ways[k], plane) for k in ways if k != 'Pillow'})


def run_gpu(x):
    "uint8 batches on a GPU, against the floor of 6 bytes of memory traffic a pixel (a copy of the batch) and kornia"
    def timed(f):
        def run():
            f()
            torch.cuda.synchronize()
        return run
    x = x.repeat(16, 1, 1, 1).cuda()
    ways = {'a copy (6 bytes a pixel)': x.clone, 'fastjpeg, uint8': lambda: jpeg(x, 75), 'fastjpeg, float': lambda: jpeg(x/255, 75), 'fastjpeg, fwd+bwd': with_gradients(lambda o: jpeg(o, 75), x/255)}
    try:
        from kornia.enhance import jpeg_codec_differentiable
        quality = torch.full((len(x),), 75., device='cuda')
        ways['kornia'] = lambda: jpeg_codec_differentiable(x/255, quality)
    except ImportError: pass
    show(f'{len(x)} x 224 x 224 on {torch.cuda.get_device_name()}', compare({k: timed(f) for k, f in ways.items()}))


def run():
    x = photos()
    run_cpu(x, torch.tensor(QTables.standard(75).tables, dtype=torch.float32))
    if torch.cuda.is_available(): run_gpu(x)
