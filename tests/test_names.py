"`from fastai.vision.all import *` and then `from fastjpeg.all import *` is how notebooks begin: the second must not take names away from the first."
import fastai.vision.all as fastai

import fastjpeg.all as ours

PLACEHOLDERS = {'encodes', 'decodes'}       # what nbdev exports of functions that only extend a transform of fastai


def test_no_name_of_fastai_is_hidden():
    hidden = [o for o in vars(ours) if not o.startswith('_') and o not in PLACEHOLDERS and getattr(fastai, o, None) not in (None, getattr(ours, o))]
    assert not hidden, f'fastjpeg.all hides these names of fastai.vision.all: {hidden}'
