"""Everything about audio: `from fastjpeg.audio.all import *`, after `from fastai.vision.all import *`"""
from fastjpeg.audio.augment import *
from fastjpeg.audio.core import *
from fastjpeg.audio.diffres import *
from fastjpeg.audio.features import *
from fastjpeg.audio.frontends import *
from fastjpeg.audio.labels import *
from fastjpeg.audio.pcen import *
from fastjpeg.audio.rbm import *
from fastjpeg.audio.recordings import *
from fastjpeg.audio.rocket import *
from fastjpeg.audio.spectrogram import *
from fastjpeg.coords import *
from fastjpeg.datasets import *
from fastjpeg.groups import *
from fastjpeg.models import *
from fastjpeg.repeat import *
from fastjpeg.windows import *
