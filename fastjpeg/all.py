"""The whole import story: `from fastai.vision.all import *`, then `from fastjpeg.all import *`"""
from fastjpeg.audio.all import *
from fastjpeg.jpeg.all import *
from fastjpeg.pyramid import *
from fastjpeg.quantize import *
from fastjpeg.state import *
