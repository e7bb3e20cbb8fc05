"""DiffRes: warp and time against the published program. Its source must lie on the Python path (github.com/haoheliu/diffres-python; the package on PyPI lacks a part).

Of torch_scatter, which it imports, two functions are needed; they are put in its place here."""
import sys
from types import ModuleType

import torch

from benchmarks.timing import compare, show
from fastjpeg.audio.diffres import DiffRes, importance, warp, warp_matrix


def published():
    "The class `DiffRes` of pydiffres, or `None` with a word about it"
    scatter = ModuleType('torch_scatter')
    scatter.scatter_add = lambda src, index, dim=-1, out=None: out.scatter_add(2, index.expand_as(src), src)
    scatter.scatter_max = lambda src, index, dim=-1, out=None: (out.scatter_reduce(2, index.expand_as(src), src, 'amax'), None)
    sys.modules.setdefault('torch_scatter', scatter)
    try: from pydiffres.diffres import DiffRes
    except ImportError as e: print(f'  pydiffres is not here ({e}): left out')
    else: return DiffRes


def equality(Reference):
    rows = []
    for T, n_mels, reduction, sharpness in ((100, 40, .5, 1), (200, 64, .75, 1), (1000, 128, .75, 2), (3000, 128, .75, 1), (3000, 128, .25, 2), (3000, 128, .9, 4), (500, 64, .3, 6)):
        g = torch.Generator().manual_seed(0)
        ref, s, x = Reference(T, n_mels, reduction), ((torch.randn(3, T, generator=g)-1)*sharpness+1).sigmoid(), torch.randn(3, T, n_mels, generator=g)
        n = ref.output_seq_length
        p, W = importance(s, torch.full((3,), n)), warp_matrix(importance(s, torch.full((3,), n)), n)
        def theirs(s, ref=ref, x=x, n=n):
            q = ref.score_norm(s.clone()[..., None], n)[0]
            return q, ref.calculate_weight(q, x.to(s.dtype), total_length=n)
        (q, V), (_, V64) = theirs(s), theirs(s.double())
        mean, peak, _ = ref.frame_warping(x.exp(), q, n)
        ours = warp(x.exp(), p, n), warp(x.exp(), p, n, peak=True)/(1-reduction)
        rows.append(dict(frames=T, out=n, largest_p=round(p.max().item(), 2), p=f'{(p-q[..., 0]).abs().max():.1e}', warp=f'{(W-V).abs().max():.1e}',
                         their_warp_in_float64=f'{(W-V64).abs().max():.1e}', row_sums=f'{(W.sum(2)-p).abs().max():.1e}',
                         mean=f'{((ours[0]-mean).abs()/ours[0].clamp(min=1)).max():.1e}', maxima_that_differ=f'{((ours[1]-peak).abs() > 1e-2*ours[1].clamp(min=1e-3)).float().mean():.2%}'))
    show('DiffRes against the published program: largest differences', rows)


def speed(Reference):
    T, n_mels, n = 3000, 128, 750
    ref, x = Reference(T, n_mels, .75).eval(), torch.randn(1, T, n_mels, generator=torch.Generator().manual_seed(0))
    s, power, total = torch.rand(1, T), x.exp(), torch.tensor([n])
    q = ref.score_norm(s.clone()[..., None], n)[0]
    ours = DiffRes(n_mels, .75, log_unit=1.).eval()
    with torch.no_grad():
        def gather(p=None):
            p = importance(s, total)
            return warp(power, p, n), warp(power, p, n, peak=True)
        show(f'warp, mean and maximum of {T} frames, {n_mels} bands', compare({'pydiffres': lambda: ref.frame_warping(power, q, n), 'fastjpeg': gather}, repeats=9))
        show('the whole module', compare({'pydiffres': lambda: ref(x), 'fastjpeg': lambda: ours(x.mT[:, None])}, repeats=9))


def run():
    if Reference := published():
        equality(Reference)
        speed(Reference)
