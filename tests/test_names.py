"`from fastai.vision.all import *` and then `from fastjpeg.all import *` is how notebooks begin: the second must not take names away from the first."
import inspect

import fastai.vision.all as fastai

import fastjpeg.all as ours

PLACEHOLDERS = {'encodes', 'decodes'}       # what nbdev exports of functions that only extend a transform of fastai


def test_no_name_of_fastai_is_hidden():
    hidden = [o for o in vars(ours) if not o.startswith('_') and o not in PLACEHOLDERS and getattr(fastai, o, None) not in (None, getattr(ours, o))]
    assert not hidden, f'fastjpeg.all hides these names of fastai.vision.all: {hidden}'


def test_no_setting_of_a_transform_is_one_that_fastai_reads():
    "A parameter called `order` would move a transform to another place of the pipeline, without a word"
    taken = {'order', 'split_idx', 'train_setup', 'name', 'vocab'}
    transforms = [o for o in vars(ours).values() if inspect.isclass(o) and issubclass(o, fastai.Transform) and '__init__' in vars(o) and o.__module__.startswith('fastjpeg')]
    assert len(transforms) > 20
    shadowed = {o.__name__: names for o in transforms if (names := taken & set(inspect.signature(o.__init__).parameters))}
    assert not shadowed
